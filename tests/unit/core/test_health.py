# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules about gauges and discovery, each at its boundary on both sides; how findings come together."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import health
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Alert
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Finding, Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Sample

from . import sample_maker as maker
from .sample_maker import BASELINE, GOOD, NOW, domain, failed, failures, gauges, history_of, make, samples


def found(sample: Sample, **limits: Any) -> dict[str, Finding]:
    """The findings by their codes; none may come twice unless it is about a domain."""
    findings = health.judge(sample, Thresholds(**limits)).findings
    codes = [finding.code for finding in findings]
    assert len(set(codes)) == len(codes), codes
    return {finding.code: finding for finding in findings}


def severities(sample: Sample, **limits: Any) -> dict[str, str]:
    return {code: finding.severity for code, finding in found(sample, **limits).items()}


def fallback(*rates: float) -> Sample:
    return make(*(gauges(fallback_rate=rate) for rate in rates))


def test_a_healthy_node_has_no_finding_and_tells_its_gauges() -> None:
    judged = health.judge(make())
    assert judged.result() == {
        "healthy": True,
        "findings": [],
        "gauges": GOOD,
        "source": "state_db",
        "sampled_at": "2026-11-24T08:50:00.000000Z",
        "state": "RUNNING",
    }


RATES: dict[str, tuple[Sample, dict[str, Any], dict[str, str]]] = {
    "the buffer at its target": (make(gauges(buffer_minutes=60)), {}, {}),
    "just below the target": (make(gauges(buffer_minutes=59.99)), {}, {"BUFFER_LOW": "low"}),
    "at the critical minutes": (make(gauges(buffer_minutes=20)), {}, {"BUFFER_LOW": "low"}),
    "just below the critical ones": (make(gauges(buffer_minutes=19.99)), {}, {"BUFFER_CRITICAL": "critical"}),
    "another target": (make(gauges(buffer_minutes=99)), {"buffer_target": 100}, {"BUFFER_LOW": "low"}),
    "another critical buffer": (
        make(gauges(buffer_minutes=15)),
        {"buffer_critical": 10},
        {"BUFFER_LOW": "low"},
    ),
    "QA at the floor": (make(gauges(qa_pass_rate=0.85)), {"qa_baseline": "floor"}, {}),
    "QA just below the floor": (
        make(gauges(qa_pass_rate=0.8499)),
        {"qa_baseline": "floor"},
        {"QA_PASS_RATE_LOW": "high"},
    ),
    "QA as far below its history as it may be": (make(gauges(qa_pass_rate=0.90)), {}, {}),
    "QA below its history": (
        make(gauges(qa_pass_rate=0.8999)),
        {},
        {"QA_PASS_RATE_BELOW_BASELINE": "high"},
    ),
    "QA below both is told once": (make(gauges(qa_pass_rate=0.5)), {}, {"QA_PASS_RATE_LOW": "high"}),
    "QA below the floor, judged by a history of the like": (
        make(
            gauges(qa_pass_rate=0.80),
            samples=samples(history_of(gauges(qa_pass_rate=0.80)), replace(BASELINE, median=0.82)),
        ),
        {"qa_baseline": "history"},
        {},
    ),
    "a history of eight": (
        make(
            gauges(qa_pass_rate=0.86),
            samples=samples(history_of(gauges(qa_pass_rate=0.86)), replace(BASELINE, count=8)),
        ),
        {},
        {"QA_PASS_RATE_BELOW_BASELINE": "high"},
    ),
    "a history of seven is none": (
        make(
            gauges(qa_pass_rate=0.86),
            samples=samples(history_of(gauges(qa_pass_rate=0.86)), replace(BASELINE, count=7)),
        ),
        {},
        {},
    ),
    "without a history the floor counts": (
        make(gauges(qa_pass_rate=0.84), samples=samples(history_of(gauges(qa_pass_rate=0.84)), None)),
        {"qa_baseline": "history"},
        {"QA_PASS_RATE_LOW": "high", "QA_HISTORY_SHORT": "low"},
    ),
    "nothing checked: no plans": (
        make(gauges(qa_pass_rate=0, plans_created=0, plans_committed=0)),
        {},
        {"QA_NOT_JUDGED": "low"},
    ),
    "nothing checked: no assets": (
        make(gauges(qa_pass_rate=0), assets=maker.seen(False)),
        {},
        {"QA_NOT_JUDGED": "low"},
    ),
    "everything rejected": (make(gauges(qa_pass_rate=0)), {}, {"QA_PASS_RATE_LOW": "high"}),
    "fallback at its cap": (fallback(0.29, 0.30), {}, {}),
    "fallback above its cap": (fallback(0.29, 0.3001), {}, {"FALLBACK_RATE_HIGH": "high"}),
    "a jump, which binary fractions make a little less than it is": (
        fallback(0.10, 0.25),
        {},
        {"FALLBACK_RATE_GROWING": "medium"},
    ),
    "no jump": (fallback(0.10, 0.2499), {}, {}),
    "a fall is no jump": (fallback(0.30, 0.10), {}, {}),
    "growth over four samples": (fallback(0.10, 0.12, 0.14, 0.16), {}, {"FALLBACK_RATE_CLIMBING": "high"}),
    "growth over three": (fallback(0.10, 0.10, 0.13, 0.16), {}, {}),
    "growth of exactly enough": (fallback(0.10, 0.12, 0.14, 0.15), {}, {"FALLBACK_RATE_CLIMBING": "high"}),
    "growth of noise": (fallback(0.10, 0.11, 0.12, 0.1499), {}, {}),
    "slow growth over a longer run": (
        fallback(0.10, 0.11, 0.12, 0.13, 0.14, 0.15),
        {},
        {"FALLBACK_RATE_CLIMBING": "high"},
    ),
    "a standstill breaks the run": (fallback(0.10, 0.14, 0.14, 0.16, 0.18), {}, {}),
    "growth that is over": (fallback(0.10, 0.14, 0.18, 0.22, 0.21), {}, {}),
    "growth over two, if asked for": (
        fallback(0.10, 0.11),
        {"fallback_growth_samples": 2, "fallback_growth_min": 0},
        {"FALLBACK_RATE_CLIMBING": "high"},
    ),
    "one sample neither grows nor jumps": (fallback(0.2), {}, {}),
    "a disruption": (make(gauges(stream_disruptions=1)), {}, {"STREAM_DISRUPTIONS": "high"}),
    "as many disruptions as allowed": (make(gauges(stream_disruptions=2)), {"max_stream_disruptions": 2}, {}),
}


