# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module node_health: what the API says of itself, and what the history says of the pipeline."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration import helpers
from tests.integration.helpers import good, sqlite3
from tests.integration.modules.node_health import asked, look, sick
from tests.simulator import fleet

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

# --- what the API says of itself ---


def test_the_constant_buffer_of_the_status_does_not_hide_an_empty_one(quiet: fleet.Node) -> None:
    quiet.faults(buffer=5)
    assert json.loads(asked(quiet, "/v1/status"))["buffer_minutes"] == 60
    found = sick(quiet, fail_on="critical")["BUFFER_CRITICAL"]
    assert (found["evidence"]["state_db"], found["evidence"]["metrics"]) == (5, 5)
    assert found["evidence"]["api_alert"]["severity"] == "critical"
    quiet.faults(buffer=30)
    assert sick(quiet, fail_on="low")["BUFFER_LOW"]["severity"] == "low"
    assert good(look(quiet, buffer_target=30, fail_on="low"))["health"]["gauges"]["buffer_minutes"] == 30


def test_a_dead_pipeline_with_good_gauges_is_not_healthy(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path / "node", size="1M", lease_seconds=0.5, renew_seconds=0.2) as node:
        good(look(node))
        node.faults(pipeline="frozen")
        time.sleep(0.6)
        assert json.loads(asked(node, "/v1/alerts"))["alerts"] == []
        assert list(sick(node)) == ["SCHEDULER_LEASE_EXPIRED"]
        sqlite3(node.state_db, "DELETE FROM scheduler_locks")
        assert list(sick(node)) == ["SCHEDULER_LEASE_MISSING"]


def test_old_samples_are_stale_however_good_they_are(quiet: fleet.Node) -> None:
    hours = "replace(strftime('%Y-%m-%dT%H:%M:%S', ts, '{} hours') || substr(ts, 20), ' ', 'T')"
    sqlite3(quiet.state_db, f"UPDATE metric_samples SET ts = {hours.format(-3)}")
    assert json.loads(asked(quiet, "/v1/alerts"))["alerts"] == []
    found = sick(quiet)
    assert list(found) == ["PIPELINE_STALE"]
    assert 179 < found["PIPELINE_STALE"]["evidence"]["age_minutes"] < 182
    assert found["PIPELINE_STALE"]["evidence"]["limit_minutes"] == 40
    good(look(quiet, stale_grace_minutes=160))
    sqlite3(quiet.state_db, f"UPDATE metric_samples SET ts = {hours.format(+4)}")
    assert list(sick(quiet)) == ["SAMPLE_FROM_FUTURE"]


