# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words and tables for a person. What comes from a node may hold anything, so it is made printable."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..probes import one_line

_MAX_CELL = 200
_MAX_DIFF_LINES = 400


def cell(value: Any) -> str:
    """Return a value as one printable line; nothing known is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(str(value), _MAX_CELL)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return aligned columns under their titles; the last one runs free."""
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        return []
    lines = [list(titles), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines]


def pairs(named: Iterable[tuple[str, Any]]) -> list[str]:
    """Return names with their values, aligned; what is not known is left out."""
    known = [(name, cell(value)) for name, value in named if value is not None]
    width = max((len(name) for name, _value in known), default=0)
    return [f"  {name.ljust(width)}  {value}" for name, value in known]


def size(count: int | None) -> str | None:
    """Return a number of bytes as a person says it."""
    if count is None:
        return None
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units:
        if value < 1024 or unit == units[-1]:
            break
        value /= 1024
    return f"{value:.1f} {unit}" if unit != "B" else f"{count} B"


def seconds(count: float) -> str:
    """Return a time as a person says it, in two units at most."""
    left, sign = abs(round(count)), "-" if count < 0 else ""
    told = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number:
            told.append(f"{number} {unit}")
    return sign + (" ".join(told[:2]) or "0 s")


def instant(text: str | None) -> str | None:
    """Return an RFC 3339 instant without the digits below a second."""
    if text is None:
        return None
    head, dot, tail = text.partition(".")
    return f"{head}{tail.lstrip('0123456789')}" if dot else text


def listed(names: Iterable[Any], limit: int = 5) -> str:
    """Return some names, and how many more there are."""
    found = [cell(name) for name in names]
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more or "none"


def actions(done: Sequence[str], check: bool) -> list[str]:
    """Return what was done, or would be."""
    if not done:
        return ["nothing would be done" if check else "nothing to do"]
    return ["would be done:" if check else "done:", *(f"  {one_line(action, 1000)}" for action in done)]


def diff(parts: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what changes, as a unified diff."""
    lines: list[str] = []
    for part in parts:
        if "before_header" not in part:
            continue  # the actions say as much
        before, after = (part.get(side, "").splitlines() for side in ("before", "after"))
        headers = (part["before_header"], part.get("after_header", "after"))
        lines += difflib.unified_diff(before, after, *headers, lineterm="", n=2)
    if len(lines) > _MAX_DIFF_LINES:
        lines = [*lines[:_MAX_DIFF_LINES], f"and {len(lines) - _MAX_DIFF_LINES} lines more"]
    return [printable(line) for line in lines]


def printable(line: str) -> str:
    """Return one line without anything that could move a terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\t" else "?" for char in line)
