# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``vvtv.runbook.table``: what a playbook found, as lines that an operator can read."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: table
short_description: Lay out a list of dictionaries as a table of text
version_added: 1.0.0
author: the vvtv.runbook authors (@vvtv)
description:
  - Turns rows into aligned lines of text, a header and a rule first, for C(ansible.builtin.debug) to print.
  - What is missing or none is shown as C(-), booleans as C(yes) and C(no), numbers with at most four
    decimals, lists as their members with commas, dictionaries as JSON; empty ones too
    are shown as C(-).
  - No control character gets through, whatever the data hold, so that none can steer the operator's terminal.
positional: columns
options:
  _input:
    description: The rows.
    type: list
    elements: dict
    required: true
  columns:
    description:
      - The columns from left to right. Each is the key of a field of the rows, or a dictionary with C(key)
        and perhaps C(title) (the key if left out), C(align) (C(left) or C(right); if left out, numbers are
        on the right) and C(width) (as O(max_width), for this column).
    type: list
    elements: raw
    required: true
  max_width:
    description: How wide a cell may be; what is longer ends in C(…).
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Show the availability of a node
  ansible.builtin.debug:
    msg: >-
      {{ found.windows | vvtv.runbook.table(['name', 'status',
         {'key': 'availability', 'title': 'available', 'align': 'right'}, 'budget_left_seconds']) }}
# name  status  available  budget_left_seconds
# ----  ------  ---------  -------------------
# 1h    met        0.9983                 12.1
"""

RETURN = r"""
_value:
  description: The lines, without blanks at their ends.
  type: list
  elements: str
"""

MAX_WIDTH = 60
NOTHING = "-"
_GAP = "  "
_CUT = "…"
_BLANK = frozenset(("Zs", "Zl", "Zp"))
_INVISIBLE = frozenset(("Cf", "Mn", "Me"))
_UNPRINTABLE = frozenset(("Cc", "Cs", "Co", "Cn"))


@dataclass(frozen=True)
class Column:
    """One column as it was asked for; ``align`` is none until the cells decide."""

    key: str
    title: str
    align: str | None
    width: int


def table(rows: Any, columns: Any, max_width: Any = MAX_WIDTH) -> list[str]:
    """Return the lines of a table; raise ``AnsibleFilterError`` for what is no table."""
    wanted = [_column(column, max_width) for column in _list(columns, "columns")]
    if not wanted:
        raise AnsibleFilterError("table: columns is empty: name at least one")
    lines = [[row.get(column.key) for column in wanted] for row in _rows(rows)]
    laid_out = [_lay_out(column, [line[number] for line in lines]) for number, column in enumerate(wanted)]
    return [_GAP.join(cells).rstrip() for cells in zip(*laid_out)]


def _list(value: Any, what: str) -> Sequence[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise AnsibleFilterError(f"table: {what} is {type(value).__name__}, not a list")
    return value


def _rows(rows: Any) -> list[Mapping[str, Any]]:
    for number, row in enumerate(_list(rows, "the input"), 1):
        if not isinstance(row, Mapping):
            raise AnsibleFilterError(f"table: row {number} is {type(row).__name__}, not a dictionary")
    return list(rows)


def _column(column: Any, max_width: Any) -> Column:
    asked = {"key": column} if isinstance(column, str) else column
    if not isinstance(asked, Mapping) or not isinstance(asked.get("key"), str):
        raise AnsibleFilterError(f"table: a column is a key or a dictionary with 'key', not {column!r:.80}")
    unknown = sorted(set(asked) - {"key", "title", "align", "width"})
    if unknown:
        raise AnsibleFilterError(f"table: a column has no {', '.join(map(repr, unknown))}")
    align, width = asked.get("align"), asked.get("width", max_width)
    if align not in (None, "left", "right"):
        raise AnsibleFilterError(f"table: align is 'left' or 'right', not {align!r:.80}")
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise AnsibleFilterError(f"table: a width is a whole number from 1 on, not {width!r:.80}")
    return Column(asked["key"], _clean(asked.get("title", asked["key"])), align, width)


def _lay_out(column: Column, values: list[Any]) -> list[str]:
    """Return a column's title, rule and cells, all of one width."""
    cells = [_fit(_clean(text(value)), column.width) for value in values]
    title = _fit(column.title, column.width)
    width = max(width_of(cell) for cell in (title, *cells))
    pad = _right if (column.align or _natural(values)) == "right" else _left
    return [pad(title, width), "-" * width, *(pad(cell, width) for cell in cells)]


def _natural(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    numbers = [value for value in known if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return "right" if known and len(numbers) == len(known) else "left"


def _left(cell: str, width: int) -> str:
    return cell + " " * (width - width_of(cell))


def _right(cell: str, width: int) -> str:
    return " " * (width - width_of(cell)) + cell


def text(value: Any) -> str:
    """Return a value as an operator reads it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str, ensure_ascii=False) if value else NOTHING
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ", ".join(text(one) for one in value) or NOTHING
    return str(value)


def _decimal(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    short = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _clean(value: Any) -> str:
    """Return a text in one line in which nothing steers a terminal."""
    return "".join(map(_printable, str(value))).strip() or NOTHING


def _printable(char: str) -> str:
    category = unicodedata.category(char)
    if category in _BLANK or char in "\t\n\r":
        return " "
    if category == "Cf":  # marks that reorder or hide text
        return ""
    return "?" if category in _UNPRINTABLE else char


def width_of(line: str) -> int:
    """Return how many columns of a terminal a text takes: two for each wide character."""
    return sum(map(_char_width, line))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fit(cell: str, width: int) -> str:
    if width_of(cell) <= width:
        return cell
    kept, room = "", width - 1
    for char in cell:
        room -= _char_width(char)
        if room < 0:
            break
        kept += char
    return kept.rstrip() + _CUT


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"table": table}
