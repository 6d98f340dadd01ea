# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a soak is to do, frozen in ``request.json`` when it starts: the sampler knows nothing else.

Ticks are ``interval`` seconds apart, the first at the start. Those of the warm-up are sampled and not judged;
after it come ``hours``. The last tick is the end, so that an hour of one sample a minute has 61.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .. import control_api, files, times
from ..errors import BadInput, Damaged, NotFound
from ..findings import Thresholds
from ..node import Node
from ..sample import Scope
from .limits import Limits, limits_of

VERSION = 1
NAME = "request.json"
HOURS = 1.0
INTERVAL = 60.0
MIN_INTERVAL = 0.1
MAX_SECONDS = 31 * 86_400.0
MAX_TICKS = 50_000
MAX_BYTES = 256 << 10
_ALMOST = 1e-6  # of a tick: 0.1 is none of the numbers a binary fraction can be


@dataclass(frozen=True)
class Plan:
    """How to soak. Seconds but for ``hours``; ``max_samples`` (0: no cap) ends it after so many judged ticks.

    ``timeout`` is how long to wait for locks of state.db. ``early_stop`` ends a soak that can only fail.
    """

    hours: float = HOURS
    interval: float = INTERVAL
    max_samples: int = 0
    warmup: float = 0.0
    early_stop: bool = True
    thresholds: Thresholds = field(default_factory=Thresholds)
    scope: Scope = field(default_factory=Scope)
    limits: Limits = field(default_factory=Limits)
    api_url: str = control_api.DEFAULT_URL
    api_timeout: float = control_api.DEFAULT_TIMEOUT
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense, and for a soak that could never pass."""
        for name, least in (("hours", 0.0), ("warmup", 0.0), ("interval", MIN_INTERVAL), ("timeout", 0.0)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= least):
                raise BadInput(f"{name} must be {least:g} or more, not {str(value)[:40]}")
        if not isinstance(self.max_samples, int) or self.max_samples < 0:
            raise BadInput("max_samples must be a whole number, 0 for no cap")
        if self.warmup + self.hours * 3600 > MAX_SECONDS:
            raise BadInput(f"a soak may last {MAX_SECONDS / 86_400:g} days at most")
        if self.last_tick >= MAX_TICKS:
            raise BadInput(f"a soak may have {MAX_TICKS} samples at most: raise interval")
        if self.due() < self.limits.min_samples:
            raise BadInput(
                f"{self.hours:g} hours with a sample every {self.interval:g} s (max_samples"
                f" {self.max_samples}) come to {self.due()} samples, fewer than min_samples"
                f" ({self.limits.min_samples}): such a soak could never pass"
            )
        self.api()

    @property
    def first_judged(self) -> int:
        """The first tick after the warm-up."""
        return math.ceil(self.warmup / self.interval - _ALMOST)

    @property
    def last_tick(self) -> int:
        """The tick that ends the soak."""
        last = math.floor((self.warmup + self.hours * 3600) / self.interval + _ALMOST)
        return min(last, self.first_judged + self.max_samples - 1) if self.max_samples else last

    def due(self, elapsed: float | None = None) -> int:
        """Return how many judged ticks are due in all, or were after so many seconds."""
        last = self.last_tick
        if elapsed is not None:
            last = min(last, math.floor(elapsed / self.interval + _ALMOST))
        return max(0, last - self.first_judged + 1)

    def api(self) -> control_api.Api:
        """Return the API to ask; raise :class:`BadInput` for a URL or a timeout that cannot be."""
        return control_api.Api(self.api_url, None, self.api_timeout)


@dataclass(frozen=True)
class Request:
    """One attempt of a soak, the first being 1; ``by`` is who asked, ``changed_at`` when the change began."""

    rollout: str
    attempt: int
    started_at: datetime
    changed_at: datetime
    by: str
    node: Node
    plan: Plan

    @property
    def window(self) -> tuple[datetime, datetime]:
        """From when to when it is judged, if it is left alone."""
        plan = self.plan
        since = self.started_at + timedelta(seconds=plan.first_judged * plan.interval)
        return since, self.started_at + timedelta(seconds=plan.last_tick * plan.interval)

    @property
    def scope(self) -> Scope:
        """How far back each sample looks: the QA rate's history ends where the change began."""
        values = {one.name: getattr(self.plan.scope, one.name) for one in fields(Scope)}
        return Scope(**{**values, "qa_history_until": self.changed_at})

    def elapsed(self, now: datetime) -> float:
        """Return how many seconds of it are over."""
        end = self.window[1]
        return max(0.0, (min(now, end) - self.started_at).total_seconds())


def write(soak: Path, request: Request, owner: files.Owner) -> None:
    """Freeze the request durably."""
    plan = asdict(request.plan)
    plan["scope"].pop("qa_history_until")
    document = {
        "v": VERSION,
        "rollout": request.rollout,
        "attempt": request.attempt,
        "started_at": times.to_text(request.started_at),
        "changed_at": times.to_text(request.changed_at),
        "by": request.by,
        "node": {name: str(path) for name, path in asdict(request.node).items()},
        "plan": plan,
    }
    data = json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"
    files.replace(soak / NAME, data, 0o640, owner)


def find(soak: Path) -> Request | None:
    """Return what the soak in a folder is to do, ``None`` if there is none; raise :class:`Damaged`."""
    path = soak / NAME
    try:
        data = files.read_bounded(path, MAX_BYTES)
    except NotFound:
        return None
    try:
        found = json.loads(data)
        if found["v"] != VERSION:
            raise ValueError("another version")
        attempt = found["attempt"]
        if isinstance(attempt, bool) or not isinstance(attempt, int) or not 1 <= attempt <= MAX_TICKS:
            raise ValueError("attempt is no number")
        return Request(
            str(found["rollout"]),
            attempt,
            times.parse(found["started_at"]),
            times.parse(found["changed_at"]),
            str(found["by"]),
            Node(**{name: Path(value) for name, value in found["node"].items()}),
            plan_of(found["plan"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as exc:
        raise _damaged(path, exc) from exc
    except BadInput as exc:
        raise _damaged(path, exc) from exc


def plan_of(document: dict[str, Any]) -> Plan:
    """Return the plan that JSON holds; raise :class:`BadInput`, ``TypeError`` or ``LookupError``."""
    made = {
        "thresholds": Thresholds(**document["thresholds"]),
        "scope": Scope(**document["scope"]),
        "limits": limits_of(document["limits"]),
    }
    return Plan(**{**document, **made})


def _damaged(path: Path, exc: Exception) -> Damaged:
    hint = "look at it; a soak is started anew with restart"
    return Damaged(f"is no request of a soak: {str(exc)[:80]}", path=path, hint=hint)
