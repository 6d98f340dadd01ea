# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""state.db: its tables, a database of a chosen size, and the invariant that every commit keeps."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from . import clock, content, gauges
from .faults import Faults
from .layout import AnyPath

BUSY_SECONDS = 5.0
JOURNAL_MODES = ("delete", "wal")
LEASE = "scheduler-main"

SCHEMA = """
CREATE TABLE IF NOT EXISTS plans (
    plan_id TEXT PRIMARY KEY, payload_json TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS assets (
    asset_id TEXT PRIMARY KEY, payload_json TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queue_entries (
    entry_id TEXT PRIMARY KEY, start_at TEXT NOT NULL, payload_json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit_events (
    event_id TEXT PRIMARY KEY, ts TEXT NOT NULL, payload_json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS metric_samples (
    ts TEXT NOT NULL, payload_json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scheduler_cursors (
    id INTEGER PRIMARY KEY CHECK (id = 1), payload_json TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scheduler_locks (
    lock_name TEXT PRIMARY KEY, owner_id TEXT NOT NULL, acquired_at TEXT NOT NULL, expires_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS alert_states (
    code TEXT PRIMARY KEY, active INTEGER NOT NULL, last_notified_at TEXT, updated_at TEXT NOT NULL);
"""

COUNTS = (
    "SELECT (SELECT count(*) FROM plans), (SELECT count(*) FROM assets),"
    " (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors WHERE id = 1)"
)

# Made-up history of a new database: one commit a minute, one sample every half hour of a week.
_DEFAULT_END_NS = 1_767_225_600 * clock.SECOND_NS  # 2026-01-01T00:00:00Z
_COMMIT_STEP_NS = 60 * clock.SECOND_NS
_SAMPLE_STEP_NS = 1800 * clock.SECOND_NS
_SAMPLES = 7 * 48
_BYTES_PER_COMMIT = 1900
_BATCH = 5000


class InvariantError(Exception):
    """A database whose plans, assets and commits differ in number: half a transaction was seen."""


