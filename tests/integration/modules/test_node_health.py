# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module node_health: a healthy node, one without its state, a busy one, and waiting."""

from __future__ import annotations

import json
import sqlite3 as sqlite
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.integration import helpers
from tests.integration.helpers import good, sqlite3, tree
from tests.integration.modules.node_health import asked, look, sick
from tests.integration.modules.on_a_node import on_a_node
from tests.simulator import clock, content, database, fleet, gauges

MADE_UP = {name: float(value) for name, value in gauges.MADE_UP.items()}
EVENTS = 100_000
# A look reads. Of the modes the one whose writer keeps readers out is the harder.
JOURNALS = ["delete", pytest.param("wal", marks=pytest.mark.thorough)]


def says_all_is_well(node: fleet.Node) -> bool:
    """Whether the API gives the gauges it makes up, and no alert."""
    told = dict(line.split() for line in asked(node, "/metrics").splitlines() if line[0] != "#")
    made_up = {f"vvtv_{name}": value for name, value in MADE_UP.items()}
    return {name: float(value) for name, value in told.items()} == made_up and not json.loads(
        asked(node, "/v1/alerts")
    )["alerts"]


# --- a healthy node ---


def test_a_healthy_node_is_healthy_in_all_four_runs_and_goes_on(station: fleet.Node) -> None:
    for check in (True, False, False, True):
        result = good(look(station, check=check, fail_on="low"))
        assert not result["changed"]
        assert result["actions"] == []
        assert (result["health"]["healthy"], result["health"]["findings"]) == (True, [])
        assert result["attempts"] == 1
    assert result["health"]["state"] == "RUNNING"
    assert result["health"]["source"] == "state_db"
    assert set(result["health"]["gauges"]) == set(gauges.NAMES)
    station.wait_commits(2)
    assert station.state.errors == 0


def test_a_stopped_station_is_not_healthy_and_its_files_stay_as_they_are(station: fleet.Node) -> None:
    station.stop()
    before = tree(station.root)
    for check, integrity in ((True, "none"), (False, "full")):
        found = sick(station, check=check, integrity=integrity)
        assert found["CONTROL_API_UNREACHABLE"]["severity"] == "critical"
        assert found["CONTROL_API_UNREACHABLE"]["evidence"]["reason"] == "refused"
        assert set(found["CONTROL_API_UNREACHABLE"]["evidence"]["errors"]) == {"status", "metrics", "alerts"}
    assert tree(station.root) == before


def test_it_runs_as_ansible_runs_it_on_the_oldest_python(quiet: fleet.Node) -> None:
    result = on_a_node("node_health", root=quiet.root, api_url=quiet.url)
    assert result["health"]["healthy"], result
    quiet.faults(buffer=5)
    result = on_a_node("node_health", root=quiet.root, api_url=quiet.url)
    assert result["error"]["code"] == "unhealthy"
    assert result["health"]["findings"][0]["code"] == "BUFFER_CRITICAL"


@pytest.mark.parametrize("journal", database.JOURNAL_MODES)
def test_the_state_of_a_station_that_was_killed_is_read(tmp_path: Path, journal: str) -> None:
    with fleet.start_node(tmp_path / "node", journal_mode=journal, commit_interval=0) as node:
        node.wait_commits(20)
        node.kill()
        plans = sqlite3(node.state_db, "SELECT count(*) FROM plans")
        assert list(sick(node, lock_timeout=1)) == ["CONTROL_API_UNREACHABLE"]
        assert sqlite3(node.state_db, "SELECT count(*) FROM plans") == plans
        database.check_invariant(node.state_db)


# --- state.db is gone or spoilt, and the API says that all is well ---


def _unlink(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.unlink()
    path.touch()


def _corrupt(path: Path) -> None:
    path.unlink()
    path.write_bytes(Random(1).randbytes(100_000))  # noqa: S311  # no secret


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _foreign(path: Path) -> None:
    path.unlink()
    sqlite3(path, "CREATE TABLE customers (a)")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_unlink, "STATE_DB_MISSING"),
        (_empty, "STATE_DB_EMPTY"),
        (_corrupt, "STATE_DB_CORRUPT"),
        (_folder, "STATE_DB_CORRUPT"),
        (_foreign, "STATE_DB_FOREIGN"),
    ],
)
def test_a_node_without_its_state_is_never_healthy(
    quiet: fleet.Node, spoil: Callable[[Path], None], code: str
) -> None:
    for path in quiet.state_db.parent.glob("vvtv.db-*"):
        path.unlink()
    spoil(quiet.state_db)
    before = tree(quiet.root)
    for fail_on in ("critical", "low"):
        found = sick(quiet, fail_on=fail_on)
        assert found[code]["severity"] == "critical"
        assert ("METRICS_MADE_UP" in found) == (code == "STATE_DB_CORRUPT")
    assert tree(quiet.root) == before  # in particular, the API was not made to make it
    assert says_all_is_well(quiet)
    if code in ("STATE_DB_MISSING", "STATE_DB_EMPTY", "STATE_DB_FOREIGN"):  # the API has made tables by now
        found = sick(quiet, fail_on="critical")
        assert {"NO_SAMPLES", "METRICS_MADE_UP"} <= set(found)
        assert found["NO_SAMPLES"]["severity"] == "critical"


