# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a test asks a node for: their grammar, and the control file that carries them.

The file holds ``{"generation": n, "faults": {key: value, ...}}``. A set of faults replaces the one before.
Keys and values are listed in README.md; anything else is a :class:`FaultError` that names it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Union

from .layout import AnyPath, layout, write_atomic

FaultValue = Union[str, int, float]

PATHS = (
    "/v1/status",
    "/v1/alerts",
    "/metrics",
    "/v1/reports/daily",
    "/v1/reports/weekly",
    "/v1/control/emergency-mode",
    "/v1/control/reload-owner-card",
    "/v1/control/curator-mode",
)
ALL = "all"
NOW = "now"
PIPELINE_MODES = ("running", "quiet", "frozen")
MAX_SECONDS = 600.0
MAX_HUGE_BYTES = 1 << 30
MAX_SKEW_SECONDS = 10 * 366 * 86_400
MAX_CONTROL_BYTES = 64 * 1024
MAX_DOMAIN_EVENTS = 10_000
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class FaultError(ValueError):
    """A fault that does not exist, or a value it cannot have."""


@dataclass(frozen=True)
class Rule:
    """A fault of the API: where it holds, and how much of it (seconds, bytes, or an HTTP code)."""

    path: str
    amount: float = 0.0

    def applies(self, path: str) -> bool:
        return self.path in (ALL, path)


@dataclass(frozen=True)
class FailingDomain:
    """``events`` audit events at once, or, when None, one with every commit."""

    domain: str | None
    events: int | None


@dataclass(frozen=True)
class Faults:
    """One whole set of faults; the default is a healthy node."""

    pipeline: str = "running"
    buffer: int | None = None
    qa: float | None = None
    fallback_step: float | None = None
    failing_domain: FailingDomain | None = None
    http_500: Rule | None = None
    malformed: Rule | None = None
    hang: Rule | None = None
    slow: Rule | None = None
    huge: Rule | None = None
    trickle: Rule | None = None
    html: Rule | None = None
    status: Rule | None = None
    nan: Rule | None = None
    negative: Rule | None = None
    clock: float = 0.0
    crash: Rule | None = None

    def touch_data(self) -> bool:
        """Does a metric sample or an audit event show these faults?"""
        shown = (self.buffer, self.qa, self.fallback_step, self.failing_domain)
        return any(fault is not None for fault in shown)


@dataclass(frozen=True)
class Control:
    """The faults in force; generation 0 means that nobody has asked for any yet."""

    generation: int = 0
    faults: Faults = field(default_factory=Faults)
    #: What the control file asks for, as it is written there.
    asked: Mapping[str, FaultValue] = field(default_factory=dict)
    #: How many phases of the station's release have begun.
    phase: int = 0

    @property
    def turn(self) -> tuple[int, int]:
        """Another one whenever the faults have become others."""
        return self.generation, self.phase


def parse_size(text: str) -> int:
    """Bytes meant by ``4096``, ``64K``, ``4M`` or ``2G``; ValueError for anything else."""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text, re.ASCII)
    if match is None:
        raise ValueError(f"not a size like 4096, 64K, 4M or 2G: {text[:40]!r}")
    return int(match.group(1)) * UNITS[match.group(2)]


def _number(value: FaultValue, low: float, high: float) -> float:
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError("not a number") from error
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"not between {low:g} and {high:g}")
    return number


def _whole(value: FaultValue, low: int, high: int) -> int:
    number = _number(value, low, high)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _path(value: FaultValue) -> str:
    if value != ALL and value not in PATHS:
        raise ValueError(f"not {ALL!r} and not a path of the API")
    return str(value)


def _rule(value: FaultValue) -> Rule:
    return Rule(_path(value))


def _crash_rule(value: FaultValue) -> Rule:
    return Rule(NOW) if value == NOW else _rule(value)


def _split_at(value: FaultValue) -> tuple[FaultValue, str]:
    """``2.5@/metrics`` is an amount and a path; without a path it is meant for all of them."""
    if not isinstance(value, str):
        return value, ALL
    amount, at, path = value.partition("@")
    return amount, _path(path) if at else ALL


def _seconds_rule(value: FaultValue) -> Rule:
    amount, path = _split_at(value)
    return Rule(path, _number(amount, 0.0, MAX_SECONDS))


