# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules about what can be believed, and that nothing unseen is ever called healthy."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import health
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import GAUGES, Alert, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import REASONS, SEVERITIES
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import FAIL_ON, Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.health_view import MADE_UP
from ansible_collections.vvtv.runbook.plugins.module_utils._core.probes import Probe, not_asked
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Card, Sample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.state_history import (
    Integrity,
    Lease,
    MetricSample,
)
from tests.simulator import gauges as simulated

from .sample_maker import NOW, domain, failed, failures, gauges, history_of, make, samples, seen

SECOND = timedelta(seconds=1)
NOBODY = ("refused", "timeout", "unreachable")
STATES = {
    "not_found": "STATE_DB_MISSING",
    "empty": "STATE_DB_EMPTY",
    "foreign": "STATE_DB_FOREIGN",
    "denied": "STATE_DB_UNREADABLE",
    "damaged": "STATE_DB_CORRUPT",
    "busy": "STATE_DB_BUSY",
    "slow": "STATE_DB_SLOW",
    "system": "STATE_DB_UNREADABLE",
}


def severities(sample: Sample, **limits: Any) -> dict[str, str]:
    findings = health.judge(sample, Thresholds(**limits)).findings
    assert len({finding.code for finding in findings}) == len(findings)
    return {finding.code: finding.severity for finding in findings}


def lease(seconds: float) -> Probe[Any]:
    return seen(Lease("orchestrator-1", NOW + seconds * SECOND))


def aged(minutes: float) -> dict[str, Any]:
    newest = history_of(gauges(), gauges(), age=minutes)
    return {"samples": samples(newest), "later": samples(newest[:1], None)}


# --- state.db ---


@pytest.mark.parametrize("reason", STATES)
def test_an_unreadable_state_db_is_critical_whatever_the_api_says(reason: str) -> None:
    unread: dict[str, Any] = {"state": failed(reason), "later": not_asked("the first look failed")}
    assert severities(make(**unread)) == {STATES[reason]: "critical"}
    assert severities(make(**unread, metrics=dict(MADE_UP))) == {
        STATES[reason]: "critical",
        "METRICS_MADE_UP": "critical",
    }
    left_out = make(**unread, metrics=not_asked("it would be made"))
    assert severities(left_out) == {STATES[reason]: "critical"}
    assert health.judge(left_out).gauges == {}


@pytest.mark.parametrize("part", ["integrity", "failures", "assets", "lease", "samples"])
def test_a_part_that_cannot_be_read_is_critical_and_named(part: str) -> None:
    judged = health.judge(make(**{part: failed("damaged", "page 7 is torn")}))
    assert [finding.code for finding in judged.findings] == ["STATE_DB_CORRUPT"]
    assert judged.findings[0].severity == "critical"
    assert judged.findings[0].evidence == {"errors": {part: "page 7 is torn"}}


def test_parts_with_the_same_trouble_are_one_finding() -> None:
    sample = make(
        integrity=failed("damaged", "a"), failures=failed("damaged", "b"), lease=failed("busy", "c")
    )
    judged = health.judge(sample)
    assert [(finding.code, finding.evidence["errors"]) for finding in judged.findings] == [
        ("STATE_DB_BUSY", {"lease": "c"}),
        ("STATE_DB_CORRUPT", {"integrity": "a", "failures": "b"}),
    ]


def test_a_second_look_that_fails_is_a_finding_and_no_disagreement() -> None:
    sample = make(metrics=gauges(buffer_minutes=99), later=failed("busy"))
    assert severities(sample) == {"STATE_DB_BUSY": "critical"}


def test_a_check_that_was_given_up_is_told() -> None:
    assert severities(make(integrity=seen(Integrity("full", "light")))) == {
        "INTEGRITY_NOT_FINISHED": "medium"
    }
    for level in ("none", "light", "quick", "full"):
        assert severities(make(integrity=seen(Integrity(level, level)))) == {}


def test_malformed_rows_are_counted_and_worse_when_they_hide_the_newest_sample() -> None:
    newest = history_of(gauges(), gauges())
    old, new = newest[0].at - SECOND, newest[0].at + SECOND
    cases = (
        (make(failures=failures(malformed=1)), "medium"),
        (make(samples=samples(newest, malformed=2)), "medium"),
        (make(samples=samples(newest, malformed=1, malformed_at=old)), "medium"),
        (make(samples=samples(newest, malformed=1, malformed_at=new)), "high"),
    )
    for sample, severity in cases:
        assert severities(sample) == {"STATE_DB_MALFORMED_ROWS": severity}
    told = health.judge(make(samples=samples(newest, malformed=2), failures=failures(malformed=3))).findings
    assert told[0].evidence["rows"] == {"metric_samples": 2, "audit_events": 3}
    assert "2 of metric_samples and 3 of audit_events" in told[0].reason


