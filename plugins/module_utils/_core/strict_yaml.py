# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML as the station reads it: version 1.2, plain values only, no key given twice.

What is read may be hostile: every way PyYAML fails on it ends in :class:`NotYaml`.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from .errors import MissingLibrary

try:
    import yaml
except ImportError:  # said when something has to be read
    yaml = None  # type: ignore[assignment]  # None stands for a missing library

# The core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3.2).
_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", "nN~\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class NotYaml(ValueError):
    """Bytes that are no YAML of plain values; the text says why, ``place`` only near which line, if known."""

    def __init__(self, why: str, place: str = "") -> None:
        super().__init__(f"{why}{place}")
        self.place = place


def load(data: bytes, what: str, path: Path) -> Any:
    """Return the value of the one document in ``data``.

    ``what`` and ``path`` are for the message of :class:`MissingLibrary`. Raise :class:`NotYaml`.
    """
    if yaml is None:
        raise MissingLibrary(
            f"this node's Python has no PyYAML, which reads {what}",
            path=path,
            hint="install it (apt-get install python3-yaml)",
        )
    try:
        return yaml.load(data, Loader=_loader())  # noqa: S506 - a SafeLoader with fewer types still
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = "" if mark is None else f", near line {mark.line + 1}, column {mark.column + 1}"
        raise NotYaml(_why(exc), place) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        # What PyYAML makes of values that are not of the type which a tag says.
        raise NotYaml("a value is not what its tag says, or it is nested too deeply") from None


def _why(exc: yaml.YAMLError) -> str:
    """Return what is wrong, without the lines around it that PyYAML would quote."""
    problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or str(exc)
    return " ".join(str(problem).split())[:200]


def _loader() -> type:
    """Return a SafeLoader that resolves plain scalars as YAML 1.2 does and refuses a key given twice."""

    class StrictLoader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = Counter(key.value for key, _value in node.value if isinstance(key.value, str))
            twice = [key for key, times in keys.items() if times > 1]
            if twice:
                raise yaml.YAMLError(f"{twice[0][:80]!r} is given twice near line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    for tag, form, first in _RESOLVERS:
        StrictLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}",
            re.compile(f"(?:{form})\\Z"),
            ["" if char == "\0" else char for char in first],
        )
    return StrictLoader
