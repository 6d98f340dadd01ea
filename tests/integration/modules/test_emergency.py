# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module emergency_mode, judged by curl."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import locks, node
from tests.integration.helpers import CHECKOUT, good, module, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.stations import (
    KNOWN,
    SECRET,
    TOKEN,
    call,
    files_with,
    rogue,
    said_with_vvv,
    started,
    state_of,
)
from tests.simulator import fleet

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

WORDS = {True: "on", False: "off"}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[fleet.Node]:
    with started(tmp_path / "node") as running:
        yield running


@pytest.mark.parametrize("wanted", [True, False])
def test_check_switch_switch_check(station: fleet.Node, wanted: bool) -> None:
    if not wanted:
        good(call(station, "emergency_mode", state="on"))
    foretold = good(call(station, "emergency_mode", state=WORDS[wanted], check=True))
    assert (foretold["changed"], foretold["toggles"], state_of(station)) == (True, 0, WORDS[not wanted])
    assert foretold["actions"] == [f"toggle emergency mode, which is {WORDS[not wanted]}"]

    done = good(call(station, "emergency_mode", state=WORDS[wanted]))
    assert state_of(station) == WORDS[wanted]
    facts = {key: done[key] for key in ("changed", "emergency", "previous", "toggles", "warnings")}
    assert facts == {
        "changed": True,
        "emergency": wanted,
        "previous": not wanted,
        "toggles": 1,
        "warnings": [],
    }
    assert len(done["actions"]) == 1
    assert (done["diff"][0]["before"], done["diff"][0]["after"]) == (
        f"{WORDS[not wanted]}\n",
        f"{WORDS[wanted]}\n",
    )

    for check in (False, True):
        again = good(call(station, "emergency_mode", state=WORDS[wanted], check=check))
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], [])
        assert state_of(station) == WORDS[wanted]


@pytest.mark.thorough
def test_on_the_oldest_python_of_a_node(station: fleet.Node) -> None:
    params = {"root": station.root, "api_url": station.url, **KNOWN}
    for state in ("on", "off"):
        assert on_a_node("emergency_mode", state=state, **params)["changed"]
        assert state_of(station) == state
        assert not on_a_node("emergency_mode", state=state, **params)["changed"]


@pytest.mark.parametrize("written", ["on", "off", "'on'", "yes", "true"])
def test_a_playbook_may_write_the_state_without_quotes(
    station: fleet.Node, tmp_path: Path, written: str
) -> None:
    book = tmp_path / "book.yml"
    book.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        f"    - vvtv.runbook.emergency_mode: {{root: {station.root}, api_url: '{station.url}',"
        f" control_token: {TOKEN}, control_secret: {SECRET}, state: {written}}}\n"
    )
    env = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    done = subprocess.run(["ansible-playbook", book], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert state_of(station) == ("off" if written == "off" else "on")


def test_it_works_while_the_stations_health_is_bad(station: fleet.Node) -> None:
    station.faults(http_500="/metrics", malformed="/v1/alerts", pipeline="frozen")
    station.state_db.write_bytes(b"no database" * 999)
    for state in ("on", "off"):
        assert good(call(station, "emergency_mode", state=state))["changed"]
        assert state_of(station) == state


# --- at once ---


def test_two_operators_at_once_end_in_the_state_asked_for_last(station: fleet.Node) -> None:
    before = False
    with ThreadPoolExecutor(2) as together:
        for turn in range(8):
            wishes = (True, False) if turn % 2 else (False, True)
            runs = {
                wish: together.submit(call, station, "emergency_mode", state=WORDS[wish]) for wish in wishes
            }
            done = {wish: good(run.result()) for wish, run in runs.items()}
            # Whoever wished for what was there already was the first, unless the other had changed it before.
            last = not before if done[before]["previous"] == before else before
            assert done[not before]["previous"] == before
            assert done[last]["previous"] == (not last)
            assert sum(result["toggles"] for result in done.values()) == (1 if last != before else 2)
            assert state_of(station) == WORDS[last]
            before = last


@pytest.mark.thorough
def test_beside_somebody_without_the_lock_each_run_ends_with_the_truth(
    station: fleet.Node, tmp_path: Path
) -> None:
    ends = []
    with rogue(station, tmp_path / "answers"):
        for _turn in range(10):
            result = call(station, "emergency_mode", state="off")
            ends.append("unsettled" if result.get("failed") else "off")
            if result.get("failed"):
                assert result["error"]["code"] == "unsettled"
                assert len(result["error"]["actions"]) >= 1
                assert (
                    "does not stay off: somebody else toggles it (toggled emergency mode: it was"
                    in result["msg"]
                )
            else:
                assert result["emergency"] is False
                assert all("was read as" in action for action in result["actions"])
    assert (tmp_path / "answers").read_text().count('"ok":true') > 3
    assert "off" in ends
    good(call(station, "emergency_mode", state="off"))
    assert state_of(station) == "off"


# --- errors ---


def failed(station: fleet.Node, **params: Any) -> tuple[dict[str, Any], str]:
    """Run the module, which must fail; return its error and its message."""
    result = call(station, "emergency_mode", **{"state": "on", **params})
    assert result.get("failed"), result
    assert not result.get("changed")
    assert TOKEN not in str(result)
    assert SECRET not in str(result)
    return result["error"], result["msg"]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"control_token": "wrong"}, "api", "refused the call: invalid token; check control_token against"),
        (
            {"control_secret": "wrong"},
            "api",
            "refused the call: invalid signature; check control_secret",
        ),
        ({"control_token": None}, "bad_input", "the control API needs control_token and there is none; give"),
        ({"control_token": "dev-token"}, "bad_input", "control_token is the default that everybody knows"),
        ({"env": "dev", "control_token": None}, "api", "refused the call: invalid token"),
        (
            {"control_env_file": "/nowhere"},
            "not_found",
            "/nowhere: cannot read the control credentials: No",
        ),
        ({"control_env_file": "nowhere"}, "bad_input", "control_env_file must be an absolute path"),
        (
            {"api_url": "http://192.0.2.1:7070"},
            "bad_input",
            "send the token in clear text to 192.0.2.1",
        ),
        (
            {"api_url": "http://127.0.0.1:1"},
            "api",
            "127.0.0.1:1/v1/status: nobody listens there; check",
        ),
        ({"api_timeout": 0}, "bad_input", "api_timeout must be above 0 and at most 600 seconds"),
        ({"root": "/nonexistent"}, "not_found", "the node's root is no folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_done(
    station: fleet.Node, params: dict[str, Any], code: str, message: str
) -> None:
    error, told = failed(station, **params)
    assert error["code"] == code
    assert message in told
    assert state_of(station) == "off"


