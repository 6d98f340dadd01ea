# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A soak on real hosts: a unit of its own that outlives SSH, and is started again when it is killed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import LONGEST, until

from .bastion import Bastion, bastion

ROOT = station.ROOT
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="soaks") as fleet:
        for node in fleet:
            station.wait_answers(node)
        yield fleet


@pytest.fixture(scope="module")
def ops(fleet: Fleet) -> Iterator[Bastion]:
    with bastion(fleet, core="oldest") as machine:
        yield machine


# On Debian 12 the rollouts of the other tests have it too.
@pytest.fixture(params=[pytest.param(12, marks=pytest.mark.thorough), 13])
def node(request: pytest.FixtureRequest, fleet: Fleet) -> Node:
    return fleet.of_release(request.param)[0]


class Soak:
    """One soak on one node, looked at by the node's own programs."""

    def __init__(self, node: Node, ops: Bastion) -> None:
        self.node = node
        self._ops = ops
        self.rollout = f"20260131T000000Z-s{next(_numbers)}"
        self.folder = f"{ROOT}/runtime/canary/{self.rollout}/soak"

    def module(self, name: str, **options: Any) -> dict[str, Any]:
        """Run a module over SSH as root."""
        given = {"root": ROOT, "rollout": self.rollout, **options}
        output = self._ops.module(self.node.name, name, json.dumps(given)).output
        _head, arrow, told = output.partition("=> ")
        assert arrow, output
        found: dict[str, Any] = json.loads(told)
        return found

    def start(self, **options: Any) -> dict[str, Any]:
        return self.module("soak", **{"interval": 0.5, "hours": 0.5, **options})

    @property
    def units(self) -> list[str]:
        listed = self.node.sh(f"systemctl list-units --plain --no-legend 'vvtv-soak-{self.rollout}-*'")
        return [line.split()[0] for line in listed.splitlines()]

    def show(self, name: str) -> str:
        (unit,) = self.units
        return str(self.node.exec("systemctl", "show", "-P", name, unit).stdout.strip())

    @property
    def lines(self) -> int:
        return int(self.node.sh(f"cat {self.folder}/samples.jsonl 2>/dev/null | wc -l"))

    def goes_on(self) -> None:
        have = self.lines
        until(lambda: self.lines >= have + 2, "there are more samples", LONGEST)


@pytest.fixture
def soak(node: Node, ops: Bastion) -> Iterator[Soak]:
    made = Soak(node, ops)
    yield made
    node.sh(f"systemctl stop 'vvtv-soak-{made.rollout}-*' || true")


@pytest.mark.thorough
def test_it_is_a_unit_of_the_stations_user_that_outlives_ssh(soak: Soak, ops: Bastion) -> None:
    assert soak.start()["soak"]["state"] == "running"
    ops.hang_up()
    soak.goes_on()
    pid = soak.show("MainPID")
    assert soak.node.exec("stat", "-c", "%U", f"/proc/{pid}").stdout.strip() == "vvtv"
    assert "/system.slice/vvtv-soak-" in soak.show("ControlGroup")
    owners = soak.node.sh(f"stat -c %U {soak.folder}/* | sort -u").split()
    assert owners == ["vvtv"]
    assert not soak.start()["changed"]
    assert soak.show("MainPID") == pid
    stopped = soak.module("soak", state="stopped", reason="enough")
    assert (stopped["changed"], stopped["soak"]["detail"]) == (True, "enough")
    until(lambda: soak.units == [], "the unit is gone")


def test_a_killed_sampler_is_started_again_by_systemd(soak: Soak) -> None:
    soak.start()
    soak.goes_on()
    pid = soak.show("MainPID")
    soak.node.exec("kill", "-9", pid)
    until(lambda: soak.units and soak.show("MainPID") not in (pid, "0"), "there is another process", LONGEST)
    soak.goes_on()
    found = soak.module("soak_info")
    assert found["soak"]["state"] == "running"
    assert [one["code"] for one in found["verdict"]["reasons"]] == ["running"], found["verdict"]


@pytest.mark.thorough
def test_it_passes_and_its_unit_goes(soak: Soak) -> None:
    soak.start(hours=0.008, interval=2, min_coverage=0.3, max_errors=5)
    until(lambda: soak.units == [], "it is over", LONGEST)
    found = soak.module("soak_info")
    assert found["verdict"]["result"] == "PASS", found["verdict"]
    assert "verdict=PASS" in soak.node.exec("cat", f"{soak.folder}/summary.txt").stdout


@pytest.mark.thorough
def test_after_a_boot_it_goes_on_when_asked(soak: Soak) -> None:
    soak.start()
    soak.goes_on()
    soak.node.reboot()
    station.wait_answers(soak.node)
    found = soak.module("soak_info")
    assert (found["soak"]["state"], found["verdict"]["result"]) == ("died", "INCONCLUSIVE")
    again = soak.start()
    assert (again["changed"], again["soak"]["state"], again["soak"]["attempt"]) == (True, "running", 1)
    soak.goes_on()