@pytest.mark.parametrize("case", RATES)
def test_a_gauge_at_its_boundary(case: str) -> None:
    sample, limits, expected = RATES[case]
    assert severities(sample, **limits) == expected


ALLOWED = "films.example.net"
DOMAINS: dict[str, tuple[Sample, dict[str, Any], dict[str, str]]] = {
    "two failures": (make(failures=failures(domain(ALLOWED, 2, ALLOWED))), {}, {}),
    "three": (
        make(failures=failures(domain(ALLOWED, 3, ALLOWED))),
        {},
        {"DISCOVERY_DOMAIN_FAILURE": "high"},
    ),
    "three, where four are wanted": (
        make(failures=failures(domain(ALLOWED, 3, ALLOWED))),
        {"discovery_failures": 4},
        {},
    ),
    "three of three domains": (
        make(failures=failures(*(domain(f"{name}.example.net", 1, f"{name}.example.net") for name in "abc"))),
        {},
        {},
    ),
    "three of subdomains of one entry": (
        make(failures=failures(domain("a." + ALLOWED, 2, ALLOWED), domain("b." + ALLOWED, 1, ALLOWED))),
        {},
        {"DISCOVERY_DOMAIN_FAILURE": "high"},
    ),
    "a domain that is not allowed": (
        make(failures=failures(domain("other.example", 9))),
        {},
        {"DISCOVERY_OTHER_DOMAIN_FAILURE": "low"},
    ),
    "without the card any domain counts": (
        make(failures=failures(domain("other.example", 3)), card=failed("damaged")),
        {},
        {"DISCOVERY_DOMAIN_FAILURE": "high", "OWNER_CARD_INVALID": "high"},
    ),
    "no domain at all, twice": (make(failures=failures(domain(None, 2))), {}, {}),
    "no domain at all, three times": (
        make(failures=failures(domain(None, 3))),
        {},
        {"DISCOVERY_FAILURE_WITHOUT_DOMAIN": "medium"},
    ),
    "too many domains": (
        make(failures=failures(omitted=1)),
        {},
        {"DISCOVERY_FAILURES_UNCOUNTED": "medium"},
    ),
}


@pytest.mark.parametrize("case", DOMAINS)
def test_discovery_failures_count_by_domain(case: str) -> None:
    sample, limits, expected = DOMAINS[case]
    assert severities(sample, **limits) == expected


