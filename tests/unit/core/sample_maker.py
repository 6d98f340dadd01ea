# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples of a node as tests want them: a healthy one, and what to change in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Alert, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.probes import Fault, Probe
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Card, Sample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.state_history import (
    Baseline,
    DomainFailures,
    Failures,
    History,
    Integrity,
    Lease,
    MetricSample,
    Samples,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)
GOOD = {
    "buffer_minutes": 120.0,
    "plans_created": 40.0,
    "plans_committed": 30.0,
    "qa_pass_rate": 0.95,
    "fallback_rate": 0.1,
    "curator_actions": 2.0,
    "stream_disruptions": 0.0,
}
BASELINE = Baseline(0.95, 300, NOW - 7 * DAY, NOW - timedelta(minutes=40))


def gauges(**changes: float) -> dict[str, float]:
    """Good gauges with some changed."""
    return {**GOOD, **changes}


def seen(value: Any) -> Probe[Any]:
    """A look that went well."""
    return Probe(NOW, 0.01, value)


def failed(reason: str, msg: str = "it went wrong", status: int | None = None) -> Probe[Any]:
    """A look that did not."""
    return Probe(NOW, 0.01, None, Fault(reason, msg, status))


def history_of(
    *newest_last: dict[str, float], age: float = 10.0, step: float = 30.0
) -> tuple[MetricSample, ...]:
    """Metric samples ``step`` minutes apart, the last of them ``age`` minutes old; newest first."""
    newest = NOW - timedelta(minutes=age)
    return tuple(
        MetricSample(newest - timedelta(minutes=step * number), one)
        for number, one in enumerate(reversed(newest_last))
    )


def samples(
    newest: Sequence[MetricSample], baseline: Baseline | None = BASELINE, **changes: Any
) -> Probe[Samples]:
    """The part of a history that holds metric samples."""
    return seen(replace(Samples(tuple(newest), baseline), **changes))


def domain(name: str | None, count: int, entry: str | None = None) -> DomainFailures:
    """Failures of a domain within the last hours."""
    return DomainFailures(name, count, NOW - timedelta(hours=5), NOW - timedelta(hours=1), entry)


def failures(*domains: DomainFailures, **changes: Any) -> Probe[Failures]:
    """The part of a history that holds discovery failures of a day."""
    return seen(replace(Failures(NOW - DAY, domains), **changes))


def make(
    *newest_last: dict[str, float],
    metrics: Any = None,
    alerts: Sequence[Alert] = (),
    state: Probe[Any] | None = None,
    later: Probe[Any] | None = None,
    card: Probe[Any] | None = None,
    status: Probe[Any] | None = None,
    **parts: Probe[Any],
) -> Sample:
    """A healthy sample with some parts replaced; gauges given are those of the newest metric samples."""
    newest = history_of(*(newest_last or (GOOD, GOOD)))
    history = History(
        integrity=seen(Integrity("quick", "quick")),
        failures=failures(),
        assets=seen(True),
        lease=seen(Lease("orchestrator-1", NOW + timedelta(seconds=20))),
        samples=samples(newest),
    )
    return Sample(
        at=NOW,
        until=NOW,
        card=card or seen(Card("0" * 64, 30)),
        state=state or seen(replace(history, **parts)),
        status=status or seen(Status("RUNNING", 60, NOW)),
        metrics=metrics if isinstance(metrics, Probe) else seen(metrics or dict(newest[0].gauges)),
        alerts=seen(tuple(alerts)),
        later=later or samples(newest[:1], None),
    )
