# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module audit_event_info, beside what Debian's sqlite3 says of the same table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vvtv.runbook.plugins.module_utils._core import audit
from ansible_collections.vvtv.runbook.plugins.modules import audit_event_info
from tests.integration.helpers import good, module, sqlite3, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.simulator import fleet

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

CODE = "json_extract(payload_json, '$.reason_code')"
YEARS = 24 * 366 * 20


def info(node: fleet.Node, **params: Any) -> dict[str, Any]:
    """Run the module."""
    return good(module("audit_event_info", root=node.root, **params))


def count(node: fleet.Node, where: str) -> int:
    """Ask sqlite3."""
    return int(sqlite3(node.state_db, f"SELECT count(*) FROM audit_events WHERE {where}"))


def files_of(node: fleet.Node) -> dict[str, str]:
    """Return every file but the WAL's index, in which SQLite notes who reads."""
    return {name: found for name, found in tree(node.root).items() if not name.endswith("-shm")}


def test_failures_are_listed_newest_first_and_counted_by_domain(station: fleet.Node) -> None:
    station.faults(failing_domain="3@films.example.net")
    station.faults(failing_domain="2@archive.example.org")
    station.faults(failing_domain="1@-")
    station.faults(pipeline="quiet")
    found = info(station)
    assert not found["changed"]
    assert found["counts"] == {
        "reason_code": {"DISCOVERY_FAILED_DOMAIN": 6},
        "domain": {"films.example.net": 3, "archive.example.org": 2},
        "module": {"discovery": 6},
    }
    assert found["total"] == count(station, f"{CODE} LIKE 'DISCOVERY_FAILED_DOMAIN%'") == 6
    assert (found["malformed"], found["truncated"], found["until"]) == (0, False, None)
    newest_first = f"SELECT event_id FROM audit_events WHERE {CODE} LIKE '%FAILED%' ORDER BY ts DESC"
    ids = [event["event_id"] for event in found["events"]]
    assert sorted(ids) == sorted(sqlite3(station.state_db, newest_first).splitlines())
    assert [event["domain"] for event in found["events"]] == [
        None,
        *["archive.example.org"] * 2,
        *["films.example.net"] * 3,
    ]
    assert [event["ts"] for event in found["events"]] == sorted(
        (event["ts"] for event in found["events"]), reverse=True
    )
    assert set(found["events"][0]) == {
        "event_id", "ts", "actor", "module", "action", "reason_code", "domain", "decision_score",
    }  # fmt: skip


def test_filters_agree_with_sqlite(quiet: fleet.Node) -> None:
    everything = info(quiet, failures_only=False, window_hours=YEARS, limit=1)
    assert everything["total"] == count(quiet, "1")
    assert everything["truncated"]
    by_module = sqlite3(
        quiet.state_db,
        "SELECT json_group_object(module, n) FROM (SELECT json_extract(payload_json, '$.module') AS module,"
        " count(*) AS n FROM audit_events GROUP BY 1)",
    )
    assert everything["counts"]["module"] == json.loads(by_module)
    some = info(
        quiet, failures_only=False, window_hours=YEARS, modules=["q*"], actors=["SYSTEM"], limit=10000
    )
    assert some["total"] == len(some["events"]) == count(quiet, f"{CODE} = 'QA_PASSED'") > 0
    middle = sqlite3(quiet.state_db, "SELECT ts FROM audit_events ORDER BY ts LIMIT 1 OFFSET 100")
    early = info(quiet, failures_only=False, window_hours=YEARS, until=middle)
    assert early["total"] == count(quiet, f"ts < '{middle[:26]}'")
    late = info(quiet, failures_only=False, since=middle)
    assert late["total"] == count(quiet, f"ts >= '{middle[:26]}'") > 0
    assert info(quiet, window_hours=YEARS)["total"] == 0


def test_four_runs_change_nothing(quiet: fleet.Node) -> None:
    quiet.faults(pipeline="frozen")
    before = files_of(quiet)
    results = [
        info(quiet, check=check, failures_only=False, window_hours=YEARS, details=True)
        for check in (True, False, False, True)
    ]
    for result in results:
        assert not result["changed"]
        assert result["actions"] == []
        assert result["events"] == results[0]["events"]
    assert files_of(quiet) == before


def test_ansible_runs_it_on_the_oldest_python_of_a_node(quiet: fleet.Node) -> None:
    found = good(on_a_node("audit_event_info", root=quiet.root, failures_only=False, window_hours=YEARS))
    assert found["total"] == count(quiet, "1")
    assert found["events"] == info(quiet, failures_only=False, window_hours=YEARS)["events"]


def test_a_row_that_is_no_event_is_told(quiet: fleet.Node) -> None:
    sqlite3(quiet.state_db, "INSERT INTO audit_events VALUES ('broken', 'yesterday', '{')")
    result = info(quiet)
    assert result["malformed"] == 1
    assert result["malformed_examples"][0].startswith("broken: 'yesterday' is no RFC 3339 instant")
    assert "1 audit events cannot be read" in result["warnings"][0]


def test_without_a_database_it_fails_and_makes_none(tmp_path: Path) -> None:
    result = module("audit_event_info", root=tmp_path)
    assert result["failed"]
    assert result["error"]["code"] == "not_found"
    assert str(tmp_path / "runtime/state/vvtv.db") in result["msg"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is no RFC 3339"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until must be later"),
        ({"window_hours": -1}, "window_hours must be"),
        ({"limit": 10001}, "limit must be"),
        ({"failure_patterns": []}, "failure_patterns must not be empty"),
        ({"modules": [""]}, "modules: a pattern has"),
    ],
)
def test_a_bad_option_is_named(tmp_path: Path, params: dict[str, Any], word: str) -> None:
    result = module("audit_event_info", root=tmp_path, **params)
    assert result["failed"]
    assert word in result["msg"]


def test_the_default_patterns_are_those_of_the_documentation() -> None:
    options = yaml.safe_load(audit_event_info.DOCUMENTATION)["options"]
    assert options["failure_patterns"]["default"] == list(audit.FAILURE_PATTERNS)


def test_the_station_commits_while_100_000_events_are_read(station: fleet.Node) -> None:
    sqlite3(
        station.state_db,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        " INSERT INTO audit_events SELECT 'made-' || i,"
        " strftime('%Y-%m-%dT%H:%M:%S', 'now', '-' || (i / 10) || ' seconds') || '.123456789+00:00',"
        " json_object('actor', 'system', 'module', 'qa', 'action', 'inspect', 'reason_code',"
        " iif(i % 4 = 0, 'QA_REJECTED', 'QA_PASSED')) FROM n",
    )
    before = station.state
    begun = time.monotonic()
    found = info(station)
    took = time.monotonic() - begun
    after = station.state
    assert found["total"] == 25000
    assert len(found["events"]) == 100
    assert took < 30  # 2 s on an idle machine
    assert after.errors == before.errors
    assert after.commits > before.commits
