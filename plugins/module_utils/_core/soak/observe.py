# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one sample of a soak says: its failures by code, and the errors that kept it from seeing more.

A failure is something that was seen and is wrong. An error is something that could not be seen: the API gave
no good answer, or state.db was busy. Errors are counted apart, since they prove neither side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .. import health, slo
from ..findings import Finding, Thresholds
from ..metric_rows import nothing_checked
from ..probes import NOT_ASKED, one_line
from ..sample_record import Sample
from . import store

API, NODE = "api", "node"
_NOT_SEEN = {
    "CONTROL_API_UNREACHABLE": API,
    "CONTROL_API_BAD_ANSWER": API,
    "STATE_DB_BUSY": NODE,
    "STATE_DB_SLOW": NODE,
    "STATE_DB_UNREADABLE": NODE,
    "OWNER_CARD_UNREADABLE": NODE,
}
# With state.db locked the API makes its gauges up as well: that follows from what we could not see either.
_FOLLOWS = ("METRICS_MADE_UP",)
_CALLS = ("status", "metrics", "alerts")


@dataclass(frozen=True)
class Observation:
    """A sample, judged. ``failed`` are the findings that count against the node, without their evidence but
    for the first; ``errors`` say by kind (:data:`API`, :data:`NODE`) why something could not be seen.

    ``rows`` are the instants and QA rates of metric samples of the pipeline that were in sight, and whether
    there was anything for QA to check. ``unanswered`` names the calls of the API that failed.
    """

    tick: int
    at: datetime
    until: datetime
    failed: tuple[Finding, ...]
    errors: dict[str, str]
    unanswered: tuple[str, ...]
    available: bool
    state: str | None
    clock: datetime | None
    card: str | None
    gauges: dict[str, float]
    source: str | None
    sampled_at: datetime | None
    rows: tuple[tuple[datetime, float, bool], ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of its failures, the worst first."""
        return tuple(one.code for one in self.failed)


def observe(tick: int, sample: Sample, thresholds: Thresholds) -> Observation:
    """Judge one sample: pure, so that a stored one can be judged again by other thresholds."""
    found = health.judge(sample, thresholds)
    errors: dict[str, str] = {}
    for finding in found.findings:
        kind = _NOT_SEEN.get(finding.code)
        if kind is not None:
            errors.setdefault(kind, f"{finding.code}: {one_line(finding.reason)}")
    blind = NODE in errors
    against = [
        one for one in found.findings if one.code not in _NOT_SEEN and not (blind and one.code in _FOLLOWS)
    ]
    failed = tuple(one for one in against if one.reaches(thresholds.unhealthy_from))
    status = sample.status.value
    return Observation(
        tick,
        sample.at,
        sample.until,
        failed,
        errors,
        tuple(name for name in _CALLS if _unanswered(sample, name)),
        not slo.decisive(against),
        found.state,
        status.timestamp if status else None,
        sample.card.value.sha256 if sample.card.value else None,
        found.gauges,
        found.source,
        found.sampled_at,
        _rows(sample),
    )


def _unanswered(sample: Sample, name: str) -> bool:
    error = getattr(sample, name).error
    return error is not None and error.reason != NOT_ASKED


def _rows(sample: Sample) -> tuple[tuple[datetime, float, bool], ...]:
    before = sample.state.value.samples.value if sample.state.value else None
    looks = [look.newest for look in (before, sample.later.value) if look is not None]
    found = {one.at: one.gauges for look in looks for one in look}
    return tuple(
        (at, gauges["qa_pass_rate"], not nothing_checked(gauges)) for at, gauges in sorted(found.items())
    )


class Observations:
    """The observations of a soak in order, each metric sample in them once, and how many lines were none."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.all: list[Observation] = []
        self.damaged = 0
        self._thresholds = thresholds
        self._known: set[datetime] = set()
        self._told: set[str] = set()

    @property
    def last_tick(self) -> int:
        """The newest tick, -1 when there is none."""
        return self.all[-1].tick if self.all else -1

    def take(self, tick: int | None, sample: Sample | None) -> None:
        """Add what a line of the store holds; one that is none, or out of order, is counted as damaged."""
        if tick is None or sample is None or tick <= self.last_tick:
            self.damaged += 1
            return
        seen = observe(tick, sample, self._thresholds)
        rows = tuple(row for row in seen.rows if row[0] not in self._known)
        self._known.update(row[0] for row in rows)
        self.all.append(replace(seen, rows=rows, failed=tuple(self._short(one) for one in seen.failed)))

    def _short(self, finding: Finding) -> Finding:
        """Keep the evidence of a code's first failure: a soak of a week has many."""
        evidence: dict[str, Any] = {} if finding.code in self._told else finding.evidence
        self._told.add(finding.code)
        return replace(finding, evidence=evidence)


def read(soak: Any, thresholds: Thresholds) -> Observations:
    """Return what the samples in a soak's folder say by these thresholds."""
    found = Observations(thresholds)
    for line in store.read(soak):
        found.take(line.tick, line.sample)
    return found
