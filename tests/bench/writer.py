# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that commits one small row every 5 ms, and for how long each commit was held up.

    python -m tests.bench.writer DATABASE RECORD

It ends when its input ends, and then writes RECORD: one line for each commit, with the instant it began (of
the monotonic clock), the seconds until it held the write lock, and the seconds until it was committed.
"""

from __future__ import annotations

import math
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_SECONDS = 0.005
BUSY_SECONDS = 60.0


class WriterFailed(Exception):
    """A writer that ended early or not well."""


@dataclass(frozen=True)
class Commit:
    """One commit: when it began, and the seconds it took to lock and in all."""

    began: float
    locked: float
    took: float


@dataclass
class Record:
    """The commits of a writer, filled when it has ended."""

    commits: list[Commit] = field(default_factory=list)

    def during(self, started: float, ended: float) -> list[Commit]:
        """Those that overlap a span of the monotonic clock."""
        return [one for one in self.commits if one.began <= ended and one.began + one.took >= started]


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile; 0 for no values."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1] if ordered else 0.0


@contextmanager
def writing(database: Path, record_file: Path) -> Iterator[Record]:
    """Let a writer of its own process commit meanwhile; its record is complete at the end."""
    record = Record()
    command = [sys.executable, "-m", "tests.bench.writer", str(database), str(record_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            raise WriterFailed("the writer did not come up")
        try:
            yield record
        finally:
            child.stdin.close()
            child.wait()
    if child.returncode != 0:
        raise WriterFailed(f"the writer failed with exit {child.returncode}")
    for line in record_file.read_text(encoding="ascii").splitlines():
        began, locked, took = map(float, line.split())
        record.commits.append(Commit(began, locked, took))


def commit_once(connection: sqlite3.Connection, number: int) -> Commit:
    """Commit one small row as any program would."""
    began = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    locked = time.monotonic()
    connection.execute("INSERT INTO metric_samples VALUES (?, ?)", (f"bench {number:09}", "{}"))
    connection.execute("COMMIT")
    return Commit(began, locked - began, time.monotonic() - began)


def main() -> None:
    database, record_file = sys.argv[1:]
    connection = sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)
    commits: list[Commit] = []
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        commits.append(commit_once(connection, len(commits)))
        if len(commits) == 20:
            print("ready", flush=True)  # noqa: T201
    connection.close()
    lines = [f"{one.began!r} {one.locked!r} {one.took!r}\n" for one in commits]
    Path(record_file).write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