def test_damage_inside_that_the_api_does_not_notice_is_found(quiet: fleet.Node) -> None:
    quiet.stop()
    page = int(sqlite3(quiet.state_db, "SELECT rootpage FROM sqlite_master WHERE name = 'plans'"))
    with quiet.state_db.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    assert "STATE_DB_CORRUPT" not in sick(quiet, integrity="light")
    assert "integrity" in sick(quiet)["STATE_DB_CORRUPT"]["evidence"]["errors"]


def test_a_lock_that_lasts_is_told_as_such(quiet: fleet.Node) -> None:
    with closing(sqlite.connect(quiet.state_db, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        result = look(quiet, lock_timeout=0.3, api_timeout=0.3)
        assert time.monotonic() - begin < 8
    codes = {finding["code"] for finding in result["health"]["findings"]}
    assert "STATE_DB_CORRUPT" not in codes
    # Readers of a WAL need not wait for its writer.
    assert ("STATE_DB_BUSY" in codes) == (quiet.state.journal_mode == "delete")


# In make test the engine's own tests read as many.
@pytest.mark.thorough
@pytest.mark.parametrize("journal", database.JOURNAL_MODES)
def test_a_hundred_thousand_audit_events_are_read_beside_a_writing_station(
    tmp_path: Path, journal: str
) -> None:
    """About 0.2 s on an idle machine; the bound is generous, since the tests share theirs."""
    path, now = tmp_path / "node/runtime/state/vvtv.db", time.time_ns()
    database.create_database(path, 1 << 20, journal, 1, end_ns=now)
    made = content.Content(Random(1))  # noqa: S311  # no secret
    with closing(database.connect(path)) as connection:
        connection.execute("BEGIN")
        # All of them within 23 hours, each at another nanosecond.
        times = [now - number * 828_000_001 for number in range(1, EVENTS + 1)]
        database.insert_audits(connection, [made.commit_rows(ns).audit_event for ns in times[2:]])
        rows = [made.failed_domain_row(ns, "archive.example.org") for ns in times[:2]]
        database.insert_audits(connection, rows)
        connection.execute("COMMIT")
    assert clock.column(now)[19] == "."
    with fleet.start_node(tmp_path / "node", journal_mode=journal, commit_interval=0.01) as node:
        begin = node.state
        waited = [good(look(node, fail_on="low"))["waited"] for _turn in range(5)]
        after = node.state
        assert max(waited) < 5, waited
        assert after.errors == 0
        assert after.commits > begin.commits
        node.faults(failing_domain="1@archive.example.org")
        assert sick(node)["DISCOVERY_DOMAIN_FAILURE"]["evidence"]["count"] == 3


# --- waiting, bars, bad options ---


def test_waiting_ends_when_the_fault_is_lifted(station: fleet.Node) -> None:
    station.faults(buffer=5)
    lifted = threading.Timer(1.5, station.faults)
    lifted.start()
    result = good(look(station, wait_timeout=60, wait_interval=0.2))
    lifted.join()
    assert result["health"]["healthy"]
    assert result["attempts"] > 1
    assert 1 < result["waited"] < 30


def test_the_deadline_ends_waiting(quiet: fleet.Node) -> None:
    quiet.faults(buffer=5)
    result = look(quiet, wait_timeout=1, wait_interval=0.3)
    assert result["failed"]
    assert "BUFFER_CRITICAL" in result["msg"]
    assert result["attempts"] >= 3
    assert 1 <= result["waited"] < 4


def test_never_tells_all_and_fails_for_nothing(quiet: fleet.Node) -> None:
    quiet.faults(buffer=5)
    result = good(look(quiet, fail_on="never"))
    assert not result["health"]["healthy"]
    assert result["health"]["findings"][0]["code"] == "BUFFER_CRITICAL"


@pytest.mark.parametrize(
    "wrong",
    [
        {"qa_floor": 2},
        {"buffer_critical": 90},
        {"wait_interval": 0},
        {"wait_timeout": -1},
        {"discovery_window_hours": 0},
        {"api_url": "ftp://127.0.0.1"},
        {"api_timeout": 0},
        {"lock_timeout": "nan"},
    ],
)
def test_a_wrong_option_is_refused_and_is_no_judgement(quiet: fleet.Node, wrong: dict[str, Any]) -> None:
    result = look(quiet, **wrong)
    assert result["failed"]
    assert result["error"]["code"] == "bad_input"
    assert next(iter(wrong)) in result["msg"]
    assert "health" not in result


def test_a_killed_look_leaves_nothing_behind(quiet: fleet.Node) -> None:
    quiet.faults(pipeline="quiet", hang="30@/v1/status")
    before = sorted(tree(quiet.root))
    arguments = {"ANSIBLE_MODULE_ARGS": {"root": str(quiet.root), "api_url": quiet.url}}
    command = [sys.executable, "-m", f"{helpers.MODULES}.node_health", json.dumps(arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/") as process:
        time.sleep(0.7)
        process.kill()
    assert sorted(tree(quiet.root)) == before
    assert quiet.state.errors == 0
