# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine stands by itself: no Ansible in it, nothing but what a node has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils import _core

ENGINE = Path(next(iter(_core.__path__)))
FILES = sorted(ENGINE.rglob("*.py"))
ALLOWED = {"cryptography", "yaml", "zstandard"}


def imported(path: Path) -> list[tuple[int, str]]:
    """Every import of a file: how many dots, and from where."""
    found = []
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            found += [(0, name.name) for name in item.names]
        elif isinstance(item, ast.ImportFrom):
            found.append((item.level, item.module or ""))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_the_engine_imports_only_what_a_node_has(path: Path) -> None:
    standard = getattr(sys, "stdlib_module_names", None)
    depth = len(path.relative_to(ENGINE).parts)
    for level, name in imported(path):
        top = name.partition(".")[0]
        assert not top.startswith("ansible"), name
        if level:
            assert level <= depth, f"{name} lies outside the engine"
        elif standard is not None:
            assert top in ALLOWED or top in standard, name


def test_the_engine_can_be_imported_without_ansible_installed() -> None:
    names = [
        str(path.relative_to(ENGINE.parent))[:-3].replace("/", ".")
        for path in FILES
        if path.stem != "__init__"
    ]
    script = f"import sys; sys.modules['ansible'] = None\nimport {', '.join(names)}"
    subprocess.run([sys.executable, "-c", script], cwd=ENGINE.parent, check=True)


def test_the_engine_was_looked_at() -> None:
    assert len(FILES) > 10
