# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module rollback_guard where there can be no guard, and the verb that a guard runs.

With systemd it is tested on real hosts: tests/fleet/tests/test_rollback_guard.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import good, sha256sum
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.releasing import NEW, OLD, ROLLOUT, Site, running
from tests.integration.stations import SECRET, TOKEN
from tests.unit.core.command.installed import Done, Installed, install

# On a machine with systemd the module would arm a real timer.
NOT_THERE = "/not/there/vvtv-runbook"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as made:
        yield made


def guard(ours: Site, state: str, **params: Any) -> dict[str, Any]:
    given = {"rollout": ROLLOUT, "state": state, "command": NOT_THERE, **params}
    return ours.call("rollback_guard", **({"deadline": 60, **given} if state == "armed" else given))


def run(command: Installed, ours: Site, *words: str) -> Done:
    """The node's command, as its guard runs it."""
    env = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    where = ("--root", str(ours.root), "--api-url", ours.station.url)
    return command(*words, *where, "--json", env=env)


def note(ours: Site, **instants: float | None) -> None:
    """What the record says of the guard; seconds from now."""
    now = datetime.now(timezone.utc)
    at = {
        name: None if seconds is None else (now + timedelta(seconds=seconds)).isoformat()
        for name, seconds in instants.items()
    }
    ours.note(ours.record()[-1]["state"], rollback_guard=at)


def test_check_arm_arm_check_without_a_guard(ours: Site) -> None:
    ours.begin()
    before = ours.folder.record.read_bytes()
    for check in (True, False, False, True):
        told = good(guard(ours, "armed", check=check))
        assert (told["changed"], told["actions"], told["guard"]["available"]) == (False, [], False)
        assert told["guard"]["why"]
    assert ours.folder.record.read_bytes() == before
    result = guard(ours, "armed", required=True)
    assert (result["error"]["code"], "there can be no guard" in result["msg"]) == ("unsupported", True)
    for state in ("confirmed", "disarmed"):
        assert not good(guard(ours, state))["changed"]


def test_check_confirm_confirm_check(ours: Site) -> None:
    ours.begin()
    note(ours, armed_at=-60, fires_at=600)
    before = ours.folder.record.read_bytes()
    foretold = good(guard(ours, "confirmed", check=True))
    assert (foretold["changed"], ours.folder.record.read_bytes()) == (True, before)
    done = good(guard(ours, "confirmed"))
    assert (done["changed"], done["guard"]["armed"]) == (True, False)
    said = ours.record()[-1]["facts"]["guard"]
    assert (said["confirmed_at"], said["fired"]) == (done["guard"]["confirmed_at"], False)
    for check in (False, True):
        assert not good(guard(ours, "confirmed", check=check))["changed"]


def test_on_the_oldest_python_of_a_node(ours: Site) -> None:
    ours.begin()
    params = {"root": ours.root, "rollout": ROLLOUT, "command": NOT_THERE}
    assert on_a_node("rollback_guard", state="armed", deadline=60, **params)["guard"]["why"]
    assert not on_a_node("rollback_guard", state="confirmed", **params)["changed"]


def test_what_fired_cannot_be_confirmed(ours: Site) -> None:
    ours.begin()
    note(ours, armed_at=-60, fires_at=-1, fired_at=0)
    ours.note("FAILED")
    result = guard(ours, "confirmed")
    assert (result["error"]["code"], result["guard"]["fired"]) == ("guard_fired", True)
    assert result["record"] == {"state": "FAILED"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"state": "armed", "deadline": None}, "a deadline is needed"),
        ({"state": "armed", "deadline": -1}, "a deadline is needed"),
        ({"state": "confirmed", "rollout": "x"}, "no rollout id"),
        ({"state": "confirmed", "command": "vvtv-runbook"}, "must be an absolute path"),
        ({"state": "confirmed", "control_env_file": "here"}, "must be an absolute path"),
        ({"state": "confirmed", "rollout": "20260101T000000Z"}, "never began on this node"),
    ],
)
def test_a_bad_option_is_named(ours: Site, params: dict[str, Any], words: str) -> None:
    ours.begin()
    result = guard(ours, **params)
    assert (result["failed"], words in result["msg"]) == (True, True), result["msg"]


# --- the verb ---


def test_the_guard_does_nothing_before_its_time_and_everything_at_it(command: Installed, ours: Site) -> None:
    card = sha256sum(ours.station.owner_card)
    ours.begin()
    ours.change()
    words = ("rollback", "--rollout", ROLLOUT, "--guard")
    for instants, why in (
        ({}, "the guard was never armed"),
        ({"armed_at": -9, "fires_at": 60}, "it is not due before"),
        ({"armed_at": -9, "fires_at": -1, "confirmed_at": -2}, "it was confirmed at"),
        ({"armed_at": -9, "fires_at": -1, "disarmed_at": -2}, "it was disarmed at"),
    ):
        note(ours, **instants)
        done = run(command, ours, *words)
        assert (done.code, done.json()["changed"]) == (0, False), done
        assert why in done.json()["guard"]["why"]
    assert (ours.runs(), ours.record()[-1]["state"]) == (NEW, "IN_PROGRESS")

    note(ours, armed_at=-9, fires_at=-1)
    foretold = run(command, ours, *words, "--check")
    assert (foretold.code, foretold.json()["changed"], ours.runs()) == (0, True, NEW)
    done = run(command, ours, *words)
    assert (done.code, done.json()["record"]) == (0, {"state": "ROLLED_BACK"}), done
    assert (ours.runs(), sha256sum(ours.station.owner_card)) == (OLD, card)
    failed = next(line for line in ours.record() if line["state"] == "FAILED")
    assert failed["by"].startswith("guard@")
    assert failed["facts"]["guard"]["fired"] is True
    again = run(command, ours, *words)
    assert (again.code, again.json()["guard"]["why"]) == (0, "the node is ROLLED_BACK")


def test_an_operator_at_the_node(command: Installed, ours: Site) -> None:
    assert "1.0.0" in command("releases", "--root", str(ours.root)).out
    listed = json.loads(command("releases", "--root", str(ours.root), "--json").out)
    assert (listed["current"], [one["id"] for one in listed["releases"]]) == (OLD, [OLD])
    lost = run(command, ours, "rollback", "--rollout", ROLLOUT)
    assert (lost.code, json.loads(lost.out)["error"]["code"]) == (1, "not_found")
    assert run(command, ours, "rollback").code == 2
    ours.begin()
    ours.change()
    env = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    words = ("--rollout", ROLLOUT, "--reason", "no picture", "--root", str(ours.root))
    done = command("rollback", *words, "--api-url", ours.station.url, env=env)
    assert done.code == 0, done
    for said in ("ROLLED_BACK", "no picture", OLD, "kept as", "next: vvtv-runbook health"):
        assert said in done.out
    assert ours.runs() == OLD


def test_a_node_that_needs_an_operator_ends_with_1(command: Installed, ours: Site) -> None:
    ours.begin()
    ours.change()
    ours.station.faults(http_500="/metrics")
    done = run(command, ours, "rollback", "--rollout", ROLLOUT, "--wait-timeout", "1")
    told = json.loads(done.out)
    assert (done.code, told["error"]["code"], told["record"]) == (
        1,
        "needs_operator",
        {"state": "NEEDS_OPERATOR"},
    )
    assert told["rollback"]["release"] == OLD
