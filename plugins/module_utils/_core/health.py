# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judging a sample: pure, so that a stored sample is judged today as it was then.

A rule that the station's API has as well carries the same code, and the API's alert is noted in our finding's
evidence (``api_alert``), which then has the worse severity of the two. An alert that we do not find ourselves
is a finding ``API_<code>`` of its severity: the API's rules may be stricter than the thresholds asked for.
Its alert that nothing passed QA while nothing has been checked is only noted: it is none (node contract).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from . import health_gauges, health_sources
from .control_answers import Alert
from .findings import FAIL_ON, NEVER, QA_BASELINES, SEVERITIES, Finding, Thresholds
from .health_view import METRICS, STATE_DB, Rule, View, rfc3339
from .probes import one_line
from .sample_record import Sample

__all__ = [
    "FAIL_ON",
    "NEVER",
    "QA_BASELINES",
    "SEVERITIES",
    "Finding",
    "Health",
    "Thresholds",
    "judge",
    "summary",
]

RULES: tuple[Rule, ...] = (*health_sources.RULES, *health_gauges.RULES)
_NO_ALARM = {"QA_PASS_RATE_LOW": "QA_NOT_JUDGED"}
_MAX_TOLD = 5
_MAX_REASON = 240


@dataclass(frozen=True)
class Health:
    """The judgement: ``healthy`` if no finding is as severe as was asked for; ``findings``, the worst first.

    ``gauges`` are those of ``source`` (``state_db``, or ``metrics`` when it has none), as of ``sampled_at``;
    ``state`` is the API's ``RUNNING`` or ``EMERGENCY``. All are ``None`` or empty when unknown.
    """

    healthy: bool
    findings: tuple[Finding, ...]
    gauges: dict[str, float]
    source: str | None
    sampled_at: datetime | None
    state: str | None

    def result(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {
            "healthy": self.healthy,
            "findings": [finding.result() for finding in self.findings],
            "gauges": self.gauges,
            "source": self.source,
            "sampled_at": rfc3339(self.sampled_at),
            "state": self.state,
        }


def judge(sample: Sample, thresholds: Thresholds | None = None, now: datetime | None = None) -> Health:
    """Judge what was seen of a node; ``now`` is when ages count, by default the end of the sample."""
    limits = thresholds or Thresholds()
    view = View(sample, limits, now or sample.until)
    ours = [finding for rule in RULES for finding in rule(view)]
    findings = sorted(_with_alerts(ours, sample.alerts.value or ()), key=lambda finding: finding.rank)
    source = next((name for name in (STATE_DB, METRICS) if name in view.readings), None)
    return Health(
        healthy=not any(finding.reaches(limits.unhealthy_from) for finding in findings),
        findings=tuple(findings),
        gauges=dict(view.readings[source]) if source else {},
        source=source,
        sampled_at=view.samples[0].at if view.samples else None,
        state=sample.status.value.state if sample.status.value else None,
    )


def _with_alerts(findings: list[Finding], alerts: Iterable[Alert]) -> list[Finding]:
    for alert in alerts:
        told = {"severity": alert.severity, "message": alert.message}
        codes = (alert.code, _NO_ALARM.get(alert.code))
        ours = [number for number, finding in enumerate(findings) if finding.code in codes]
        for number in ours:
            finding = findings[number]
            worse = min(finding.severity, alert.severity, key=SEVERITIES.index)
            severity = worse if finding.code == alert.code else finding.severity
            evidence = {**finding.evidence, "api_alert": told}
            findings[number] = replace(finding, severity=severity, evidence=evidence)
        if not ours:
            reason = f"the API raises {alert.code}: {alert.message}"
            findings.append(Finding(alert.severity, f"API_{alert.code}", reason, {"api_alert": told}))
    return findings


def summary(findings: Iterable[Finding], least: str) -> str:
    """Return the findings that are of severity ``least`` or worse as one bounded line, the worst first."""
    told = [finding for finding in findings if finding.reaches(least)]
    parts = [
        f"{finding.severity} {finding.code} ({one_line(finding.reason, _MAX_REASON)})"
        for finding in told[:_MAX_TOLD]
    ]
    if len(told) > _MAX_TOLD:
        parts.append(f"and {len(told) - _MAX_TOLD} more")
    return "; ".join(parts)
