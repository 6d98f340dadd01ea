# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at one thing: what was seen, or why nothing was, with the instant and the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from . import times
from .control_http import ApiFault
from .errors import RunbookError

NOT_ASKED = "not_asked"
_MAX_TEXT = 300

Value = TypeVar("Value")


def one_line(text: str, limit: int = _MAX_TEXT) -> str:
    """Return a foreign text as one printable line of at most ``limit`` characters."""
    line = " ".join(text[: limit * 4].split())
    shown = "".join(char if char.isprintable() else "?" for char in line)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


@dataclass(frozen=True)
class Fault:
    """Why a look failed: ``reason`` is that of an :class:`ApiFault` or an error's code, ``status`` HTTP's."""

    reason: str
    msg: str
    status: int | None = None

    @classmethod
    def of(cls, exc: RunbookError) -> Fault:
        """Return what an error of the engine says, bounded."""
        if isinstance(exc, ApiFault):
            return cls(exc.reason, one_line(str(exc)), exc.status)
        return cls(exc.code, one_line(str(exc)))


@dataclass(frozen=True)
class Probe(Generic[Value]):
    """A look begun at ``at`` that took ``seconds``; ``value`` counts only when ``error`` is ``None``."""

    at: datetime
    seconds: float
    value: Value | None
    error: Fault | None = None

    @property
    def ok(self) -> bool:
        """Whether something was seen."""
        return self.error is None


def probe(look: Callable[[], Value]) -> Probe[Value]:
    """Look, and tell what was seen or which error of the engine came; other exceptions are bugs and pass."""
    at, begin = times.now(), time.monotonic()
    value: Value | None = None
    error: Fault | None = None
    try:
        value = look()
    except RunbookError as exc:
        error = Fault.of(exc)
    return Probe(at, round(time.monotonic() - begin, 6), value, error)


def not_asked(why: str) -> Probe[Value]:
    """Return the probe of something that was left alone on purpose."""
    return Probe(times.now(), 0.0, None, Fault(NOT_ASKED, why))
