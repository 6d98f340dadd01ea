# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the control API's answers mean, each field checked for what it may be.

Every reader takes the body and the URL it came from, and raises :class:`ApiFault` for anything else than the
node contract's shapes. Values are quoted only from answers to questions, which carry no token to echo.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, NoReturn

from . import times
from .control_http import ApiFault
from .errors import BadInput

STATES = ("RUNNING", "EMERGENCY")
SEVERITIES = ("critical", "high", "medium")
GAUGES = (
    "buffer_minutes",
    "plans_created",
    "plans_committed",
    "qa_pass_rate",
    "fallback_rate",
    "curator_actions",
    "stream_disruptions",
)
RATES = ("qa_pass_rate", "fallback_rate")
PREFIX = "vvtv_"
MAX_ALERTS = 1000

_MAX_MESSAGE = 500
_MAX_DIGITS = 18
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}", re.ASCII)
# One line of Prometheus's text format 0.0.4: name, labels, value, and perhaps a timestamp.
_SERIES = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{.*\})?[ \t]+(?P<value>\S+)(?:[ \t]+-?[0-9]+)?", re.ASCII
)
_NUMBER = re.compile(r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Status:
    """``state`` is one of :data:`STATES`; ``timestamp`` is the API's clock."""

    state: str
    buffer_minutes: int
    timestamp: datetime

    @property
    def emergency(self) -> bool:
        """Whether emergency mode is on."""
        return self.state == "EMERGENCY"


@dataclass(frozen=True)
class Alert:
    """An alert of the station's own; ``severity`` is one of :data:`SEVERITIES`."""

    code: str
    severity: str
    message: str


def status(body: bytes, url: str) -> Status:
    """Read the answer of ``/v1/status``."""
    answer = _Fields.of(body, url)
    state = answer.text("state")
    if state not in STATES:
        answer.wrong("bad_value", f"state is {state[:40]!r}, neither RUNNING nor EMERGENCY")
    minutes = answer.whole("buffer_minutes")
    try:
        timestamp = times.parse(answer.text("timestamp"))
    except BadInput as exc:
        answer.wrong("bad_value", f"timestamp: {exc.msg}")
    return Status(state, minutes, timestamp)


def alerts(body: bytes, url: str) -> list[Alert]:
    """Read the answer of ``/v1/alerts``; its count must agree with its list."""
    answer = _Fields.of(body, url)
    listed, count = answer.items("alerts"), answer.whole("count")
    if len(listed) > MAX_ALERTS:
        answer.wrong("too_large", f"lists {len(listed)} alerts, more than {MAX_ALERTS}")
    if count != len(listed):
        answer.wrong("bad_value", f"counts {count} alerts and lists {len(listed)}")
    return [_alert(item, url, number) for number, item in enumerate(listed)]


def _alert(item: Any, url: str, number: int) -> Alert:
    fields = _Fields(item, url, f"alerts[{number}].")
    code, severity, message = (fields.text(name) for name in ("code", "severity", "message"))
    if not _CODE.fullmatch(code):
        fields.wrong("bad_value", f"code is {code[:40]!r}, which no code of an alert can be")
    if severity not in SEVERITIES:
        fields.wrong("bad_value", f"severity is {severity[:40]!r}, none of {', '.join(SEVERITIES)}")
    # Half of a surrogate pair, which JSON can spell, could be written nowhere.
    return Alert(code, severity, message[:_MAX_MESSAGE].encode("utf-8", "replace").decode())


def metrics(body: bytes, url: str) -> dict[str, float]:
    """Read the answer of ``/metrics``: the seven gauges, finite, none negative, no rate above 1."""
    try:
        lines = body.decode().split("\n")
    except UnicodeDecodeError:
        raise ApiFault("not_text", "answered no text", url) from None
    found: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        series = _SERIES.fullmatch(line.strip())
        if series is None:
            raise ApiFault("not_text", f"answered no metrics: line {number} is {line[:40]!r}", url)
        name = series["name"][len(PREFIX) :]
        if series["name"] != PREFIX + name or name not in GAUGES or series["labels"]:
            continue
        if name in found:
            raise ApiFault("bad_value", f"gives {series['name']} twice", url)
        found[name] = _gauge(name, series["value"], url)
    missing = [PREFIX + name for name in GAUGES if name not in found]
    if missing:
        raise ApiFault("missing_field", f"answered without {', '.join(missing)}", url)
    return {name: found[name] for name in GAUGES}


def _gauge(name: str, text: str, url: str) -> float:
    try:
        value = float(text if _NUMBER.fullmatch(text) else "no number")
    except ValueError:
        raise ApiFault("wrong_type", f"{PREFIX}{name} is {text[:40]!r}, no number", url) from None
    if not isfinite(value) or value < 0 or (name in RATES and value > 1):
        raise ApiFault("bad_value", f"{PREFIX}{name} is {text[:40]}, which it cannot be", url)
    return value


def toggled(body: bytes, url: str) -> bool:
    """Read the answer to a toggle of emergency mode: whether it is on now."""
    answer = _Fields.of(body, url)
    _require_ok(answer)
    return answer.flag("emergency_mode")


def reloaded(body: bytes, url: str) -> None:
    """Read the answer to a reload of the OwnerCard."""
    answer = _Fields.of(body, url)
    _require_ok(answer)
    if answer.text("action") != "reload-owner-card":
        answer.wrong("bad_value", "answered to another action than reload-owner-card")


def _require_ok(answer: _Fields) -> None:
    if not answer.flag("ok"):
        answer.wrong("bad_value", "said that it did not do it")


class _Fields:
    """The fields of one JSON object; ``place`` says where in the document it is."""

    def __init__(self, value: Any, url: str, place: str = "") -> None:
        self._url = url
        self._place = place
        if not isinstance(value, dict):
            what = place.rstrip(".") or "the answer"
            raise ApiFault("wrong_type", f"{what} is no JSON object", url)
        self._fields = value

    @classmethod
    def of(cls, body: bytes, url: str) -> _Fields:
        """Return the object that ``body`` is; a field given twice, or an absurd number, is refused."""

        def absurd(what: str) -> NoReturn:
            raise ApiFault("bad_value", f"answered {what} as a number", url)

        def whole(text: str) -> int:
            return int(text) if len(text) <= _MAX_DIGITS else absurd(f"{len(text)} digits")

        try:
            value = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=absurd, parse_int=whole)
        except (ValueError, RecursionError):
            raise ApiFault(
                "not_json", "answered no JSON", url, hint="check that api_url is the station's"
            ) from None
        return cls(value, url)

    def wrong(self, reason: str, msg: str) -> NoReturn:
        raise ApiFault(reason, f"{self._place}{msg}", self._url)

    def _get(self, name: str) -> Any:
        if name not in self._fields:
            self.wrong("missing_field", f"{name} is missing")
        return self._fields[name]

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str):
            self.wrong("wrong_type", f"{name} is no text")
        return value

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if not isinstance(value, bool):
            self.wrong("wrong_type", f"{name} is neither true nor false")
        return value

    def items(self, name: str) -> list[Any]:
        value = self._get(name)
        if not isinstance(value, list):
            self.wrong("wrong_type", f"{name} is no list")
        return value

    def whole(self, name: str) -> int:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong("wrong_type", f"{name} is no whole number")
        if value < 0:
            self.wrong("bad_value", f"{name} is {value}, below 0")
        return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found
