# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Availability out of samples: how much of a window the station served, and what is left of its error budget.

Time is weighted, samples are not counted: each sample says how it was until the next one, but for at most
``max_gap`` of its own intervals; what lies beyond is a gap, and a gap counts as not available, since a dead
sampler proves nothing. Time inside a declared maintenance window is taken out of the window altogether,
whatever happened in it. Before the first sample of all nothing was measured: a window is cut there and says
so, and without any sample there is no availability, neither 100 % nor 0 %.

Clocks: samples count by the instant they name. Those later than now (a clock that was ahead) are passed over;
where a clock went back, the samples of both passes are put in one order and each instant is judged by the
sample right before it, so no time counts twice. A jump ahead leaves a gap.

All sums are whole microseconds, so that the parts of a window add up to it exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from typing import Any

from . import times
from .errors import BadInput

TARGET = 0.995  # the runbook's SLO
MAX_GAP = 2.5
WINDOWS = (("1h", 3600), ("24h", 86_400), ("7d", 7 * 86_400), ("30d", 30 * 86_400))

MIN_INTERVAL = 1.0
MAX_INTERVAL = 86_400.0
_MAX_GAPS = 1000.0
_MAX_MAINTENANCE = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_PER_SECOND = 1_000_000

AVAILABLE, UNAVAILABLE, GAP = "available", "unavailable", "gap"


@dataclass(frozen=True)
class AvailabilitySample:
    """Whether the station served at an instant; the next sample was to follow after ``interval`` seconds.

    ``reasons`` are the codes that speak against it, ``state`` is what the API said of itself, ``buffer`` the
    minutes that the newest metric sample names, ``latency_ms`` how long the API took to answer.
    """

    at: datetime
    available: bool
    interval: float
    reasons: tuple[str, ...] = ()
    state: str | None = None
    buffer: float | None = None
    latency_ms: float | None = None

    def result(self) -> dict[str, Any]:
        """Return what modules show of a sample; the same fields are in the store."""
        return {
            "ts": times.to_text(self.at),
            "available": self.available,
            "interval": self.interval,
            "reasons": list(self.reasons),
            "state": self.state,
            "buffer": self.buffer,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True)
class Maintenance:
    """A time, from ``start`` up to ``end``, that counts neither for nor against the station."""

    start: datetime
    end: datetime
    reason: str = ""

    def __post_init__(self) -> None:
        if self.end <= self.start:
            begun = times.to_text(self.start)
            raise BadInput(f"the maintenance window that starts at {begun} ends before it begins")


@dataclass(frozen=True)
class Objective:
    """How availability is judged: ``target`` (a share below 1), what is left out, how far a sample reaches.

    ``max_gap`` is in intervals of the sample. Raise :class:`BadInput` for values that make no sense.
    """

    target: float = TARGET
    maintenance: tuple[Maintenance, ...] = ()
    max_gap: float = MAX_GAP

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise BadInput(f"target must be above 0 and below 1, such as {TARGET}, not {self.target}")
        if not 1 <= self.max_gap <= _MAX_GAPS:
            raise BadInput(f"max_gap must be from 1 to {_MAX_GAPS:g} intervals, not {self.max_gap}")
        if len(self.maintenance) > _MAX_MAINTENANCE:
            raise BadInput(f"maintenance may hold at most {_MAX_MAINTENANCE} windows")


@dataclass(frozen=True)
class Window:
    """One window that ends now. All times are seconds.

    ``seconds`` = ``unmeasured`` (before the first sample of all) + ``maintenance`` + ``measured``;
    ``measured`` = ``available`` + ``unavailable`` + ``gap``. ``availability`` is ``available`` in
    ``measured``, and ``None`` when that is 0. The budget is the share of ``measured`` that the target leaves;
    a burn rate above 1 uses up more than that.
    """

    name: str
    seconds: float
    measured_since: str | None
    measured_seconds: float
    available_seconds: float
    unavailable_seconds: float
    gap_seconds: float
    maintenance_seconds: float
    unmeasured_seconds: float
    availability: float | None
    target: float
    budget_seconds: float
    budget_left_seconds: float
    burn_rate: float | None
    status: str

    def result(self) -> dict[str, Any]:
        """Return what modules show of a window: seconds to the millisecond, shares to six digits."""
        return {
            name: value if not isinstance(value, float) else round(value, 3 if "seconds" in name else 6)
            for name, value in asdict(self).items()
        }


def measure(
    samples: Iterable[AvailabilitySample],
    now: datetime,
    objective: Objective | None = None,
    windows: Sequence[tuple[str, int]] = WINDOWS,
    first: datetime | None = None,
) -> list[Window]:
    """Return availability over each of ``windows`` (name, seconds), all of which end ``now``.

    ``samples`` may come in any order; of two for the same instant the later one in it holds. ``first`` is
    the instant of the first sample of all, when ``samples`` leave older ones out.
    """
    return measure_ordered(sorted(samples, key=lambda sample: sample.at), now, objective, windows, first)


