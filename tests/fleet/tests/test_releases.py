# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The station is the release that ``current`` leads to, whoever restarts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import station
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import until
from tests.simulator.release import Phase, Release


@pytest.fixture
def bare(one: Node) -> Iterator[Node]:
    """A node that is left without a release again."""
    yield one
    one.sh(f"rm -rf {station.ROOT}/current {station.ROOT}/releases")
    station.restart(one)
    station.wait_answers(one)


def metrics(node: Node) -> str:
    """What the station tells of itself."""
    said: str = node.exec("curl", "-sf", f"{station.API}/metrics").stdout
    return said


@pytest.mark.thorough
def test_a_release_is_in_force_after_a_restart_and_gets_sick_by_itself(fleet: Fleet, bare: Node) -> None:
    good = station.put_release(fleet.where, Release("2.0.0"))
    bad = station.put_release(fleet.where, Release("2.1.0", (Phase(1, {"qa": 0.4}),), ready_after=0.5))
    station.install_release(bare, good)
    station.wait_answers(bare)
    assert station.told(bare).get("release") == "2.0.0"
    station.install_release(bare, bad)
    for _unused in range(2):
        until(lambda: station.told(bare).get("phase") == 1, "the release gets sick")
        assert station.told(bare).get("release") == "2.1.0"
        # Its first bad metric sample follows a moment later.
        until(lambda: "vvtv_qa_pass_rate 0.4\n" in metrics(bare), "its QA pass rate falls")
        bare.ssh(f"sudo systemctl restart {station.UNIT}")
        until(lambda: station.told(bare).get("phase") == 0, "the station is another process")


def test_a_release_whose_api_never_listens(fleet: Fleet, bare: Node) -> None:
    station.install_release(bare, station.put_release(fleet.where, Release("2.2.0", ready_after=None)))
    until(lambda: station.told(bare).get("release") == "2.2.0", "the station runs it")
    assert station.is_active(bare)
    assert not station.answers(bare)


def test_a_release_that_cannot_be_read_does_not_start(bare: Node) -> None:
    bare.sh(f"mkdir {station.ROOT}/current && echo '{{' >{station.ROOT}/current/station.json")
    station.restart(bare)
    log = ("journalctl", "--no-pager", "-u", station.UNIT, "-n", "20")
    until(lambda: "station.json: not JSON" in bare.exec(*log).stdout, "the station says why")
    assert not station.answers(bare)
