# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of ``metric_samples``: the seven gauges at an instant, and the median of the QA rate before.

Evidence is counted in distinct samples: rows of the same instant are one.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import NoReturn

from . import times
from .control_answers import GAUGES, RATES
from .errors import BadInput

MAX_NEWEST = 100
MAX_ROWS = 2000  # a week of one sample every 5 minutes
MAX_PAYLOAD = 4096

_INSTANT = "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][Tt ][0-9][0-9]:*'"
_PLACED = f"typeof(ts) = 'text' AND ts GLOB {_INSTANT}"
# Text of different offsets is at most a day out of order, which MAX_ROWS leaves room for.
NEWEST = (
    f"SELECT substr(ts, 1, 64), substr(payload_json, 1, {MAX_PAYLOAD + 1}) FROM metric_samples"  # noqa: S608 - constants
    f" WHERE {_PLACED} ORDER BY ts DESC, rowid DESC LIMIT {MAX_ROWS}"
)
UNPLACED = f"SELECT count(*) FROM metric_samples WHERE NOT ({_PLACED})"  # noqa: S608 - constants


@dataclass(frozen=True)
class MetricSample:
    """The seven gauges, by their names in the node contract, as of ``at``."""

    at: datetime
    gauges: dict[str, float]


def nothing_checked(gauges: dict[str, float]) -> bool:
    """Return whether a QA rate of 0.0 means that there was nothing to check: no plan had been made."""
    return not any(gauges[name] for name in ("qa_pass_rate", "plans_created", "plans_committed"))


@dataclass(frozen=True)
class Baseline:
    """The ``median`` of the QA pass rate of ``count`` samples from ``since`` to ``until``."""

    median: float
    count: int
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Samples:
    """The ``newest`` samples, newest first, and what came before them.

    ``malformed`` counts rows among those looked at that hold no sample, ``malformed_at`` is the newest of
    their instants.
    """

    newest: tuple[MetricSample, ...]
    baseline: Baseline | None = None
    malformed: int = 0
    malformed_at: datetime | None = None


def text(value: object) -> str | None:
    """Return a column's text, which came as bytes, or ``None`` when it holds none."""
    try:
        return value.decode() if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        return None


def parse(payload: object) -> dict[str, float]:
    """Return the gauges of a payload: finite, none negative, no rate above 1.

    Raise :class:`BadInput` for anything else; fields beyond the seven are passed over.
    """
    found = text(payload)
    if found is None or len(found) > MAX_PAYLOAD:
        raise BadInput(f"is no text of at most {MAX_PAYLOAD} characters")
    try:
        fields = json.loads(found, parse_constant=_refuse, parse_int=float)
    except (ValueError, RecursionError) as exc:
        raise BadInput(f"is no JSON: {str(exc)[:80]}") from exc
    if not isinstance(fields, dict):
        raise BadInput("is no JSON object")
    return {name: _gauge(fields, name) for name in GAUGES}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _gauge(fields: dict[str, object], name: str) -> float:
    value = fields.get(name)
    if not isinstance(value, float):
        raise BadInput(f"{name} is {'no number' if name in fields else 'missing'}")
    if not isfinite(value) or value < 0 or (name in RATES and value > 1):
        raise BadInput(f"{name} is {value}, which it cannot be")
    return value


def collect(rows: list[tuple[object, ...]], unplaced: int) -> Samples:
    """Return the samples in rows that :data:`NEWEST` asked for; ``unplaced`` more have no known instant."""
    found: dict[datetime, MetricSample] = {}
    spoilt: list[datetime] = []
    malformed = unplaced
    for ts, payload in rows:
        try:
            at = times.parse(text(ts) or "")
        except BadInput:
            malformed += 1
            continue
        try:
            found.setdefault(at, MetricSample(at, parse(payload)))  # the row written last comes first
        except BadInput:
            malformed += 1
            spoilt.append(at)
    newest = tuple(found[at] for at in sorted(found, reverse=True))
    return Samples(newest, None, malformed, max(spoilt, default=None))


def baseline(samples: tuple[MetricSample, ...], window: timedelta, until: datetime | None) -> Baseline | None:
    """Return the QA rate's median over ``window`` before ``until``, by default before the newest sample.

    Samples taken while nothing had been checked yet say nothing; ``None`` when no other is there.
    """
    if not samples:
        return None
    end = until or samples[0].at
    good = [one for one in samples if end - window <= one.at < end and not nothing_checked(one.gauges)]
    if not good:
        return None
    median = statistics.median(one.gauges["qa_pass_rate"] for one in good)
    return Baseline(round(median, 6), len(good), good[-1].at, good[0].at)