# --- the pipeline ---


@pytest.mark.parametrize(
    ("sample", "limits", "expected"),
    [
        (make(**aged(40)), {}, {}),
        (make(**aged(40.1)), {}, {"PIPELINE_STALE": "high"}),
        (make(**aged(70), card=seen(Card("0" * 64, 60))), {}, {}),
        (make(**aged(70.1), card=seen(Card("0" * 64, 60))), {}, {"PIPELINE_STALE": "high"}),
        (make(**aged(30.1)), {"stale_grace_minutes": 0}, {"PIPELINE_STALE": "high"}),
        (
            make(**aged(20.1), card=failed("denied")),
            {"commit_interval_minutes": 10},
            {"PIPELINE_STALE": "high", "OWNER_CARD_UNREADABLE": "high"},
        ),
        (make(**aged(-1)), {}, {}),
        (make(**aged(-1.01)), {}, {"SAMPLE_FROM_FUTURE": "high"}),
        (make(**aged(-1.01)), {"clock_tolerance": 61}, {}),
        (make(lease=lease(0)), {}, {}),
        (make(lease=lease(-0.01)), {}, {"SCHEDULER_LEASE_EXPIRED": "high"}),
        (make(lease=seen(None)), {}, {"SCHEDULER_LEASE_MISSING": "high"}),
        (make(lease=lease(90)), {}, {}),
        (make(lease=lease(90.01)), {}, {"SCHEDULER_LEASE_FROM_FUTURE": "high"}),
    ],
)
def test_the_pipelines_life_at_its_boundaries(
    sample: Sample, limits: dict[str, Any], expected: dict[str, str]
) -> None:
    assert severities(sample, **limits) == expected


def test_no_metric_sample_at_all_is_critical_though_the_api_has_gauges_and_no_alerts() -> None:
    none = {"samples": samples([], None), "later": samples([], None)}
    judged = health.judge(make(**none, metrics=dict(MADE_UP)))
    assert [finding.code for finding in judged.findings] == ["METRICS_MADE_UP", "NO_SAMPLES"]
    assert judged.gauges == {}
    assert judged.source is None


def test_a_first_sample_that_came_after_the_first_look_is_data() -> None:
    newest = history_of(gauges(), age=0)
    assert severities(make(samples=samples([], None), later=samples(newest, None))) == {}


def test_a_real_sample_that_equals_the_made_up_one_is_believed() -> None:
    assert severities(make(dict(MADE_UP))) == {}


def test_the_made_up_sample_is_the_one_that_the_simulated_station_makes_up() -> None:
    assert {**MADE_UP} == simulated.MADE_UP
    assert tuple(MADE_UP) == GAUGES


# --- the API, its clock, its mode, the card ---


@pytest.mark.parametrize("call", ["status", "metrics", "alerts"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_way_an_answer_can_be_wrong_is_critical_and_named(call: str, reason: str) -> None:
    sample = replace(make(), **{call: failed(reason, "answered 500", 500)})
    judged = health.judge(sample)
    code = "CONTROL_API_UNREACHABLE" if reason in NOBODY else "CONTROL_API_BAD_ANSWER"
    assert [(finding.code, finding.severity) for finding in judged.findings] == [(code, "critical")]
    assert judged.findings[0].evidence == {"reason": reason, "errors": {call: "answered 500"}, "status": 500}
    assert call in judged.findings[0].reason


def test_a_dead_api_is_one_finding() -> None:
    dead = failed("refused")
    assert severities(replace(make(), status=dead, metrics=dead, alerts=dead)) == {
        "CONTROL_API_UNREACHABLE": "critical"
    }
    mixed = replace(make(), status=dead, metrics=failed("http_status", "answered 500", 500))
    assert severities(mixed) == {
        "CONTROL_API_UNREACHABLE": "critical",
        "CONTROL_API_BAD_ANSWER": "critical",
    }


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(60, {}), (61, {"CLOCK_SKEW": "high"}), (-60, {}), (-61, {"CLOCK_SKEW": "high"})],
)
def test_the_clock_of_the_api(seconds: float, expected: dict[str, str]) -> None:
    assert severities(make(status=seen(Status("RUNNING", 60, NOW + seconds * SECOND)))) == expected