def measure_ordered(
    samples: Iterable[AvailabilitySample],
    now: datetime,
    objective: Objective | None = None,
    windows: Sequence[tuple[str, int]] = WINDOWS,
    first: datetime | None = None,
) -> list[Window]:
    """Do the same for samples in the order of time, in memory that does not grow with their number."""
    objective = objective or Objective()
    end = _microseconds(now)
    left_out = _LeftOut(objective.maintenance)
    begins = [end - seconds * _PER_SECOND for _name, seconds in windows]
    sums = [dict.fromkeys((AVAILABLE, UNAVAILABLE, GAP), 0) for _window in windows]
    origin: int | None = None
    for start, stop, kind in _stretches(samples, end, objective.max_gap, first):
        origin = start if origin is None else origin
        for begin, total in zip(begins, sums):
            total[kind] += left_out.length_without(max(start, begin), stop)
    return [
        _window(name, begin, end, origin, total, left_out, objective.target)
        for (name, _seconds), begin, total in zip(windows, begins, sums)
    ]


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _stretches(
    samples: Iterable[AvailabilitySample], end: int, max_gap: float, first: datetime | None
) -> Iterator[tuple[int, int, str]]:
    """Yield (start, stop, kind) from the first sample of all to ``end``, without holes and in order."""
    here = None if first is None else _microseconds(first)
    here = None if here is None or here > end else here
    reach, kind = here or 0, GAP  # up to where the last sample speaks, and what it says
    for sample in samples:
        start = _microseconds(sample.at)
        if start > end:
            break
        if here is not None:
            yield from _until(here, start, reach, kind)
        here, kind = start, AVAILABLE if sample.available else UNAVAILABLE
        reach = start + round(sample.interval * max_gap * _PER_SECOND)
    if here is not None:
        yield from _until(here, end, reach, kind)


def _until(start: int, stop: int, reach: int, kind: str) -> Iterator[tuple[int, int, str]]:
    covered = max(start, min(reach, stop))
    yield start, covered, kind
    if covered < stop:
        yield covered, stop, GAP


class _LeftOut:
    """Maintenance windows, merged where they meet, for asking how much of a time lies in them."""

    def __init__(self, maintenance: Sequence[Maintenance]) -> None:
        merged: list[tuple[int, int]] = []
        for start, end in sorted((_microseconds(one.start), _microseconds(one.end)) for one in maintenance):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        self._starts = [start for start, _end in merged]
        self._ends = [end for _start, end in merged]
        self._before = [0, *accumulate(end - start for start, end in merged)]

    def _up_to(self, instant: int) -> int:
        """Return how much maintenance there was before an instant."""
        count = bisect_right(self._starts, instant)
        return self._before[count] - (max(0, self._ends[count - 1] - instant) if count else 0)

    def length_in(self, start: int, stop: int) -> int:
        """Return how much of a time lies in maintenance; a time that ends before it begins has no length."""
        return self._up_to(stop) - self._up_to(start) if start < stop else 0

    def length_without(self, start: int, stop: int) -> int:
        """Return how much of a time lies outside of it."""
        return stop - start - self.length_in(start, stop) if start < stop else 0


def _window(
    name: str,
    begin: int,
    end: int,
    origin: int | None,
    sums: dict[str, int],
    left_out: _LeftOut,
    target: float,
) -> Window:
    since = end if origin is None else max(begin, origin)
    measured = sum(sums.values())
    availability = sums[AVAILABLE] / measured if measured else None
    budget = (1 - target) * measured
    spent = measured - sums[AVAILABLE]
    if availability is None:
        status = "no_data" if since == end else "maintenance"
    else:
        status = "met" if availability >= target else "missed"
    return Window(
        name=name,
        seconds=(end - begin) / _PER_SECOND,
        measured_since=None if origin is None else times.to_text(_EPOCH + since * _MICROSECOND),
        measured_seconds=measured / _PER_SECOND,
        available_seconds=sums[AVAILABLE] / _PER_SECOND,
        unavailable_seconds=sums[UNAVAILABLE] / _PER_SECOND,
        gap_seconds=sums[GAP] / _PER_SECOND,
        maintenance_seconds=left_out.length_in(since, end) / _PER_SECOND,
        unmeasured_seconds=(since - begin) / _PER_SECOND,
        availability=availability,
        target=target,
        budget_seconds=budget / _PER_SECOND,
        budget_left_seconds=(budget - spent) / _PER_SECOND,
        burn_rate=None if availability is None else (1 - availability) / (1 - target),
        status=status,
    )


def require_interval(seconds: float, what: str = "interval") -> float:
    """Return the seconds between two samples, or raise :class:`BadInput`."""
    if not (math.isfinite(seconds) and MIN_INTERVAL <= seconds <= MAX_INTERVAL):
        raise BadInput(f"{what} must be from {MIN_INTERVAL:g} to {MAX_INTERVAL:g} seconds, not {seconds}")
    return seconds


def maintenance_of(declared: Iterable[dict[str, Any]]) -> tuple[Maintenance, ...]:
    """Return the windows that an inventory declares as ``start``, ``end`` (RFC 3339) and perhaps ``reason``.

    Raise :class:`BadInput` that names the window by its number.
    """
    found = []
    for number, one in enumerate(declared, 1):
        try:
            start, end = times.parse(str(one.get("start"))), times.parse(str(one.get("end")))
            found.append(Maintenance(start, end, str(one.get("reason") or "")))
        except BadInput as exc:
            raise BadInput(f"maintenance window {number}: {exc.msg}") from exc
    return tuple(found)