def test_every_failing_domain_has_a_finding_that_names_it() -> None:
    names = [f"{letter}.example.net" for letter in "abc"]
    judged = health.judge(make(failures=failures(*(domain(name, 5, name) for name in names))))
    assert [finding.code for finding in judged.findings] == ["DISCOVERY_DOMAIN_FAILURE"] * 3
    assert [finding.evidence["domain"] for finding in judged.findings] == names
    assert judged.findings[0].reason == (
        "discovery of a.example.net failed 5 times since 2026-11-23T09:00:00.000000Z,"
        " last at 2026-11-24T08:00:00.000000Z"
    )


# --- both sources ---


@pytest.mark.parametrize("low", ["state_db", "metrics"])
def test_the_worse_of_two_sources_counts_and_their_disagreement_is_told(low: str) -> None:
    values = {"state_db": 100.0, "metrics": 100.0, low: 5.0}
    sample = make(gauges(buffer_minutes=values["state_db"]), metrics=gauges(buffer_minutes=values["metrics"]))
    findings = found(sample)
    assert {code: one.severity for code, one in findings.items()} == {
        "BUFFER_CRITICAL": "critical",
        "SOURCES_DISAGREE": "high",
    }
    assert findings["BUFFER_CRITICAL"].evidence["state_db"] == values["state_db"]
    assert findings["BUFFER_CRITICAL"].evidence["metrics"] == values["metrics"]
    assert "buffer_minutes" in findings["SOURCES_DISAGREE"].reason


def test_the_constant_buffer_of_the_status_counts_for_nothing() -> None:
    assert "BUFFER_CRITICAL" in found(make(gauges(buffer_minutes=5)))
    assert health.judge(make(gauges(buffer_minutes=5))).gauges["buffer_minutes"] == 5


@pytest.mark.parametrize("told", ["before", "between", "after"])
def test_a_sample_that_came_between_the_looks_is_no_disagreement(told: str) -> None:
    before, between, after = (
        gauges(buffer_minutes=100),
        gauges(buffer_minutes=101),
        gauges(buffer_minutes=102),
    )
    later = samples(history_of(before, between, after, age=9, step=0.5), None)
    sample = make(before, metrics={"before": before, "between": between, "after": after}[told], later=later)
    judged = health.judge(sample)
    assert judged.findings == ()
    assert judged.gauges["buffer_minutes"] == 102


def test_gauges_of_an_older_sample_are_a_disagreement() -> None:
    old = gauges(buffer_minutes=100)
    assert "SOURCES_DISAGREE" in found(make(old, gauges(buffer_minutes=90), metrics=old))


def test_gauges_written_with_other_digits_are_the_same() -> None:
    assert found(make(gauges(qa_pass_rate=0.9500000001), metrics=gauges(qa_pass_rate=0.95))) == {}


def test_gauges_without_any_sample_are_a_disagreement() -> None:
    sample = make(samples=samples([], None), later=samples([], None))
    assert severities(sample) == {"NO_SAMPLES": "critical", "SOURCES_DISAGREE": "high"}
    assert health.judge(sample).source == "metrics"


# --- the API's own alerts ---


def test_an_alert_that_we_find_too_is_told_once_with_the_worse_severity() -> None:
    ours = make(
        gauges(fallback_rate=0.1),
        gauges(fallback_rate=0.26),
        alerts=[Alert("FALLBACK_RATE_GROWING", "high", "it grew")],
    )
    findings = found(ours)
    assert {code: one.severity for code, one in findings.items()} == {"FALLBACK_RATE_GROWING": "high"}
    assert findings["FALLBACK_RATE_GROWING"].evidence["api_alert"] == {
        "severity": "high",
        "message": "it grew",
    }
    milder = make(gauges(buffer_minutes=1), alerts=[Alert("BUFFER_CRITICAL", "medium", "")])
    assert severities(milder) == {"BUFFER_CRITICAL": "critical"}


@pytest.mark.parametrize("severity", ["critical", "high", "medium"])
def test_an_alert_that_we_do_not_find_is_a_finding_of_its_severity(severity: str) -> None:
    sample = make(alerts=[Alert("QA_PASS_RATE_LOW", severity, "QA pass rate is 0.50")])
    assert severities(sample) == {"API_QA_PASS_RATE_LOW": severity}
    assert health.judge(sample).healthy == (severity == "medium")
    assert "0.50" in found(sample)["API_QA_PASS_RATE_LOW"].reason