def test_a_slow_answer_is_no_clock_that_is_ahead() -> None:
    slow = Probe(NOW - 100 * SECOND, 100.0, Status("RUNNING", 60, NOW))
    assert severities(make(status=slow)) == {}


def test_emergency_mode_is_medium() -> None:
    judged = health.judge(make(status=seen(Status("EMERGENCY", 60, NOW))))
    assert [(finding.code, finding.severity) for finding in judged.findings] == [("EMERGENCY_MODE", "medium")]
    assert judged.healthy
    assert judged.state == "EMERGENCY"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("damaged", "OWNER_CARD_INVALID"),
        ("not_found", "OWNER_CARD_UNREADABLE"),
        ("denied", "OWNER_CARD_UNREADABLE"),
        ("missing_library", "OWNER_CARD_UNREADABLE"),
    ],
)
def test_a_card_that_cannot_be_read_is_told(reason: str, code: str) -> None:
    assert severities(make(card=failed(reason))) == {code: "high"}


# --- nothing crashes, nothing unseen is healthy ---

NUMBER = st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e300)
RATE = st.floats(0, 1)
GAUGE_SETS = st.one_of(
    st.just(dict(MADE_UP)),
    st.fixed_dictionaries({name: RATE if name.endswith("_rate") else NUMBER for name in GAUGES}),
)
INSTANTS = st.datetimes(
    NOW.replace(tzinfo=None) - timedelta(days=400), NOW.replace(tzinfo=None) + timedelta(days=2)
).map(lambda naive: naive.replace(tzinfo=NOW.tzinfo))
METRIC_SAMPLES = st.lists(st.builds(MetricSample, INSTANTS, GAUGE_SETS), max_size=9)
NAMES = st.none() | st.text("abc.", min_size=1, max_size=9)
DOMAINS = st.lists(st.builds(domain, NAMES, st.integers(1, 9), NAMES), max_size=5)
ALERTS = st.lists(
    st.builds(Alert, st.sampled_from(["BUFFER_CRITICAL", "OTHER"]), st.sampled_from(SEVERITIES), st.text())
)


@st.composite
def anything(draw: st.DrawFn) -> Sample:
    """A node in any state that a sample can describe, with every look gone well."""
    found = draw(METRIC_SAMPLES)
    return make(
        metrics=draw(GAUGE_SETS),
        alerts=draw(ALERTS),
        samples=samples(found, malformed=draw(st.integers(0, 3)), malformed_at=draw(st.none() | INSTANTS)),
        later=samples(draw(METRIC_SAMPLES), None),
        failures=failures(*draw(DOMAINS), omitted=draw(st.integers(0, 2))),
        lease=seen(draw(st.none() | st.builds(Lease, st.text(), INSTANTS))),
        assets=seen(draw(st.booleans())),
        card=seen(Card("0" * 64, draw(st.integers(0, 10_000)))),
        status=seen(Status(draw(st.sampled_from(["RUNNING", "EMERGENCY"])), 60, draw(INSTANTS))),
    )


@given(anything())
def test_any_node_is_judged_and_the_judgement_can_be_told(sample: Sample) -> None:
    judged = health.judge(sample)
    json.dumps(judged.result(), allow_nan=False)
    assert judged.healthy == all(finding.severity in ("medium", "low") for finding in judged.findings)
    assert health.summary(judged.findings, "low").isprintable()


PARTS = ("integrity", "failures", "assets", "lease", "samples")
LOOKS = ("state", "status", "metrics", "alerts", "later")


@given(anything(), st.sampled_from((*LOOKS, *PARTS)), st.sampled_from((*STATES, *REASONS, "not_asked")))
def test_a_sample_with_any_look_failed_is_never_healthy(sample: Sample, name: str, reason: str) -> None:
    if name in PARTS:
        assert sample.state.value is not None
        sample = replace(sample, state=seen(replace(sample.state.value, **{name: failed(reason)})))
    else:
        sample = replace(sample, **{name: failed(reason)})
    for severity in FAIL_ON:
        assert not health.judge(sample, Thresholds(fail_on=severity)).healthy
