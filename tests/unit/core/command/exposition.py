# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A strict reader of the text format of Prometheus 0.0.4, by its specification and not by our writer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (\S.*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (gauge|counter|untyped|summary|histogram)")
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
_SAMPLE = re.compile(rf"({_NAME})(\{{{_LABEL}(?:,{_LABEL})*\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


@dataclass
class Exposition:
    """What a file says: each family's help and type, each sample's value by its name with labels."""

    helps: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    samples: dict[str, float] = field(default_factory=dict)


def parse(text: str) -> Exposition:
    """Read a whole file; anything that is not in the format, or twice, is an AssertionError."""
    assert text == "" or text.endswith("\n")
    assert "\r" not in text
    found, family, closed = Exposition(), "", set()
    for line in text.splitlines():
        helped, typed, sample = _HELP.fullmatch(line), _TYPE.fullmatch(line), _SAMPLE.fullmatch(line)
        assert helped or typed or sample, f"no line of the format: {line!r}"
        name = str((helped or typed or sample)[1])  # type: ignore[index]
        if name != family:
            assert name not in closed, f"{name} is not in one group"
            closed.add(name)
            family = name
        if helped:
            assert name not in found.helps
            found.helps[name] = helped[2]
        elif typed:
            assert name not in found.types
            assert name in found.helps
            found.types[name] = typed[2]
        elif sample:
            assert name in found.types, f"{name} has no TYPE before it"
            key = f"{name}{sample[2] or ''}"
            assert key not in found.samples, f"{key} twice"
            found.samples[key] = float(sample[3])
    assert set(found.helps) == set(found.types)
    assert all(any(key.partition("{")[0] == name for key in found.samples) for name in found.types)
    return found
