# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runbook's SLO: when a station counts as available, a sample of that, and what the samples come to.

A station is available when it serves, by evidence and not by what it says of itself: its API answers in the
contract's form (``RUNNING`` or ``EMERGENCY``: a station in emergency mode serves), its database can be read,
its pipeline lives, and its buffer is known and not critical. In terms of health: no finding is critical, and
none is of :data:`NOT_AVAILABLE`. A poor QA rate or a full log of failures is for health to tell; the viewers
still have a programme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from . import availability_store, times
from .availability import WINDOWS, AvailabilitySample, Objective, Window, measure_ordered, require_interval
from .availability_store import KEEP_DAYS, History
from .errors import RunbookError
from .health import Finding, Health, Thresholds, judge
from .node import Node
from .outcome import Outcome
from .sample import Questions, Sample, Scope, take_sample

INTERVAL = 60.0

# Not critical to health, since an operator has time to look; but with a pipeline that does not live nothing
# shows that the station will go on.
NOT_AVAILABLE = (
    "PIPELINE_STALE",
    "SCHEDULER_LEASE_EXPIRED",
    "SCHEDULER_LEASE_MISSING",
    # With a wrong clock nobody knows whether the pipeline lives.
    "SAMPLE_FROM_FUTURE",
    "SCHEDULER_LEASE_FROM_FUTURE",
)

_BEFORE = timedelta(days=3)  # the sample that speaks for a window's beginning lies before it


class BelowTarget(RunbookError):
    """Availability is below its target, or nothing is known of it."""

    code: ClassVar[str] = "below_target"

    def __init__(self, msg: str, facts: dict[str, Any], **where: Any) -> None:
        super().__init__(msg, **where)
        self.facts = facts


@dataclass(frozen=True)
class Request:
    """How to sample: ``interval`` seconds until the next sample is due, for how many days samples are kept.

    ``timeout`` is how many seconds to wait for the database, and for others who append.
    """

    interval: float = INTERVAL
    keep_days: int = KEEP_DAYS
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        require_interval(self.interval)
        availability_store.require_keep_days(self.keep_days)


def decisive(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that make a station not available."""
    return [one for one in findings if one.severity == "critical" or one.code in NOT_AVAILABLE]


def availability_of(sample: Sample, health: Health, interval: float) -> AvailabilitySample:
    """Return what a judged sample says of availability, as of its beginning."""
    against = tuple(one.code for one in decisive(health.findings))
    return AvailabilitySample(
        at=sample.at,
        available=not against,
        interval=interval,
        reasons=against,
        state=health.state,
        buffer=health.gauges.get("buffer_minutes"),
        latency_ms=round(sample.status.seconds * 1000, 3) if sample.status.ok else None,
    )


def take(
    node: Node,
    api: Questions,
    request: Request,
    check: bool,
    thresholds: Thresholds | None = None,
    scope: Scope | None = None,
) -> Outcome:
    """Sample the node's availability and append it to the node's store; ``check`` looks and appends nothing.

    A station that is not available is a good sample. What is raised is about the store:
    :class:`Busy`, :class:`DiskFull`, :class:`Denied`.
    """
    sample = take_sample(node, api, request.timeout, scope=scope)
    health = judge(sample, thresholds)
    found = availability_of(sample, health, request.interval)
    path = availability_store.path_of(node, found.at)
    outcome = Outcome(facts={"sample": found.result(), "health": health.result()})
    if check:
        pruned = availability_store.prunable(node, found.at, request.keep_days)
    else:
        pruned = availability_store.append(node, found, request.keep_days, request.timeout).pruned
    outcome.did(f"append a sample to {path}")
    for old in pruned:
        outcome.did(f"remove the samples of {old.stem}, older than {request.keep_days} days")
    line = availability_store.to_line(found).decode()
    outcome.diff.append({"before_header": str(path), "after_header": str(path), "before": "", "after": line})
    return outcome


def tell(node: Node, objective: Objective, fail_below: bool, now: datetime | None = None) -> Outcome:
    """Return the node's availability over the runbook's windows, from its store.

    With ``fail_below`` raise :class:`BelowTarget` when a window misses the target or there are no samples.
    """
    until = now or times.now()
    history = History(node, until)
    since = until - timedelta(seconds=max(seconds for _name, seconds in WINDOWS))
    samples = history.samples(since, _BEFORE)
    windows = measure_ordered(samples, until, objective, first=history.first())
    outcome = Outcome(facts=_facts(windows, objective, history))
    if history.malformed:
        folder = availability_store.folder_of(node)
        outcome.warnings.append(f"{folder}: {history.malformed} lines are no samples and are passed over")
    if fail_below:
        _require_met(windows, node, outcome.facts)
    return outcome


def _facts(windows: list[Window], objective: Objective, history: History) -> dict[str, Any]:
    return {
        "windows": [window.result() for window in windows],
        "objective": {
            "target": objective.target,
            "max_gap": objective.max_gap,
            "gaps_count_as": "not available",
            "maintenance": [
                {"start": times.to_text(one.start), "end": times.to_text(one.end), "reason": one.reason}
                for one in objective.maintenance
            ],
        },
        "samples": {
            "count": history.taken,
            "malformed": history.malformed,
            "future": history.future,
            "reasons": dict(history.reasons.most_common()),
            "last": None if history.last is None else history.last.result(),
        },
    }


def _require_met(windows: list[Window], node: Node, facts: dict[str, Any]) -> None:
    bad = [window for window in windows if window.status in ("missed", "no_data")]
    if not bad:
        return
    folder = availability_store.folder_of(node)
    if all(window.status == "no_data" for window in bad):
        hint = "let slo_sample run in regular intervals"
        raise BelowTarget("nothing is known of the node's availability", facts, path=folder, hint=hint)
    told = ", ".join(
        f"{percent(window.availability)} over {window.name}"
        for window in bad
        if window.availability is not None
    )
    target = percent(bad[0].target)
    raise BelowTarget(
        f"availability is below its target of {target}: {told}",
        facts,
        path=folder,
        hint="see samples.reasons, and gap_seconds for times without samples",
    )


def percent(share: float) -> str:
    """Return a share as text, cut and not rounded: what misses a target must not look like it."""
    return f"{math.floor(round(share * 100_000, 6)) / 1000:g} %"
