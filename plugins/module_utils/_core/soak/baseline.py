# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one host's soak tells another's verdict: its failures in that time and its QA pass rates.

It travels through the controller, so it is small, and checked before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from .. import times
from ..errors import BadInput

QA_LEAST = 3
MAX_HOSTS = 1000
MAX_ROWS = 100
_MAX_FAILING = 200
_MAX_NAME = 253


@dataclass(frozen=True)
class Failing:
    """A check that failed more often than it may, from its ``first`` failure to its ``last``."""

    code: str
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Baseline:
    """A baseline host: what failed there, and the QA rates of its pipeline's metric samples."""

    host: str
    failing: tuple[Failing, ...]
    qa: tuple[tuple[datetime, float], ...]

    def qa_within(self, since: datetime, until: datetime) -> list[float]:
        """Return the QA rates of a time."""
        return [rate for at, rate in self.qa if since <= at <= until]


def observed(
    since: datetime,
    until: datetime,
    samples: int,
    cycles: int,
    failing: Sequence[Failing],
    qa: Sequence[tuple[datetime, float]],
) -> dict[str, Any]:
    """Return what is told of a host; :func:`baselines_of` reads it."""
    return {
        "since": times.to_text(since),
        "until": times.to_text(until),
        "samples": samples,
        "cycles": cycles,
        "failing": [
            {"code": one.code, "first": times.to_text(one.first), "last": times.to_text(one.last)}
            for one in failing[:_MAX_FAILING]
        ],
        "qa": [[times.to_text(at), rate] for at, rate in sorted(qa)[-MAX_ROWS:]],
    }


def baselines_of(given: Sequence[Mapping[str, Any]] | None) -> tuple[Baseline, ...]:
    """Return the baseline hosts; raise :class:`BadInput` naming the one that is none.

    Each is a mapping of ``host`` and ``observed``; a host of which nothing was observed counts all the same.
    """
    if given is None:
        return ()
    if len(given) > MAX_HOSTS:
        raise BadInput(f"baselines may hold {MAX_HOSTS} hosts at most")
    found = tuple(_baseline(one, number) for number, one in enumerate(given, 1))
    if len({one.host for one in found}) != len(found):
        raise BadInput("baselines names a host twice")
    return found


def _baseline(given: Mapping[str, Any], number: int) -> Baseline:
    try:
        host, told = given["host"], given.get("observed")
        if not isinstance(host, str) or not 0 < len(host) <= _MAX_NAME:
            raise TypeError("host is no name")
        if not told:
            return Baseline(host, (), ())
        if len(told["failing"]) > _MAX_FAILING or len(told["qa"]) > MAX_ROWS:
            raise ValueError("too long")
        failing = tuple(
            Failing(str(one["code"])[:100], times.parse(one["first"]), times.parse(one["last"]))
            for one in told["failing"]
        )
        return Baseline(host, failing, tuple((times.parse(at), _rate(rate)) for at, rate in told["qa"]))
    except (ValueError, TypeError, LookupError, AttributeError, BadInput) as exc:
        hint = "give what soak_info of that host returned as soak.observed"
        raise BadInput(f"baselines: entry {number} is none: {str(exc)[:80]}", hint=hint) from exc


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise TypeError("a rate is no number")
    if not 0 <= value <= 1:
        raise ValueError("a rate is not from 0 to 1")
    return float(value)