def _code_rule(value: FaultValue) -> Rule:
    code, path = _split_at(value)
    return Rule(path, _whole(code, 200, 599))


def _bytes_rule(value: FaultValue) -> Rule:
    amount, path = _split_at(value)
    size = parse_size(str(amount))
    if size > MAX_HUGE_BYTES:
        raise ValueError(f"more than {MAX_HUGE_BYTES} bytes")
    return Rule(path, size)


def _pipeline(value: FaultValue) -> str:
    if value not in PIPELINE_MODES:
        raise ValueError("not one of " + ", ".join(PIPELINE_MODES))
    return str(value)


def _failing_domain(value: FaultValue) -> FailingDomain:
    """``example.com`` or ``3@example.com``; the domain ``-`` stands for a code without one."""
    head, at, tail = str(value).partition("@")
    events = _whole(head, 1, MAX_DOMAIN_EVENTS) if at else None
    domain = tail if at else head
    if domain != "-" and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,252}", domain, re.ASCII):
        raise ValueError("not a domain name")
    return FailingDomain(None if domain == "-" else domain, events)


_PARSERS: dict[str, Callable[[FaultValue], object]] = {
    "pipeline": _pipeline,
    "buffer": lambda value: _whole(value, 0, 100_000),
    "qa": lambda value: _number(value, 0.0, 1.0),
    "fallback_step": lambda value: _number(value, 0.0, 1.0),
    "failing_domain": _failing_domain,
    "http_500": _rule,
    "malformed": _rule,
    "hang": _seconds_rule,
    "slow": _seconds_rule,
    "huge": _bytes_rule,
    "trickle": _seconds_rule,
    "html": _rule,
    "status": _code_rule,
    "nan": _rule,
    "negative": _rule,
    "clock": lambda value: _number(value, -MAX_SKEW_SECONDS, MAX_SKEW_SECONDS),
    "crash": _crash_rule,
}


def parse_faults(raw: Mapping[str, object]) -> Faults:
    """The faults that ``raw`` asks for; FaultError names the first key or value that is wrong."""
    parsed: dict[str, object] = {}
    for key, value in raw.items():
        parser = _PARSERS.get(key)
        if parser is None:
            raise FaultError(f"unknown fault {key[:60]!r}; there are: {', '.join(_PARSERS)}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise FaultError(f"fault {key}: {str(value)[:60]!r}: neither text nor a number")
        try:
            parsed[key] = parser(value)
        except ValueError as error:
            raise FaultError(f"fault {key}: {str(value)[:60]!r}: {error}") from error
    return Faults(**parsed)  # type: ignore[arg-type]  # each parser returns its field's type


def parse_control(text: str) -> Control:
    """The control file's text, checked; FaultError says what is wrong with it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FaultError(f"control file: not JSON: {error}") from error
    if not isinstance(data, dict) or set(data) != {"generation", "faults"}:
        raise FaultError("control file: wants exactly the keys generation and faults")
    generation, raw = data["generation"], data["faults"]
    if isinstance(generation, bool) or not isinstance(generation, int) or generation < 1:
        raise FaultError("control file: generation is not a whole number from 1 on")
    if not isinstance(raw, dict):
        raise FaultError("control file: faults is not an object")
    return Control(generation, parse_faults(raw), raw)


def read_control(root: AnyPath) -> Control:
    """The faults asked for in ``root`` now; FaultError or OSError when they cannot be read."""
    path = layout(root).control
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONTROL_BYTES + 1)
    except FileNotFoundError:
        return Control()
    if len(content) > MAX_CONTROL_BYTES:
        raise FaultError(f"control file: more than {MAX_CONTROL_BYTES} bytes")
    try:
        return parse_control(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FaultError(f"control file: not UTF-8: {error}") from error


def write_control(root: AnyPath, faults: Mapping[str, FaultValue], seen: int = 0) -> int:
    """Ask for exactly ``faults`` and return the new generation; FaultError before anything is written.

    ``seen`` is the newest generation that the node is known to have taken over.
    """
    parse_faults(faults)
    where = layout(root)
    where.sim_dir.mkdir(parents=True, exist_ok=True)
    try:
        asked = read_control(root).generation
    except FaultError:
        asked = 0  # an unreadable file is replaced
    generation = max(asked, seen) + 1
    text = json.dumps({"generation": generation, "faults": dict(faults)})
    write_atomic(where.control, text + "\n")
    return generation
