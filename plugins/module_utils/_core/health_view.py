# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sample as the rules of health see it: which metric samples there are, which gauges can be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from . import times
from .control_answers import GAUGES
from .findings import Finding, Thresholds
from .metric_rows import MetricSample
from .sample_record import Sample
from .state_history import History

STATE_DB = "state_db"
METRICS = "metrics"
_SHOWN = {STATE_DB: "state.db", METRICS: "/metrics"}

# What the API answers when it can read nothing (node contract, "Traps").
MADE_UP = {
    "buffer_minutes": 60.0,
    "plans_created": 42.0,
    "plans_committed": 18.0,
    "qa_pass_rate": 0.94,
    "fallback_rate": 0.12,
    "curator_actions": 3.0,
    "stream_disruptions": 0.0,
}
# Rates are compared after rounding: 0.25 - 0.10 is a little less than 0.15 in binary.
DIGITS = 9
_SAME = 1e-6


def equal(one: dict[str, float], other: dict[str, float]) -> bool:
    """Return whether two sources mean the same gauges, each having written them in its own way."""
    return all(abs(one[name] - other[name]) <= _SAME * max(1.0, abs(one[name])) for name in GAUGES)


@dataclass(frozen=True)
class View:
    """A sample, the thresholds and the instant of judgement, with what several rules need of them."""

    sample: Sample
    limits: Thresholds
    now: datetime

    @property
    def history(self) -> History | None:
        """What state.db says, if it could be opened."""
        return self.sample.state.value

    @cached_property
    def samples(self) -> tuple[MetricSample, ...]:
        """Distinct metric samples of both looks, newest first."""
        before = self.history.samples.value if self.history else None
        looks = [look.newest for look in (before, self.sample.later.value) if look is not None]
        found = {one.at: one for look in looks for one in look}
        return tuple(found[at] for at in sorted(found, reverse=True))

    @cached_property
    def possible(self) -> tuple[MetricSample, ...]:
        """The samples that may have been the newest when the API was asked: it tells that one's gauges."""
        before = self.history.samples.value if self.history else None
        if before is None or not before.newest:
            return self.samples
        return tuple(one for one in self.samples if one.at >= before.newest[0].at)

    @cached_property
    def confirmed(self) -> bool:
        """Whether the gauges of the API are those of a sample in state.db."""
        metrics = self.sample.metrics.value
        return metrics is not None and any(equal(metrics, one.gauges) for one in self.possible)

    @cached_property
    def made_up(self) -> bool:
        """Whether the gauges of the API are the made-up ones and state.db has no such sample."""
        metrics = self.sample.metrics.value
        return metrics is not None and equal(metrics, MADE_UP) and not self.confirmed

    @cached_property
    def readings(self) -> dict[str, dict[str, float]]:
        """The gauges to be judged, by their source: the newest sample's and, unless made up, the API's."""
        found = {STATE_DB: self.samples[0].gauges} if self.samples else {}
        metrics = self.sample.metrics.value
        if metrics is not None and not self.made_up:
            found[METRICS] = metrics
        return found

    def told(self, name: str) -> dict[str, float]:
        """Return what each source says of one gauge."""
        return {source: gauges[name] for source, gauges in self.readings.items()}


Rule = Callable[[View], Iterator[Finding]]


def shown(told: dict[str, float], unit: str = "") -> str:
    """Return what the sources say of one gauge as a text, once when they agree."""
    if len(set(told.values())) == 1:
        return f"{' and '.join(_SHOWN[source] for source in told)}: {min(told.values()):g}{unit}"
    return ", ".join(f"{_SHOWN[source]}: {value:g}{unit}" for source, value in told.items())


def rfc3339(instant: datetime | None) -> str | None:
    """Return an instant as evidence holds it."""
    return None if instant is None else times.to_text(instant)
