# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One audit event of the station: read from its row with bounds, and matched against patterns."""

from __future__ import annotations

import fnmatch
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from . import discovery, times
from .errors import BadInput

MAX_PAYLOAD_CHARS = 64 * 1024
MAX_INSTANT_CHARS = 64
MAX_ID_CHARS = 128
_MAX_NAME_CHARS = 256
_MAX_DETAIL_CHARS = 2000
_MAX_PATTERNS = 100
_MAX_PATTERN_CHARS = 256
_FRACTION = re.compile(r"\.\d{6}(\d{1,3})", re.ASCII)


@dataclass(frozen=True)
class Event:
    """One event. ``code`` is its reason code before the colon, ``domain`` the one that follows.

    ``nanoseconds`` are those below the microsecond; ``ts`` is the instant as the station wrote it. ``before``
    and ``after`` are texts (JSON where they were none) of at most 2000 characters, and only if asked for.
    """

    event_id: str | None
    ts: str
    instant: datetime
    nanoseconds: int
    actor: str
    module: str
    action: str
    reason_code: str
    decision_score: float | None
    before: str | None = None
    after: str | None = None

    @property
    def code(self) -> str:
        """The reason code without its domain."""
        return self.reason_code.partition(":")[0]

    @property
    def domain(self) -> str | None:
        """The domain that the reason code names, in the form in which health counts it, or none."""
        return discovery.normal(self.reason_code.partition(":")[2]) or None

    def result(self, details: bool) -> dict[str, Any]:
        """Return what modules show of an event."""
        shown_fields = {
            "event_id": self.event_id,
            "ts": self.ts,
            "actor": self.actor,
            "module": self.module,
            "action": self.action,
            "reason_code": self.reason_code,
            "domain": self.domain,
            "decision_score": self.decision_score,
        }
        return {**shown_fields, "before": self.before, "after": self.after} if details else shown_fields


class Patterns:
    """Globs as of :mod:`fnmatch`, whatever the case; one of them has to match the whole of a text."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        plain = [pattern for pattern in patterns if ":" not in pattern]
        self._any = _compiled(patterns)
        self._plain = _compiled(plain)
        self._with_domain = _compiled([pattern for pattern in patterns if ":" in pattern])

    @classmethod
    def of(cls, option: str, patterns: tuple[str, ...]) -> Patterns | None:
        """Return the patterns of an option, or ``None`` for an empty one.

        Raise :class:`BadInput` when they are too many or too long, or one is empty.
        """
        if len(patterns) > _MAX_PATTERNS:
            raise BadInput(f"{option} may hold at most {_MAX_PATTERNS} patterns, not {len(patterns)}")
        for pattern in patterns:
            if not 0 < len(pattern) <= _MAX_PATTERN_CHARS:
                raise BadInput(
                    f"{option}: a pattern has 1 to {_MAX_PATTERN_CHARS} characters, not {len(pattern)}"
                )
        return cls(patterns) if patterns else None

    def match(self, text: str | None) -> bool:
        """Return whether a pattern matches; nothing is matched by none."""
        return text is not None and self._any is not None and self._any.match(text.lower()) is not None

    def match_code(self, event: Event) -> bool:
        """Return whether a pattern matches the event's code, or one with a colon its whole reason code."""
        if self._plain is not None and self._plain.match(event.code.lower()):
            return True
        whole = event.reason_code.lower()
        return self._with_domain is not None and self._with_domain.match(whole) is not None


def _compiled(patterns: list[str] | tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns))


def instant_of(value: object) -> tuple[datetime, int]:
    """Return the instant that a column holds, and its nanoseconds below the microsecond.

    Raise :class:`BadInput` when it holds none.
    """
    text = _utf8(value, "ts")
    instant = times.parse(text)
    fraction = _FRACTION.search(text)
    return instant, int(fraction[1].ljust(3, "0")) if fraction else 0


def parse(
    event_id: str | None, instant: datetime, nanoseconds: int, ts: object, payload: object, details: bool
) -> Event:
    """Return the event of a row; raise :class:`BadInput` when its payload is none."""
    text = _utf8(payload, "payload_json")
    if len(text) > MAX_PAYLOAD_CHARS:
        raise BadInput(f"payload_json has more than {MAX_PAYLOAD_CHARS} characters")
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise BadInput(f"payload_json is no JSON: {str(exc)[:100]}") from exc
    if not isinstance(found, dict):
        raise BadInput("payload_json is no JSON object")
    return Event(
        event_id,
        _utf8(ts, "ts"),
        instant,
        nanoseconds,
        _name(found, "actor"),
        _name(found, "module"),
        _name(found, "action"),
        _name(found, "reason_code"),
        _score(found),
        _detail(found.get("before")) if details else None,
        _detail(found.get("after")) if details else None,
    )


def shown(value: object) -> str | None:
    """Return a column's text so that it can be shown, cut to a bound; ``None`` when it holds no text."""
    if not isinstance(value, bytes):
        return None
    return _cut(value.decode("utf-8", "replace"), MAX_ID_CHARS)


def _utf8(value: object, column: str) -> str:
    if not isinstance(value, bytes):
        raise BadInput(f"{column} is no text")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadInput(f"{column} is no UTF-8") from exc


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _name(found: dict[str, Any], field: str) -> str:
    value = found.get(field)
    if not isinstance(value, str):
        raise BadInput(f"payload_json: {field} is {'no text' if field in found else 'missing'}")
    return _cut(value, _MAX_NAME_CHARS)


def _score(found: dict[str, Any]) -> float | None:
    value = found.get("decision_score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput("payload_json: decision_score is no number")
    try:
        score = float(value)
    except OverflowError as exc:
        raise BadInput("payload_json: decision_score is too large") from exc
    if not math.isfinite(score):
        raise BadInput("payload_json: decision_score is no finite number")
    return score


def _detail(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _cut(text, _MAX_DETAIL_CHARS)


def _cut(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters that can be encoded: lone surrogates become ``?``."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return short.encode("utf-8", "replace").decode("utf-8")
