# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release that a station runs: ``current/station.json`` below its root, read once when it starts.

``{"version": "2.1.0", "phases": [{"after": 5, "faults": {"qa": 0.4}}], "ready_after": 0}``: times are seconds
since the process began, and ``ready_after`` null is a release whose API never listens. So a bad release gets
sick by itself, whoever restarts it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from .faults import FaultError, FaultValue, parse_faults
from .layout import AnyPath, layout

MAX_BYTES = 64 * 1024
MAX_PHASES = 100
MAX_SECONDS = 86_400.0
MAX_VERSION_CHARS = 64
KEYS = {"version", "phases", "ready_after"}


class ReleaseError(ValueError):
    """A station.json that no station starts with."""


@dataclass(frozen=True)
class Phase:
    """From ``after`` seconds on exactly these faults hold."""

    after: float
    faults: Mapping[str, FaultValue]


@dataclass(frozen=True)
class Release:
    """What a station runs; the default is one that was put there by hand, and is healthy."""

    version: str = ""
    phases: tuple[Phase, ...] = ()
    ready_after: float | None = 0.0

    def phase(self, seconds: float) -> int:
        """How many phases have begun after so many seconds."""
        return sum(phase.after <= seconds for phase in self.phases)

    def faults(self, phase: int) -> Mapping[str, FaultValue]:
        """The faults of that phase; phase 0, before the first one, has none."""
        return self.phases[phase - 1].faults if phase else {}

    def is_ready(self, seconds: float) -> bool:
        """Does its API listen after so many seconds?"""
        return self.ready_after is not None and seconds >= self.ready_after

    def text(self) -> str:
        """The content of its station.json."""
        phases = [{"after": phase.after, "faults": dict(phase.faults)} for phase in self.phases]
        content = {"version": self.version, "phases": phases, "ready_after": self.ready_after}
        return json.dumps(content, indent=2) + "\n"


def read_release(root: AnyPath) -> Release:
    """The release that ``current`` of ``root`` leads to, the default one when there is none.

    ReleaseError or OSError when it cannot be read: a station with a broken release does not start.
    """
    path = layout(root).release
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Release()
    if len(content) > MAX_BYTES:
        raise ReleaseError(f"{path}: more than {MAX_BYTES} bytes")
    try:
        return parse_release(content.decode("utf-8"))
    except (UnicodeDecodeError, ReleaseError) as error:
        raise ReleaseError(f"{path}: {error}") from error


def parse_release(text: str) -> Release:
    """The release that a station.json describes; ReleaseError names what is wrong with it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"not JSON: {error}") from error
    if not isinstance(data, dict) or "version" not in data or set(data) - KEYS:
        raise ReleaseError(f"wants an object with version and no keys but {', '.join(sorted(KEYS))}")
    version = data["version"]
    if not isinstance(version, str) or not 1 <= len(version) <= MAX_VERSION_CHARS:
        raise ReleaseError(f"version: not a text of 1 to {MAX_VERSION_CHARS} characters")
    listed = data.get("phases", [])
    if not isinstance(listed, list) or len(listed) > MAX_PHASES:
        raise ReleaseError(f"phases: not a list of up to {MAX_PHASES}")
    phases = tuple(_phase(one) for one in listed)
    if any(later.after < earlier.after for earlier, later in zip(phases, phases[1:])):
        raise ReleaseError("phases: not in the order of their times")
    ready_after = data.get("ready_after", 0.0)
    return Release(version, phases, None if ready_after is None else _seconds("ready_after", ready_after))


def _phase(raw: object) -> Phase:
    if not isinstance(raw, dict) or set(raw) != {"after", "faults"} or not isinstance(raw["faults"], dict):
        raise ReleaseError("phases: a phase wants exactly after, and faults as an object")
    try:
        parse_faults(raw["faults"])
    except FaultError as error:
        raise ReleaseError(f"phases: {error}") from error
    return Phase(_seconds("phases: after", raw["after"]), raw["faults"])


def _seconds(what: str, raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise ReleaseError(f"{what}: not a number")
    # Compared before any conversion: a whole number may be too big for a float.
    if not 0 <= raw <= MAX_SECONDS or not math.isfinite(raw):
        raise ReleaseError(f"{what}: not between 0 and {MAX_SECONDS:g} seconds")
    return float(raw)
