# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""How far one host's soak is, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.probes import one_line

_BAR = 20
_MAX_CODES = 3
_GAUGES = (("buffer", "buffer_minutes", "{:g} min"), ("QA", "qa_pass_rate", "{:.2f}"))
_MORE = (("fallback", "fallback_rate", "{:.2f}"),)


def line(host: str, width: int, soak: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """Return one printable line: a bar, times, counts, the newest gauges, and what is wrong."""
    elapsed, total = (_number(soak.get(name)) for name in ("elapsed", "length"))
    share = min(1.0, elapsed / total) if total else 0.0
    done = int(share * _BAR)
    parts = [
        f"{one_line(host).ljust(width)}  [{'#' * done}{'.' * (_BAR - done)}] {share:4.0%}",
        f"{clock(elapsed)} of {clock(total)}",
        f"{_number(soak.get('samples')):g}/{_number(soak.get('expected')):g} samples",
        f"{_number(soak.get('cycles')):g} cycles",
        *_told(soak.get("last")),
        _state(soak, verdict),
    ]
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours in front when there are any."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _told(last: Any) -> list[str]:
    gauges = last.get("gauges") if isinstance(last, Mapping) else None
    if not isinstance(gauges, Mapping):
        return []
    wanted = (*_GAUGES, *_MORE)
    return [f"{name} {form.format(_number(gauges[key]))}" for name, key, form in wanted if key in gauges]


def _state(soak: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """Return what is wrong, first what decides the verdict, then what the newest sample showed."""
    state = soak.get("state")
    reasons = verdict.get("reasons") or ()
    wrong = [str(one.get("code")) for one in reasons if one.get("code") != "running"]
    last = soak.get("last")
    if isinstance(last, Mapping):
        wrong += [str(one.get("code")) for one in last.get("findings") or ()]
        wrong += ["cannot see everything"] if last.get("errors") else []
    codes = [one_line(code, 60) for code in dict.fromkeys(wrong)]
    told = ", ".join(codes[:_MAX_CODES]) + (
        f" and {len(codes) - _MAX_CODES} more" if codes[_MAX_CODES:] else ""
    )
    if state != "running":
        head = one_line(str(verdict.get("result") if state == "ended" else state), 60)
        return f"{head}: {told}" if told else head
    return told or "ok"
