# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What values a setting takes, as a text of the command line or the environment and as YAML has it.

No message repeats a value: what was put into the wrong place may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

_MAX_CHARS = 4096
_MAX_ITEMS = 1000
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d{1,15}", re.ASCII)
_MOST = 10**15


class Unfit(ValueError):
    """A value that a setting does not take; says what it takes."""


@dataclass(frozen=True)
class Kind:
    """``metavar`` stands for it in the help.

    ``of_yaml`` makes a value from what YAML made, ``of_text`` from a text, where one can say it; both raise
    :class:`Unfit`. ``repeats`` is for lists, of which a text is one item.
    """

    metavar: str
    of_yaml: Callable[[Any], Any]
    of_text: Callable[[str], Any] | None = None
    repeats: bool = False


def _text(value: Any) -> str:
    good = isinstance(value, str) and 0 < len(value) <= _MAX_CHARS and value.isprintable()
    if not good:
        raise Unfit(f"must be a text of 1 to {_MAX_CHARS} printable characters")
    return str(value)


def _path(value: Any) -> str:
    """Names of files may hold any character; what follows checks more."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_CHARS or "\0" in value:
        raise Unfit("must be a path")
    return value


def _number_of_text(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise Unfit("must be a number")
    return _number(float(text))


def _number(value: Any) -> float:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not -_MOST < value < _MOST or not isfinite(value):
        raise Unfit("must be a number")
    return float(value)


def _whole_of_text(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise Unfit("must be a whole number")
    return int(text)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_MOST < value < _MOST:
        raise Unfit("must be a whole number")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > _MAX_ITEMS:
        raise Unfit(f"must be a list of at most {_MAX_ITEMS} texts")
    try:
        return tuple(_text(item) for item in value)
    except Unfit as exc:
        raise Unfit("must be a list of texts") from exc


_WINDOW = ("start", "end", "reason")


def _windows(value: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise Unfit(f"must be a list of at most {_MAX_ITEMS} windows")
    found = []
    for number, window in enumerate(value, 1):
        if not isinstance(window, dict) or not {"start", "end"} <= set(window) <= set(_WINDOW):
            raise Unfit(f"window {number}: must have start and end, may have a reason, and nothing else")
        try:
            found.append(
                {name: _text(text) for name, text in window.items() if (name, text) != ("reason", "")}
            )
        except Unfit as exc:
            raise Unfit(f"window {number}: start, end and reason must be texts, in quotes") from exc
    return tuple(found)


TEXT = Kind("TEXT", _text, _text)
PATH = Kind("PATH", _path, _path)
NUMBER = Kind("N", _number, _number_of_text)
SECONDS = Kind("SECONDS", _number, _number_of_text)
DAYS = Kind("DAYS", _number, _number_of_text)
WHOLE = Kind("N", _whole, _whole_of_text)
FLAG = Kind("", _flag)
TEXTS = Kind("TEXT", _texts, _text, repeats=True)
WINDOWS = Kind("", _windows)


def choice(choices: Sequence[str]) -> Kind:
    """Return the kind of a setting that takes one of a few words."""

    def chosen(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Unfit(f"must be one of {', '.join(choices)}")
        return value

    return Kind("|".join(choices), chosen, chosen)
