# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a rollout on real hosts: a node that nobody can reach any more goes back by itself.

The guard is armed and confirmed by the module over SSH, and the node's own command, as the role node installs
it, does the rest. What comes before and would take long is done by the same engine on the node.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import done, until
from tests.integration.helpers import sha256sum
from tests.simulator import releases

from . import readers
from .bastion import Bastion, bastion

# In make test a guard fires, outlives a power cut and is confirmed in whole rollouts: test_rollouts.py.
pytestmark = pytest.mark.thorough

ROOT = station.ROOT
OLD, NEW = "1.0.0", "2.0.0"
ENV_FILE = "/etc/fleet/station.env"
UNITS = "/etc/systemd/system"
#: In how many seconds the guard fires where the test waits for it.
SOON = 6
LATER = 900
_numbers = itertools.count(1)

_PROLOGUE = """
import json, sys
sys.path.insert(0, "/usr/local/lib/vvtv-runbook")
from pathlib import Path
from vvtv_runbook import release_change, releases
from vvtv_runbook.control_api import Api
from vvtv_runbook.errors import RunbookError
from vvtv_runbook.node import Node
from vvtv_runbook.rollout import begun, guard, record
from vvtv_runbook.rollout.folder import Folder
rollout, *rest = sys.argv[1:]
node = Node.at("/srv/vvtv")
folder = Folder.of(node, rollout)
how = begun.Restart(units=("vvtv-station.service",))
"""
_BEGIN = f"""{_PROLOGUE}
sha256, policy = rest
candidate = begun.Candidate("{NEW}", sha256)
before = releases.current_id(node)
begun.begin(folder, begun.Begun(rollout, candidate, how, before, None, policy))
record.append(folder.record, "IN_PROGRESS", {{}}, "a test")
"""
_CHANGE = f"""{_PROLOGUE}
sha256, = rest
asked = dict(src=Path("/srv/candidate.tar.gz"), sha256=sha256)
release_change.bring_about(node, None, release_change.Request("{NEW}", **asked))
asked = dict(state="current", restart=how)
release_change.bring_about(node, Api(), release_change.Request("{NEW}", **asked))
record.append(folder.record, "SOAKING", {{}}, "a test")
"""
_CONFIRM = f"""{_PROLOGUE}
try:
    guard.bring_about(folder, guard.Request("confirmed", timeout=60))
    print("confirmed")
except RunbookError as exc:
    print(exc.code)
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="rollback-guard") as fleet:
        for node in fleet:
            station.install_release(node, releases.good(fleet_file(fleet, OLD), OLD))
            node.sh("apt-get -q update && apt-get -qy install sqlite3 >/dev/null")
            station.wait_answers(node)
        yield fleet


def fleet_file(fleet: Fleet, version: str) -> Path:
    return fleet.inventory.parent / f"{version}.tar.gz"


@pytest.fixture(scope="module")
def ops(fleet: Fleet) -> Iterator[Bastion]:
    with bastion(fleet) as machine:
        # Only the command: the timers' runs would make the tests slower.
        done(machine.play("node", "--tags", "node_command"))
        yield machine


@pytest.fixture(params=[12, 13])
def node(request: pytest.FixtureRequest, fleet: Fleet) -> Node:
    return fleet.of_release(request.param)[0]


def engine(node: Node, script: str, *words: str) -> str:
    """Run a script with the engine that the role installed, as root."""
    return node.exec("/usr/bin/python3", "-I", "-B", "-c", script, *words, timeout=120).stdout.strip()


@dataclass
class Rollout:
    """One rollout of one node."""

    node: Node
    ops: Bastion
    archive: Path
    policy: str = "with_release"
    id: str = field(default_factory=lambda: f"20260131T000000Z-n{next(_numbers)}")

    @property
    def unit(self) -> str:
        return f"vvtv-rollback-{self.id}"

    def begin(self) -> None:
        """Everything up to the guard."""
        readers.mark(self.node, f"before{self.id[-2:]}")
        readers.card_mark(self.node, f"before{self.id[-2:]}")
        engine(self.node, _BEGIN, self.id, sha256sum(self.archive), self.policy)
        made = ("backup", "--plain", "--quiet", "--name", f"rollout-{self.id.lower()}")
        self.node.exec("/usr/local/bin/vvtv-runbook", *made, timeout=120)

    def change(self) -> None:
        """Another release, another state, another OwnerCard."""
        shutil.copy(self.archive, self.node.disk / "candidate.tar.gz")
        engine(self.node, _CHANGE, self.id, sha256sum(self.archive))
        readers.mark(self.node, "after")
        readers.card_mark(self.node, "after")
        assert self.link == f"releases/{NEW}"
        until(lambda: station.told(self.node).get("release") == NEW, "the station has started with it")

    def guard(self, state: str, **options: Any) -> str:
        """The module over SSH; what was said, whether it failed or not."""
        given = {"root": ROOT, "rollout": self.id, "state": state, "control_env_file": ENV_FILE, **options}
        words = " ".join(f"{name}={value}" for name, value in given.items())
        return self.ops.module(self.node.name, "rollback_guard", words).output

    def arm(self, deadline: float) -> None:
        assert '"armed": true' in self.guard("armed", deadline=deadline, required=True)

    def fire_soon(self) -> None:
        """Bring the instant near, by hand: arming over SSH takes as long as the machine is busy."""
        script = f"""{_PROLOGUE}