def test_a_new_station_that_has_checked_nothing_yet_is_not_all_bad(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path / "node", size="0", sample_every=100_000) as node:
        assert json.loads(asked(node, "/v1/alerts"))["alerts"][0]["code"] == "QA_PASS_RATE_LOW"
        found = good(look(node))["health"]["findings"]
        assert [(one["code"], one["severity"]) for one in found] == [("QA_NOT_JUDGED", "low")]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "http_500": ({"http_500": "all"}, "http_status"),
    "another code": ({"status": "404@all"}, "http_status"),
    "malformed": ({"malformed": "/v1/alerts"}, "not_json"),
    "html": ({"html": "/v1/alerts"}, "not_json"),
    "no metrics": ({"html": "/metrics"}, "not_text"),
    "NaN": ({"nan": "/metrics"}, "bad_value"),
    "negative": ({"negative": "/metrics"}, "bad_value"),
    "huge": ({"huge": "8M@/metrics"}, "too_large"),
    "hang": ({"hang": "30@/v1/status"}, "timeout"),
    "trickle": ({"trickle": "1@/v1/alerts"}, "timeout"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_an_api_that_answers_wrongly_is_never_healthy_and_says_why(quiet: fleet.Node, case: str) -> None:
    fault, reason = FAULTS[case]
    quiet.faults(pipeline="quiet", **fault)
    begin = time.monotonic()
    found = sick(quiet, fail_on="critical", api_timeout=0.4)
    assert time.monotonic() - begin < 6
    code = "CONTROL_API_UNREACHABLE" if reason == "timeout" else "CONTROL_API_BAD_ANSWER"
    assert list(found) == [code]
    assert found[code]["evidence"]["reason"] == reason


def test_a_clock_that_is_an_hour_off_is_told(quiet: fleet.Node) -> None:
    quiet.faults(pipeline="quiet", clock=3600)
    found = sick(quiet)
    assert list(found) == ["CLOCK_SKEW"]
    assert 3590 < found["CLOCK_SKEW"]["evidence"]["seconds"] < 3610


def test_emergency_mode_is_a_finding_of_its_own(quiet: fleet.Node) -> None:
    good(helpers.module("emergency_mode", root=quiet.root, api_url=quiet.url, env="dev", state="on"))
    assert good(look(quiet))["health"]["state"] == "EMERGENCY"
    assert list(sick(quiet, fail_on="medium")) == ["EMERGENCY_MODE"]


# --- history ---


def test_discovery_failures_count_by_allowed_domain(quiet: fleet.Node) -> None:
    for domain in ("archive.example.org", "films.example.net", "elsewhere.example", "-"):
        quiet.faults(failing_domain=f"2@{domain}")
    quiet.faults(pipeline="quiet")
    found = sick(quiet)
    assert list(found) == ["API_DISCOVERY_DOMAIN_FAILURE"]  # the API counts all of them together
    quiet.faults(failing_domain="1@cdn.films.example.net")
    quiet.faults(failing_domain="2@elsewhere.example")
    quiet.faults(failing_domain="2@-")
    quiet.faults(pipeline="quiet")
    found = sick(quiet)
    assert {code: one["severity"] for code, one in found.items()} == {
        "DISCOVERY_DOMAIN_FAILURE": "high",
        "DISCOVERY_FAILURE_WITHOUT_DOMAIN": "medium",
        "DISCOVERY_OTHER_DOMAIN_FAILURE": "low",
    }
    evidence = found["DISCOVERY_DOMAIN_FAILURE"]["evidence"]
    assert (evidence["domain"], evidence["count"]) == ("films.example.net", 3)
    assert evidence["domains"] == ["films.example.net", "cdn.films.example.net"]
    assert found["DISCOVERY_OTHER_DOMAIN_FAILURE"]["evidence"]["domains"] == {"elsewhere.example": 4}
    assert "DISCOVERY_DOMAIN_FAILURE" not in sick(quiet, discovery_failures=4)


def test_without_its_owner_card_a_node_is_not_healthy_and_every_domain_counts(quiet: fleet.Node) -> None:
    quiet.faults(failing_domain="3@elsewhere.example")
    quiet.faults(pipeline="quiet")
    quiet.owner_card.write_text("schema_version: 0\n")
    found = sick(quiet)
    assert {"OWNER_CARD_INVALID", "DISCOVERY_DOMAIN_FAILURE"} <= set(found)
    assert found["DISCOVERY_DOMAIN_FAILURE"]["evidence"]["allowlisted"] is None
    quiet.owner_card.unlink()
    assert "OWNER_CARD_UNREADABLE" in sick(quiet)


def test_a_fallback_rate_that_grows_with_each_sample_is_found_before_it_is_high(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path / "node", size="1M", sample_every=1, commit_interval=0.3) as node:
        good(look(node, fail_on="medium"))
        node.faults(fallback_step=0.02)
        samples = node.state.samples
        while node.state.samples < samples + 4:
            time.sleep(0.05)
        node.faults(pipeline="quiet")
        found = sick(node)
        assert list(found) == ["FALLBACK_RATE_CLIMBING"]
        run = [one["fallback_rate"] for one in found["FALLBACK_RATE_CLIMBING"]["evidence"]["samples"]]
        assert len(run) >= 4
        assert run == sorted(set(run))
        assert good(look(node, fallback_growth_samples=20))["health"]["healthy"]


def test_a_qa_rate_below_the_nodes_own_history_is_found_above_the_floor(quiet: fleet.Node) -> None:
    quiet.faults(qa=0.87)
    assert list(sick(quiet)) == ["QA_PASS_RATE_BELOW_BASELINE"]
    good(look(quiet, qa_baseline="floor"))
    quiet.faults(qa=0.5)
    assert sick(quiet)["QA_PASS_RATE_LOW"]["evidence"]["api_alert"]["severity"] == "high"
