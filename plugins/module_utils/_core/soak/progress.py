# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a soak is: what its files say, and whether its sampler lives.

While it runs, ``progress.json`` of the sampler answers at once, however many samples there are; the samples
themselves are only read to judge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import files, times
from ..errors import Damaged, NotFound
from ..findings import Finding
from . import store
from .baseline import Failing, observed
from .judge import FAIL, Case, Verdict
from .observe import Observation
from .request import Request, find
from .store import Ended

NAME = "progress.json"
NONE, RUNNING, ENDED, DIED = STATES = ("none", "running", "ended", "died")
_MAX_BYTES = 256 << 10
_MAX_FINDINGS = 20


@dataclass(frozen=True)
class State:
    """``word`` is one of :data:`STATES`; a soak that died may still have time left."""

    word: str
    request: Request | None = None
    over: Ended | None = None

    @property
    def alive(self) -> bool:
        """Whether its sampler runs."""
        return self.word == RUNNING


def state_of(soak: Path) -> State:
    """Return how a soak stands; raise :class:`Damaged` when its files are none of ours."""
    request = find(soak)
    if request is None:
        return State(NONE)
    # In this order: a sampler that ends meanwhile is not taken for one that died.
    alive = store.alive(soak)
    over = store.ended(soak)
    return State(ENDED if over else RUNNING if alive else DIED, request, over)


def write(soak: Path, case: Case, verdict: Verdict, owner: files.Owner) -> None:
    """Leave what the sampler knows, for whoever asks how far it is."""
    data = json.dumps({**counts(case, verdict), **_short(verdict)}, allow_nan=False).encode() + b"\n"
    files.replace(soak / NAME, data, 0o640, owner)


def _short(verdict: Verdict) -> dict[str, Any]:
    reasons = [{**one.told(), "evidence": {}} for one in verdict.reasons[:_MAX_FINDINGS]]
    return {"result": verdict.result, "certain": verdict.certain, "reasons": reasons}


def counts(case: Case, verdict: Verdict) -> dict[str, Any]:
    """Return what is counted of a soak, and its last sample."""
    last = case.seen.all[-1] if case.seen.all else None
    coverage = case.coverage
    return {
        "attempt": case.request.attempt,
        "samples": verdict.samples,
        "warmup_samples": len(case.seen.all) - verdict.samples,
        "cycles": verdict.cycles,
        "errors": sum(bool(one.errors) for one in case.judged),
        "coverage": None if coverage is None else round(coverage, 4),
        "last": None if last is None else last_of(last),
    }


def last_of(one: Observation) -> dict[str, Any]:
    """Return the newest sample as a person wants to see it."""
    return {
        "at": times.to_text(one.at),
        "state": one.state,
        "gauges": one.gauges,
        "findings": [_finding(found) for found in one.failed[:_MAX_FINDINGS]],
        "errors": list(one.errors.values()),
    }


def _finding(found: Finding) -> dict[str, str]:
    return {"severity": found.severity, "code": found.code, "reason": found.reason}


def read(soak: Path, request: Request) -> dict[str, Any] | None:
    """Return what the sampler left, ``None`` when it left nothing of this attempt yet."""
    try:
        found = json.loads(files.read_bounded(soak / NAME, _MAX_BYTES))
        whole = isinstance(found, dict) and isinstance(found["certain"], bool)
        names = ("samples", "warmup_samples", "cycles", "errors")
        whole = whole and all(isinstance(found[name], int) for name in names)
        whole = whole and isinstance(found["reasons"], list)
    except NotFound:
        return None
    except (ValueError, LookupError, RecursionError, Damaged):
        return None
    return found if whole and found.get("attempt") == request.attempt else None


def facts(folder: Path, state: State, now: datetime) -> dict[str, Any]:
    """Return what is told of a soak without looking at its samples."""
    request = state.request
    if request is None:
        return {"state": NONE, "reason": None, "detail": None}
    plan, ends_at = request.plan, request.window[1]
    over = state.over
    elapsed = request.elapsed(over.at if over else now)
    left = 0.0 if over else max(0.0, (ends_at - now).total_seconds())
    return {
        "state": state.word,
        "reason": over.code if over else None,
        "detail": over.detail if over else None,
        "rollout": request.rollout,
        "attempt": request.attempt,
        "path": str(folder),
        "by": request.by,
        "started_at": times.to_text(request.started_at),
        "judged_from": times.to_text(request.window[0]),
        "ends_at": times.to_text(ends_at),
        "ended_at": times.to_text(over.at) if over else None,
        "hours": plan.hours,
        "interval": plan.interval,
        "warmup": plan.warmup,
        "length": round((ends_at - request.started_at).total_seconds(), 3),
        "elapsed": round(elapsed, 3),
        "remaining": round(left, 3),
        "expected": plan.due(),
        "due": plan.due(elapsed),
        "samples": 0,
        "warmup_samples": 0,
        "cycles": 0,
        "errors": 0,
        "coverage": None,
        "last": None,
        "sha256": None if state.alive else store.digest(folder),
    }


def observed_of(case: Case, verdict: Verdict) -> dict[str, Any]:
    """Return what this host's soak tells the verdict of another one."""
    since, until = case.request.window[0], case.until
    failing = [
        Failing(
            one.code,
            times.parse(one.evidence["first"]) if "first" in one.evidence else since,
            times.parse(one.evidence["last"]) if "last" in one.evidence else until,
        )
        for one in verdict.reasons
        if one.result == FAIL
    ]
    qa = [(at, rate) for at, rate, checked in case.rows if checked]
    return observed(since, until, verdict.samples, verdict.cycles, failing, qa)
