# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Emergency mode: at most the toggles that are needed, and the truth about them whoever else toggles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import emergency, locks
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Api, ApiFault, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.emergency import Unsettled, bring_about
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Busy, RunbookError
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.simulator import fleet

from .raw_server import MINE

URL = "http://127.0.0.1:7070"


class Station(Api):
    """A station in memory; before each call, and between a toggle and its answer, somebody else may toggle.

    ``script`` names what happens at each of these points, in order: ``rogue`` (somebody else toggles) or the
    reason of a fault; with ``late`` the toggle is carried out although its answer is lost.
    """

    def __init__(self, on: bool = False, script: list[str | None] | None = None, late: bool = True) -> None:
        super().__init__(URL, MINE)
        self.on = on
        self.toggles = self.rogues = 0
        self.reads: list[bool] = []
        self._script = iter(script or [])
        self._late = late

    def _point(self) -> str | None:
        event = next(self._script, None)
        if event == "rogue":
            self.on = not self.on
            self.rogues += 1
            return None
        return event

    def status(self) -> Status:
        if reason := self._point():
            raise ApiFault(reason, f"the test wants {reason}", f"{URL}/v1/status")
        self.reads.append(self.on)
        return Status("EMERGENCY" if self.on else "RUNNING", 60, datetime.now(timezone.utc))

    def toggle_emergency(self) -> bool:
        reason = self._point()
        carried_out = reason is None or (self._late and reason not in ("refused", "unauthorized"))
        self.toggles += carried_out
        self.on ^= carried_out
        answer = self.on
        if reason:
            raise ApiFault(reason, f"the test wants {reason}", f"{URL}/v1/control/emergency-mode")
        self._point()
        return answer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency, "PAUSE_SECONDS", 0)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node.at(tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("wanted", [True, False])
def test_one_toggle_then_none(node: Node, wanted: bool) -> None:
    station = Station(on=not wanted)
    foretold = bring_about(node, station, wanted, 1, check=True)
    assert (foretold.changed, station.toggles) == (True, 0)
    done = bring_about(node, station, wanted, 1)
    assert done.facts == {"emergency": wanted, "previous": not wanted, "toggles": 1}
    assert (station.on, station.toggles, len(station.reads), done.warnings) == (wanted, 1, 4, [])
    word, other = ("on", "off") if wanted else ("off", "on")
    assert done.actions == [
        f"toggled emergency mode: it was {other}, the station answered {word}, and it was read as {word}"
    ]
    assert (done.diff[0]["before"], done.diff[0]["after"]) == (f"{other}\n", f"{word}\n")
    assert done.diff == foretold.diff

    again = bring_about(node, station, wanted, 1)
    assert (again.changed, again.actions, again.diff, station.toggles) == (False, [], [], 1)
    assert again.facts == {"emergency": wanted, "previous": wanted, "toggles": 0}
    assert not bring_about(node, station, wanted, 1, check=True).changed


# The points are: read, toggle, its answer, two reads, toggle, its answer, two reads ...
@pytest.mark.parametrize(
    ("script", "toggles"),
    [
        ([None, "rogue"], 2),  # between our read and our toggle: the toggle itself answers off
        ([None, None, "rogue"], 2),  # between our toggle and its answer
        ([None, None, None, "rogue"], 2),  # before our first read afterwards
        ([None, None, None, None, "rogue"], 2),  # between the two reads: the third read shows it
        ([None, "rogue", None, "rogue"], 1),  # somebody has repaired it before we could
        ([None, "rogue", None, None, None, "rogue"], 3),
    ],
)
def test_somebody_else_toggles_in_between_and_it_is_repaired(
    node: Node, script: list[str | None], toggles: int
) -> None:
    station = Station(script=script)
    done = bring_about(node, station, True, 1)
    assert (station.on, station.toggles, done.facts["toggles"], len(done.actions)) == (True, *[toggles] * 3)
    assert "somebody else toggled emergency mode" in done.warnings[0]


def test_somebody_who_toggles_on_and_on_is_reported(node: Node) -> None:
    station = Station(script=[None, "rogue", None, None, None] + ["rogue", None, None, None] * 2)
    with pytest.raises(Unsettled, match="does not stay on: somebody else toggles it") as caught:
        bring_about(node, station, True, 1)
    assert station.toggles == emergency.MAX_TOGGLES == len(caught.value.actions)
    assert not station.on
    assert caught.value.result()["code"] == "unsettled"
    assert "find out who else switches it" in str(caught.value)


def test_a_state_that_never_stays_is_not_called_steady(node: Node) -> None:
    station = Station(script=[None, None, None] + ["rogue"] * 9)
    with pytest.raises(Unsettled, match="does not stay"):
        bring_about(node, station, True, 1)
    assert station.toggles == 1


LOST = ("timeout", "unreachable", "http_status", "not_json", "missing_field")


@pytest.mark.parametrize("reason", LOST)
def test_a_toggle_whose_answer_was_lost_is_looked_after_and_not_repeated(node: Node, reason: str) -> None:
    station = Station(script=[None, reason])
    done = bring_about(node, station, True, 1)
    assert (station.on, station.toggles) == (True, 1)
    assert "its answer was lost, and it was read as on" in done.actions[0]
    assert "the answer to a toggle of emergency mode was lost" in done.warnings[0]

    station = Station(script=[None, reason], late=False)
    with pytest.raises(Unsettled, match=f"emergency mode is off: the test wants {reason}"):
        bring_about(node, station, True, 1)
    assert station.toggles == 0


@pytest.mark.parametrize("reason", ["refused", "unauthorized", "clock_skew"])
def test_a_toggle_that_was_not_taken_is_the_faults_own_error(node: Node, reason: str) -> None:
    with pytest.raises(ApiFault) as caught:
        bring_about(node, Station(script=[None, reason], late=False), True, 1)
    assert caught.value.reason == reason
    late = Station(script=[None, "rogue", None, None, None, reason], late=False)
    with pytest.raises(Unsettled, match=f"is not as wanted: the test wants {reason}"):
        bring_about(node, late, True, 1)


def test_a_state_that_cannot_be_read_before_is_a_fault_and_afterwards_unsettled(node: Node) -> None:
    for check in (True, False):
        with pytest.raises(ApiFault):
            bring_about(node, Station(script=["timeout"]), True, 1, check=check)
    with pytest.raises(Unsettled, match="cannot be read: the test wants refused") as caught:
        bring_about(node, Station(script=[None, None, None, "refused"]), True, 1)
    assert caught.value.actions == ["toggled emergency mode: it was off, the station answered on"]


@given(
    on=st.booleans(),
    wanted=st.booleans(),
    late=st.booleans(),
    script=st.lists(st.sampled_from([None, None, "rogue", "timeout", "unauthorized"]), max_size=16),
)
def test_whatever_happens_the_end_is_told_as_it_was_read(
    node: Node, on: bool, wanted: bool, late: bool, script: list[str | None]
) -> None:
    station = Station(on, script, late)
    try:
        done = bring_about(node, station, wanted, 1)
    except RunbookError as exc:
        assert isinstance(exc, (ApiFault, Unsettled))
        # Without "unsettled" nothing was done.
        assert station.toggles == 0 or isinstance(exc, Unsettled)
    else:
        assert station.reads[-1] == wanted
        assert done.facts["previous"] == station.reads[0]
        assert done.facts["toggles"] == len(done.actions) == station.toggles or done.warnings
        assert done.changed == (station.reads[0] != wanted)


def test_the_node_is_locked_while_it_is_switched(node: Node) -> None:
    with locks.node_lock(node, "a test", 1):
        with pytest.raises(Busy, match="for 'a test'"):
            bring_about(node, Station(), True, 0.1)
        assert bring_about(node, Station(), True, 0.1, check=True).changed


# --- operators at once, in processes of their own ---

# At each line it is given it asks for its wish once and prints what it found. Under the node's lock, so in
# the order in which they are carried out, it notes the wish.
_OPERATOR = """
import sys
from contextlib import contextmanager
from ansible_collections.vvtv.runbook.plugins.module_utils._core import control_api, emergency, locks, node
root, url, log, wish = sys.argv[1:]
emergency.PAUSE_SECONDS = 0.005

@contextmanager
def noting(*args):
    with locks.node_lock(*args):
        yield
        with open(log, "a") as out:
            out.write(wish + chr(10))

emergency.node_lock = noting
at, api = node.Node.at(root), control_api.Api(url, control_api.credentials(env="dev"))
for _line in sys.stdin:
    done = emergency.bring_about(at, api, wish == "on", 60)
    assert done.facts["emergency"] == (wish == "on") and not done.warnings, done
    assert done.facts["toggles"] == (done.facts["previous"] != done.facts["emergency"]), done
    print("on" if done.facts["previous"] else "off", flush=True)
"""


@contextmanager
def operator(station: fleet.Node, log: Path, wish: str) -> Iterator[subprocess.Popen[str]]:
    """Somebody who asks for the same whenever told to."""
    command = [sys.executable, "-c", _OPERATOR, str(station.root), station.url, str(log), wish]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as run:
        yield run
        assert run.stdin is not None
        run.stdin.close()
        assert run.wait(10) == 0


def state_of(station: fleet.Node) -> str:
    """Ask curl."""
    asked = ["curl", "-sf", f"{station.url}/v1/status"]
    answer = subprocess.run(asked, capture_output=True, check=True).stdout
    return {"EMERGENCY": "on", "RUNNING": "off"}[json.loads(answer)["state"]]


@pytest.mark.one_python
def test_two_operators_at_once_always_end_in_the_state_asked_for_last(tmp_path: Path) -> None:
    log, state, orders = tmp_path / "log", "off", set()
    with (
        fleet.start_node(tmp_path / "node", size="256K") as station,
        operator(station, log, "on") as one,
        operator(station, log, "off") as other,
    ):
        operators = {"on": one, "off": other}
        for turn in range(100):
            found = {}
            for wish in ("on", "off") if turn % 2 else ("off", "on"):
                stdin = operators[wish].stdin
                assert stdin is not None
                stdin.write("go\n")
            for wish, run in operators.items():
                assert run.stdout is not None
                found[wish] = run.stdout.readline().strip()
            first, last = log.read_text().split()[2 * turn :]
            orders.add((state, first))
            # The second found what the first had brought about, and its own wish is what is left.
            assert (found[first], found[last], state_of(station)) == (state, first, last)
            state = last
    assert len(orders) > 1