from dataclasses import replace
from datetime import timedelta
from vvtv_runbook import times
from vvtv_runbook.rollout import guard_units
at = times.now().replace(microsecond=0) + timedelta(seconds={SOON})
entries = record.read(folder.record)
told = {{guard.FACT: replace(guard.Guard.of(entries), fires_at=at).facts()}}
record.append(folder.record, record.last(entries), told, "a test")
"""
        engine(self.node, script, self.id)
        at = self.fact("rollback_guard")["fires_at"][:19].replace("T", " ")
        timer = f"{UNITS}/{self.unit}.timer"
        self.node.sh(
            f"sed -i 's/^OnCalendar=.*/OnCalendar={at} UTC/' {timer} && sync -f {timer}"
            f" && systemctl daemon-reload && systemctl restart {self.unit}.timer"
        )

    def confirm(self) -> str:
        """The same engine without the connection's delay, for a race."""
        return engine(self.node, _CONFIRM, self.id)

    # What the node says

    @property
    def link(self) -> str:
        return self.node.sh(f"readlink {ROOT}/current")

    def record(self) -> list[dict[str, Any]]:
        path = f"{ROOT}/runtime/canary/{self.id}/record.jsonl"
        return [json.loads(line) for line in self.node.sh(f"cat {path}").splitlines()]

    @property
    def state(self) -> str:
        return str(self.record()[-1]["state"])

    def fact(self, name: str) -> Any:
        return next(line["facts"][name] for line in reversed(self.record()) if name in line["facts"])

    def units(self) -> str:
        return self.node.sh(f"ls {UNITS} {UNITS}/timers.target.wants | grep {self.unit} || true")

    def is_back(self) -> bool:
        return self.state == "ROLLED_BACK"

    def assert_back(self) -> None:
        until(self.is_back, f"{self.node.name} goes back", 240)
        assert (self.link, station.told(self.node)["release"]) == (f"releases/{OLD}", OLD)
        mark = f"before{self.id[-2:]}"
        assert (list(readers.marks(self.node)), readers.card_marks(self.node)) == ([mark], mark)
        readers.assert_sound(self.node)
        said = self.fact("guard")
        assert (said["fired"], said["armed"], said["confirmed_at"]) == (True, False, None)
        assert self.fact("reason").startswith("the guard fired: nobody confirmed the rollout by ")
        assert {line["by"] for line in self.record() if line["state"] == "ROLLED_BACK"} == {
            f"guard@{self.node.sh('hostname')}"
        }
        result = self.node.sh(f"cat {ROOT}/runtime/canary/{self.id}/result.env")
        assert "status=FAIL_ROLLBACK_APPLIED" in result.splitlines()
        until(lambda: not self.units(), "the guard's units are gone")

    def assert_stays(self) -> None:
        assert (self.link, station.told(self.node)["release"]) == (f"releases/{NEW}", NEW)
        assert list(readers.marks(self.node)) == ["after"]


@pytest.fixture
def rollout(node: Node, ops: Bastion, fleet: Fleet) -> Iterator[Rollout]:
    ours = Rollout(node, ops, releases.good(fleet_file(fleet, NEW), NEW))
    ours.begin()
    yield ours
    node.heal()
    node.sh(
        f"systemctl disable --quiet --now {ours.unit}.timer 2>/dev/null || true; rm -f {UNITS}/{ours.unit}.*;"
        f"systemctl daemon-reload; ln -sfn releases/{OLD} {ROOT}/current"
    )
    station.restart(node)
    station.wait_answers(node)


def test_a_node_that_nobody_can_reach_goes_back(rollout: Rollout) -> None:
    rollout.arm(LATER)
    kept = rollout.fact("guard")["fires_at"]
    again = rollout.guard("armed", deadline=LATER)
    assert '"changed": false' in again
    assert rollout.fact("guard")["fires_at"] == kept
    assert '"changed": true' in rollout.guard("armed", deadline=2 * LATER, extend=True)
    assert rollout.fact("guard")["fires_at"] > kept
    assert sorted(rollout.units().split()) == [f"{rollout.unit}.service", *[f"{rollout.unit}.timer"] * 2]
    rollout.change()
    with rollout.node.broken(rollout.node.cut):
        rollout.fire_soon()
        rollout.assert_back()
    said = rollout.guard("confirmed")
    assert '"code": "guard_fired"' in said
    assert rollout.link == f"releases/{OLD}"


