# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``summary.txt``: what the runbook's own promotion gate reads of a soak, made from its samples alone.

The keys are those of the node contract, "Backups the station's own tools make, and read"; ours follow them.
Its ``verdict`` knows ``PASS`` and ``FAIL`` only: what is inconclusive must promote nothing, so it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import files, times
from ..errors import Damaged, NotFound
from ..rollout import results
from . import judge, observe, store
from .request import find

NAME = "summary.txt"
_TITLE = "VVTV canary soak summary"
_MAX_BYTES = 256 << 10
_SETTLED = ("verdict", "result", "reasons")


def write(soak: Path, case: judge.Case, verdict: judge.Verdict, owner: files.Owner) -> None:
    """Write the summary of a soak that is over, or is about to be."""
    _write(soak, values_of(soak, case, verdict), owner)


def values_of(soak: Path, case: judge.Case, verdict: judge.Verdict) -> dict[str, Any]:
    """Return the summary's keys and values in their order."""
    request, judged = case.request, case.judged
    asked = {name: sum(name in one.unanswered for one in judged) for name in ("status", "metrics", "alerts")}
    return {
        "verdict": _shell(verdict.result),
        "samples": verdict.samples,
        **{f"fail_{name}_requests": count for name, count in asked.items()},
        "buffer_critical_observations": sum("BUFFER_CRITICAL" in one.codes for one in judged),
        "stream_disruptions_nonzero_observations": sum(
            one.gauges.get("stream_disruptions", 0) > 0 for one in judged
        ),
        "soak_hours": f"{request.plan.hours:g}",
        "check_interval_secs": f"{request.plan.interval:g}",
        "result": verdict.result,
        "reasons": _listed([one.code for one in verdict.reasons]),
        "rollout": request.rollout,
        "attempt": request.attempt,
        "warmup_samples": len(case.seen.all) - len(judged),
        "cycles": verdict.cycles,
        "coverage": "" if case.coverage is None else f"{case.coverage:.4f}",
        "errors": sum(bool(one.errors) for one in judged),
        "started_at": times.to_text(request.started_at),
        "ended_at": times.to_text(case.until),
        "ended": case.over.code if case.over else "",
        "samples_sha256": store.digest(soak) or "",
    }


def settle(soak_dir: Path, owner: files.Owner, result: str, reasons: list[str]) -> bool:
    """Let the summary say the verdict that counts, such as one that the baseline hosts had a part in.

    ``reasons`` are codes. Return whether that changed it; without a soak there is no summary, and ``False``.
    """
    present = _read(soak_dir)
    values = present or _computed(soak_dir)
    if values is None:
        return False
    wanted = {**values, "verdict": _shell(result), "result": result, "reasons": _listed(reasons)}
    if present is not None and _text(wanted) == _text(present):
        return False
    _write(soak_dir, wanted, owner)
    return True


def _computed(soak: Path) -> dict[str, Any] | None:
    """Return what a summary would say that nobody wrote, since the sampler was killed."""
    request = find(soak)
    if request is None:
        return None
    seen = observe.read(soak, request.plan.thresholds)
    case = judge.Case(request, seen, times.now(), store.alive(soak), store.ended(soak))
    return values_of(soak, case, judge.judge(case))


def _read(soak: Path) -> dict[str, Any] | None:
    """Return the summary that is there, if it is one of ours and whole."""
    try:
        lines = files.read_bounded(soak / NAME, _MAX_BYTES).decode().splitlines()
    except (NotFound, Damaged, UnicodeDecodeError):
        return None
    values = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
    return values if set(_SETTLED) <= set(values) and "samples_sha256" in values else None


def _shell(result: str) -> str:
    return judge.PASS if result == judge.PASS else judge.FAIL


def _listed(codes: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(codes))


def _text(values: dict[str, Any]) -> bytes:
    return f"{_TITLE}\n".encode() + results.env(values)


def _write(soak: Path, values: dict[str, Any], owner: files.Owner) -> None:
    files.replace(soak / NAME, _text(values), 0o644, owner)