def test_the_apis_alert_that_nothing_passed_is_no_alarm_while_nothing_was_checked() -> None:
    alert = Alert("QA_PASS_RATE_LOW", "high", "QA pass rate is 0.00")
    new = make(gauges(qa_pass_rate=0, plans_created=0, plans_committed=0), alerts=[alert])
    findings = found(new)
    assert {code: one.severity for code, one in findings.items()} == {"QA_NOT_JUDGED": "low"}
    assert findings["QA_NOT_JUDGED"].evidence["api_alert"]["severity"] == "high"
    assert severities(make(gauges(qa_pass_rate=0), alerts=[alert])) == {"QA_PASS_RATE_LOW": "high"}


def test_three_failures_of_three_allowed_domains_are_the_apis_alert_alone() -> None:
    names = [f"{letter}.example.net" for letter in "abc"]
    alert = Alert("DISCOVERY_DOMAIN_FAILURE", "high", "3 discovery failures in 24 h")
    sample = make(failures=failures(*(domain(name, 1, name) for name in names)), alerts=[alert])
    assert severities(sample) == {"API_DISCOVERY_DOMAIN_FAILURE": "high"}


# --- the judgement ---


@pytest.mark.parametrize(
    ("worst", "fail_on", "healthy"),
    [
        (make(gauges(buffer_minutes=30)), "low", False),
        (make(gauges(buffer_minutes=30)), "medium", True),
        (fallback(0.1, 0.26), "medium", False),
        (fallback(0.1, 0.26), "high", True),
        (make(gauges(qa_pass_rate=0.5)), "high", False),
        (make(gauges(qa_pass_rate=0.5)), "critical", True),
        (make(gauges(qa_pass_rate=0.5)), "never", False),
        (fallback(0.1, 0.26), "never", True),
        (make(gauges(buffer_minutes=5)), "critical", False),
    ],
)
def test_the_bar_is_the_severity_asked_for_and_never_judges_as_high(
    worst: Sample, fail_on: str, healthy: bool
) -> None:
    assert health.judge(worst, Thresholds(fail_on=fail_on)).healthy is healthy


def test_findings_come_worst_first_and_the_summary_is_one_bounded_line() -> None:
    sick = make(
        gauges(fallback_rate=0.1),
        gauges(buffer_minutes=5, qa_pass_rate=0.2, fallback_rate=0.9, stream_disruptions=7),
        failures=failures(*(domain(f"d{number}.example.net", 9, f"d{number}") for number in range(50))),
    )
    judged = health.judge(sick)
    ranks = [health.SEVERITIES.index(finding.severity) for finding in judged.findings]
    assert ranks == sorted(ranks)
    told = health.summary(judged.findings, "high")
    assert told.startswith("critical BUFFER_CRITICAL (buffer is 5 min, below 20 ")
    assert told.endswith("; and 49 more")
    assert "\n" not in told
    assert "FALLBACK_RATE_GROWING" not in told  # medium
    assert len(told) < 5 * 300
    json.dumps(judged.result(), allow_nan=False)


def test_a_foreign_text_stays_one_line_in_the_summary() -> None:
    alert = Alert("X", "critical", "first\nsecond\x1b[31m" + "x" * 400)
    told = health.summary(health.judge(make(alerts=[alert])).findings, "high")
    assert told.isprintable()
    assert len(told) < 300


def test_ages_count_up_to_now() -> None:
    assert health.judge(make()).healthy
    late = health.judge(make(), now=NOW + timedelta(minutes=31))
    assert [finding.code for finding in late.findings] == ["PIPELINE_STALE"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer_target": 10},
        {"buffer_critical": -1},
        {"buffer_target": float("nan")},
        {"qa_floor": 1.01},
        {"qa_tolerance": -0.1},
        {"qa_baseline": "median"},
        {"qa_history_min": 0},
        {"fallback_cap": float("inf")},
        {"fallback_growth_samples": 1},
        {"fallback_growth_samples": 101},
        {"discovery_failures": 0},
        {"commit_interval_minutes": 0},
        {"stale_grace_minutes": -1},
        {"clock_tolerance": -1},
        {"max_stream_disruptions": -1},
        {"fail_on": "medium-rare"},
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused_by_name(wrong: dict[str, Any]) -> None:
    name = "buffer_critical" if wrong == {"buffer_target": 10} else next(iter(wrong))
    with pytest.raises(BadInput, match=name):
        Thresholds(**wrong)