def connect(path: AnyPath, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection without Python's own transactions; SQLite makes the file when there is none."""
    return sqlite3.connect(
        os.fspath(path), timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )


def create_tables(conn: sqlite3.Connection) -> None:
    """Make the tables that are missing; takes no write lock when there are none."""
    for statement in SCHEMA.split(";"):
        conn.execute(statement)


def check_invariant(path_or_conn: AnyPath | sqlite3.Connection) -> None:
    """Raise InvariantError unless count(plans) = count(assets) = the cursor's commits.

    A path is opened for this one query, and sqlite3.Error is raised when it cannot be read.
    The same from a shell, which prints 1 for a good database::

        sqlite3 FILE "SELECT count(*) = (SELECT count(*) FROM assets) AND count(*) =
          (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
    """
    if isinstance(path_or_conn, sqlite3.Connection):
        row = path_or_conn.execute(COUNTS).fetchone()
    else:
        uri = Path(path_or_conn).resolve().as_uri() + "?mode=rw"  # rw: a reader of WAL writes its -shm
        conn = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        try:
            row = conn.execute(COUNTS).fetchone()
        finally:
            conn.close()
    plans, assets, commits = row
    if not plans == assets == commits:
        raise InvariantError(f"plans={plans} assets={assets} commits={commits}: they must be equal")


def commits_so_far(conn: sqlite3.Connection) -> int:
    """The cursor's counter; a database without one is counted."""
    row = conn.execute(
        "SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors WHERE id = 1"
    ).fetchone()
    if row is not None and isinstance(row[0], int):
        return row[0]
    return int(conn.execute("SELECT count(*) FROM plans").fetchone()[0])


def set_commits(conn: sqlite3.Connection, commits: int, ns: int) -> None:
    when = clock.column(ns)
    text = f'{{"commits":{commits},"last_commit_at":"{clock.as_payload(when)}"}}'
    conn.execute(
        "INSERT INTO scheduler_cursors VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " payload_json = excluded.payload_json, updated_at = excluded.updated_at",
        (text, when),
    )


def insert_rows(conn: sqlite3.Connection, commits: Sequence[content.CommitRows]) -> None:
    conn.executemany("INSERT INTO plans VALUES (?, ?, ?)", [rows.plan for rows in commits])
    conn.executemany("INSERT INTO assets VALUES (?, ?, ?)", [rows.asset for rows in commits])
    conn.executemany("INSERT INTO queue_entries VALUES (?, ?, ?)", [rows.queue_entry for rows in commits])
    insert_audits(conn, [rows.audit_event for rows in commits])


def insert_audits(conn: sqlite3.Connection, rows: Iterable[content.Row]) -> None:
    conn.executemany("INSERT INTO audit_events VALUES (?, ?, ?)", rows)


def insert_sample(conn: sqlite3.Connection, ns: int, sample: gauges.Gauges) -> None:
    conn.execute("INSERT INTO metric_samples VALUES (?, ?)", (clock.column(ns), gauges.dump(sample)))


def newest_samples(conn: sqlite3.Connection, limit: int) -> list[gauges.Gauges]:
    """The last ``limit`` metric samples, newest first; ValueError when one is damaged."""
    rows = conn.execute(
        "SELECT payload_json FROM metric_samples ORDER BY ts DESC, rowid DESC LIMIT ?", (limit,)
    ).fetchall()
    return [gauges.parse(payload) for (payload,) in rows]


def set_journal_mode(conn: sqlite3.Connection, mode: str) -> None:
    """``mode`` is one of JOURNAL_MODES: a pragma takes no parameters."""
    conn.execute(f"PRAGMA journal_mode = {mode}").fetchone()


def create_database(
    path: AnyPath, size_bytes: int, journal_mode: str = "delete", seed: int = 1, end_ns: int | None = None
) -> None:
    """Make or replace the database at ``path``, about ``size_bytes`` big (within 5 % from 256 KiB on).

    The same arguments give the same bytes. ``end_ns`` (nanoseconds since 1970) is when its history ends;
    0 bytes means tables without rows. The file appears under its name when it is whole and on the disk.
    ValueError for a negative size or an unknown journal mode.
    """
    if journal_mode not in JOURNAL_MODES:
        raise ValueError(f"journal mode {journal_mode!r} is not one of {', '.join(JOURNAL_MODES)}")
    if size_bytes < 0:
        raise ValueError(f"size {size_bytes} is negative")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".new")
    beside.unlink(missing_ok=True)
    conn = connect(beside)
    try:
        _fill(conn, size_bytes, seed, _DEFAULT_END_NS if end_ns is None else end_ns)
    finally:
        conn.close()
    conn = connect(beside)  # anew, because the journal was off while it was filled
    try:
        set_journal_mode(conn, journal_mode)
    finally:
        conn.close()
    with beside.open("rb") as file:
        os.fsync(file.fileno())  # or a benchmark would measure our write-back
    for sidecar in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + sidecar).unlink(missing_ok=True)
    beside.replace(target)


def _fill(conn: sqlite3.Connection, size_bytes: int, seed: int, end_ns: int) -> None:
    # Nobody reads this file yet, and a broken one is thrown away: no journal, no syncs.
    for pragma in (
        "journal_mode = OFF",
        "synchronous = OFF",
        "locking_mode = EXCLUSIVE",
        "cache_size = -262144",
    ):
        conn.execute(f"PRAGMA {pragma}").fetchone()
    create_tables(conn)
    if size_bytes == 0:
        return
    made = content.Content(Random(seed))  # noqa: S311  # no secret
    ns = end_ns - size_bytes // _BYTES_PER_COMMIT * _COMMIT_STEP_NS
    commits = 0
    conn.execute("BEGIN")
    _fill_samples(conn, made.rng, end_ns)
    set_commits(conn, commits, ns)
    # Each batch covers a part of what is missing, so the last ones are small and the size is met closely.
    while (missing := size_bytes - _size(conn)) > 0:
        batch = min(_BATCH, max(1, missing // (2 * _BYTES_PER_COMMIT)))
        rows = []
        for _unused in range(batch):
            ns = min(end_ns, ns + _COMMIT_STEP_NS)
            rows.append(made.commit_rows(ns))
        insert_rows(conn, rows)
        commits += batch
        set_commits(conn, commits, ns)
    conn.execute("COMMIT")


def _fill_samples(conn: sqlite3.Connection, rng: Random, end_ns: int) -> None:
    for age in reversed(range(_SAMPLES)):
        sample = gauges.next_sample(rng, _SAMPLES - age, 0.1, Faults())
        insert_sample(conn, end_ns - age * _SAMPLE_STEP_NS, sample)


def _size(conn: sqlite3.Connection) -> int:
    pages: int = conn.execute("PRAGMA page_count").fetchone()[0]
    page_size: int = conn.execute("PRAGMA page_size").fetchone()[0]
    return pages * page_size
