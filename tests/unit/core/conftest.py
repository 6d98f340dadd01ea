# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases small enough to test with, and writers in processes of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files
from tests.simulator import database

# How long an example takes says nothing: the machine is shared with the other tests.
settings.register_profile(
    "unhurried", deadline=None, max_examples=int(os.environ.get("VVTV_TEST_EXAMPLES", "100"))
)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what need not run on the newest Python: all but age, part of which needs a new cryptography."""
    here = Path(__file__).parent
    for item in items:
        # Pytest hands over those of other folders as well.
        if item.path.is_relative_to(here) and not item.path.is_relative_to(here / "age"):
            item.add_marker("engine")


ME = files.Owner(os.getuid(), os.getgid())

_OTHER = """
import sqlite3, sys
at = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
try:
    for statement in sys.argv[3:]:
        at.execute(statement).fetchall()
    print("done", flush=True)
except sqlite3.Error as error:
    print(error, flush=True)
sys.stdin.read()
"""


def ask(path: Path, statement: str) -> str:
    """Ask Debian's sqlite3."""
    command = ["sqlite3", "-cmd", ".timeout 5000", str(path), statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def sha256sum(path: Path) -> str:
    """Ask coreutils."""
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


@contextmanager
def another(path: Path, *statements: str, timeout: float = 0.1) -> Iterator[str]:
    """Let another process run statements and keep its connection; yield ``done`` or its error."""
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(path), str(timeout), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(params=database.JOURNAL_MODES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database of a stopped station, once in each journal mode."""
    path = tmp_path / "vvtv.db"
    database.create_database(path, 200_000, request.param, 1)
    return path


def journal_mode(path: Path) -> str:
    """Return the journal mode a database is in."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