@pytest.mark.parametrize(
    ("faults", "code", "message"),
    [
        ({"hang": "60"}, "api", "/v1/status: gave no whole answer within 0.3 s; look at"),
        ({"trickle": "1"}, "api", "/v1/status: gave no whole answer within 0.3 s"),
        ({"http_500": "all"}, "api", "/v1/status: answered 500; look at the station's log"),
        ({"huge": "10M"}, "api", "/v1/status: answered more than 1048576 bytes"),
        ({"html": "all"}, "api", "/v1/status: answered no JSON; check that api_url is the station's"),
        ({"nan": "all"}, "api", "/v1/status: answered NaN as a number"),
        ({"negative": "all"}, "api", "/v1/status: buffer_minutes is -61, below 0"),
        (
            {"clock": "3600"},
            "api",
            "refused the call as stale: the clock here is 3600 s behind the API's",
        ),
        ({"clock": "-3600"}, "api", "refused the call as stale: the clock here is 3600 s ahead of the API's"),
        (
            {"http_500": "/v1/control/emergency-mode"},
            "unsettled",
            "emergency mode is off: answered 500 (",
        ),
    ],
)
def test_a_sick_api_is_named_and_nothing_is_done(
    station: fleet.Node, faults: dict[str, str], code: str, message: str
) -> None:
    station.faults(**faults)
    error, told = failed(station, api_timeout=0.5)
    assert error["code"] == code
    # A second may pass between the two clocks.
    assert message in told.replace("3599", "3600").replace("3601", "3600")
    station.faults()
    assert state_of(station) == "off"


def test_a_toggle_whose_answer_is_lost_counts_by_what_is_read(station: fleet.Node) -> None:
    station.faults(trickle="5@/v1/control/emergency-mode")
    done = good(call(station, "emergency_mode", state="on", api_timeout=0.5))
    assert (done["toggles"], state_of(station)) == (1, "on")
    assert "its answer was lost, and it was read as on" in done["actions"][0]
    assert "the answer to a toggle of emergency mode was lost" in done["warnings"][0]


def test_a_locked_node_is_said_to_be_locked_by_whom(station: fleet.Node) -> None:
    with locks.node_lock(node.Node.at(station.root), "restore 20260131T235959Z", 1):
        error, told = failed(station, lock_timeout=0.2)
    assert error["code"] == "busy"
    assert "for 'restore 20260131T235959Z' since" in told


def test_check_mode_touches_nothing_on_the_node(station: fleet.Node) -> None:
    station.faults(pipeline="frozen")
    before = tree(station.root)
    good(call(station, "emergency_mode", state="on", check=True))
    assert tree(station.root) == before


def test_any_other_state_is_refused(station: fleet.Node) -> None:
    for state in ("ON", "maybe", ""):
        result = module("emergency_mode", root=station.root, state=state)
        assert "value of state must be one of" in result["msg"]


# --- secrets ---


def test_nothing_that_ansible_prints_or_leaves_holds_a_secret(station: fleet.Node, tmp_path: Path) -> None:
    env_file = tmp_path / "control.env"
    env_file.write_text(f"VVTV_CONTROL_TOKEN={TOKEN}\nVVTV_CONTROL_SECRET='{SECRET}'\n")
    env_file.chmod(0o600)
    where = {"root": str(station.root), "api_url": station.url}
    by_file = {**where, "control_env_file": str(env_file)}
    said = said_with_vvv("emergency_mode", {**where, **KNOWN, "state": "on"}, tmp_path, keep_files=False)
    said += said_with_vvv("emergency_mode", {**by_file, "state": "off"}, tmp_path, keep_files=True)
    wrong = {**where, **KNOWN, "control_token": TOKEN[:-1], "state": "on"}
    said += said_with_vvv("emergency_mode", wrong, tmp_path, keep_files=False, code=2)
    assert state_of(station) == "off"
    assert [secret for secret in (TOKEN[:-1], SECRET) if secret in said] == []
    assert files_with({TOKEN[:-1], SECRET}, station.root, tmp_path / "ansible") == []
    env_file.chmod(0o644)
    result = module("emergency_mode", state="on", **by_file)
    assert f"run: chmod o-rwx,g-w {env_file}" in result["msg"]
