# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb that says what this command is."""

from __future__ import annotations

import platform
import sqlite3
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ...outcome import Outcome
from .. import show
from ..verb import Call, Verb
from ..version import VERSION

_LIBRARIES = ("cryptography", "yaml", "zstandard")


def _library(name: str) -> str | None:
    try:
        return str(getattr(import_module(name), "__version__", "present"))
    except ImportError:
        return None


def _tell(call: Call) -> Outcome:
    facts: dict[str, Any] = {
        "version": VERSION,
        "engine": str(Path(__file__).resolve().parents[2]),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: _library(name) for name in _LIBRARIES},
    }
    return Outcome(facts=facts)


def _told(facts: Mapping[str, Any]) -> list[str]:
    libraries = {name: version or "missing" for name, version in facts["libraries"].items()}
    return [
        f"vvtv-runbook {facts['version']}",
        *show.pairs(
            (
                ("engine", facts["engine"]),
                ("python", f"{facts['python']} ({facts['interpreter']})"),
                ("sqlite", facts["sqlite"]),
                *libraries.items(),
            )
        ),
    ]


VERBS = (
    Verb(
        "version",
        "show the version of this command and of what it runs on",
        ("Looks at no node and reads no configuration.",),
        _tell,
        _told,
        changes=False,
    ),
)