def test_the_timer_goes_on_after_a_reboot(rollout: Rollout) -> None:
    rollout.arm(LATER)
    rollout.change()
    rollout.node.reboot()
    station.wait_answers(rollout.node)
    waits = f"systemctl is-active {rollout.unit}.timer"
    assert rollout.node.sh(waits) == "active"
    # What it does at each start finds that it is not due.
    ran = f"systemctl show --property=ExecMainExitTimestamp --value {rollout.unit}.service"
    until(lambda: rollout.node.sh(ran), "it has looked", 60)
    rollout.assert_stays()
    assert rollout.node.sh(waits) == "active"
    rollout.fire_soon()
    rollout.assert_back()


def test_what_was_due_while_the_machine_was_down_is_done_at_its_start(rollout: Rollout) -> None:
    rollout.arm(LATER)
    rollout.change()
    rollout.fire_soon()
    rollout.node.kill()
    over = time.time() + SOON + 2
    until(lambda: time.time() > over, "the deadline is over")
    rollout.node.start()
    rollout.assert_back()


@pytest.mark.parametrize("at", ["FAILED", "restored", "restarted"])
def test_a_power_cut_in_the_middle_is_finished_at_the_next_start(rollout: Rollout, at: str) -> None:
    rollout.arm(LATER)
    rollout.change()
    rollout.fire_soon()
    signs = {"FAILED": '"FAILED"', "restored": "rollback_state", "restarted": "rollback_applied"}
    path = f"{ROOT}/runtime/canary/{rollout.id}/record.jsonl"
    script = f"until grep -q {signs[at]} {path}; do sleep 0.01; done"
    rollout.node.sh(script, timeout=120)
    rollout.node.power_cut()
    rollout.node.start()
    rollout.assert_back()


def test_a_killed_guard_begins_again(rollout: Rollout) -> None:
    rollout.arm(LATER)
    rollout.change()
    rollout.fire_soon()
    path = f"{ROOT}/runtime/canary/{rollout.id}/record.jsonl"
    rollout.node.sh(f"until grep -q FAILED {path}; do sleep 0.01; done", timeout=120)
    rollout.node.sh(f"systemctl kill --signal=KILL {rollout.unit}.service")
    rollout.assert_back()


def test_emergency_mode_is_on_again(rollout: Rollout) -> None:
    rollout.arm(LATER)
    rollout.change()
    rollout.node.sh(f"vvtv-runbook emergency-on --quiet --control-env-file {ENV_FILE}")
    rollout.fire_soon()
    rollout.assert_back()
    assert readers.emergency(rollout.node) == "on"


def test_a_confirmed_guard_does_nothing_any_more(rollout: Rollout) -> None:
    rollout.arm(LATER)
    rollout.change()
    assert '"changed": true' in rollout.guard("confirmed")
    assert '"changed": false' in rollout.guard("confirmed")
    assert rollout.units() == ""
    late = ("rollback", "--rollout", rollout.id, "--guard", "--root", ROOT)
    said = rollout.node.exec("/usr/local/bin/vvtv-runbook", *late).stdout
    assert "it was confirmed at" in said
    rollout.assert_stays()
    assert rollout.state == "SOAKING"


def test_confirming_and_firing_exclude_each_other(node: Node, ops: Bastion, fleet: Fleet) -> None:
    """Both at the same instant, a few times: one of them wins, and the node is as the winner says."""
    for tenths in (0, 3, 6, 9):
        ours = Rollout(node, ops, releases.good(fleet_file(fleet, NEW), NEW), policy="keep")
        ours.begin()
        ours.arm(LATER)
        ours.change()
        ours.fire_soon()
        due = int(datetime.fromisoformat(ours.fact("rollback_guard")["fires_at"]).timestamp())
        node.sh(f"until [ $(date +%s) -ge {due} ]; do sleep 0.01; done; sleep 0.{tenths}")
        told = ours.confirm()
        if told == "confirmed":
            assert (ours.state, ours.fact("guard")["fired"]) == ("SOAKING", False)
            until(lambda: not ours.units(), "the guard's units are gone")  # noqa: B023 (called at once)
            assert ours.link == f"releases/{NEW}"
            node.sh(f"ln -sfn releases/{OLD} {ROOT}/current")
            station.restart(node)
        else:
            assert told == "guard_fired"
            until(ours.is_back, "it goes back", 240)
            assert (ours.fact("guard")["confirmed_at"], ours.link) == (None, f"releases/{OLD}")
        station.wait_answers(node)


def test_without_systemd_or_the_command_it_says_so(rollout: Rollout) -> None:
    said = rollout.guard("armed", deadline=LATER, command="/usr/local/bin/not-there")
    assert '"available": false' in said
    assert "the role node installs it" in said
    assert '"code": "unsupported"' in rollout.guard(
        "armed", deadline=LATER, command="/usr/local/bin/not-there", required=True
    )
    # A command that does not understand what it is told is found before anybody relies on it.
    assert "FAILED" in rollout.guard("armed", deadline=LATER, command="/usr/bin/false")
    assert rollout.units() == ""
