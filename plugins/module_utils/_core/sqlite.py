# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLite as the engine uses it: connections, errors in our terms, integrity, what a state database is.

A process that holds a SQLite lock must never open and close the same file by other means: the close drops
the lock (sqlite.org/howtocorrupt.html, 2.2). Whoever needs raw bytes of a live database reads them through
:mod:`sqlite_snapshot`, which uses a child process.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from .errors import Busy, Damaged, Denied, DiskFull, NotFound, RunbookError, SystemFault, guarded

Value = TypeVar("Value")

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
SIDECARS = ("-wal", "-journal", "-shm")

# The station's tables, and the one whose only row is renewed every 15 s while nothing else happens.
STATION_TABLES = frozenset(
    [
        "plans",
        "assets",
        "queue_entries",
        "audit_events",
        "metric_samples",
        "scheduler_cursors",
        "scheduler_locks",
        "alert_states",
    ]
)
LEASE_TABLE = "scheduler_locks"

# Bytes of the file header that say how and when the file was written, not what it holds: journal mode,
# change counter, schema cookie (a restore raises it), version-valid-for and library version
# (sqlite.org/fileformat2.html, 1.3).
_BOOKKEEPING = ((18, 20), (24, 28), (40, 44), (92, 100))
_WAL_FORM = slice(18, 20)
_LEAF_PAGES = (0x0A, 0x0D)
_MAX_FINDINGS = 1
_GLANCE_SECONDS = 0.0003
_SHARED_MEMORY_BYTES = 32768  # what a -shm file takes at least (sqlite.org/walformat.html, 2.1)


def sidecar(database: Path, suffix: str) -> Path:
    """Return the path of a database's ``-wal``, ``-journal`` or ``-shm`` file."""
    return database.with_name(database.name + suffix)


def to_error(exc: sqlite3.Error, doing: str, path: Path) -> RunbookError:
    """Say a SQLite error in the engine's terms; told by its text, since Python 3.9 gives no code."""
    why = str(exc)
    msg = f"cannot {doing}: {why}"
    if "locked" in why:
        hint = "a writer or reader held the database longer than lock_timeout: wait, or raise lock_timeout"
        return Busy(msg, path=path, hint=hint)
    if "not a database" in why or "malformed" in why or "encrypted" in why:
        return Damaged(msg, path=path, hint="restore it from a backup")
    if "full" in why or ("I/O" in why and _no_room_beside(path)):
        return DiskFull(msg, path=path, hint="free some space and run again")
    if "unable to open" in why or "readonly" in why or "authorization" in why:
        return Denied(msg, path=path, hint="run as the service user or with become")
    return SystemFault(msg, path=path)


def _no_room_beside(path: Path) -> bool:
    """Whether SQLite's "disk I/O error" means that its shared memory or journal found no room."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _SHARED_MEMORY_BYTES


@contextmanager
def speaking(doing: str, path: Path) -> Iterator[None]:
    """Turn SQLite's and the operating system's errors of the body into the engine's."""
    with guarded(doing, path):
        try:
            yield
        except sqlite3.Error as exc:
            raise to_error(exc, doing, path) from exc


def connect_live(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a database others are using; it must exist. ``timeout`` in seconds is SQLite's busy timeout.

    Writing must be possible, since a reader may have to roll back a dead writer's journal. Automatic
    checkpoints are off: an outside checkpointer can trigger SQLite's WAL-reset bug (fixed in 3.51.3). Threads
    may use it one after the other.
    """
    require_readable(path)
    connection = sqlite3.connect(
        _uri(path, "mode=rw"), uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def patiently(ask: Callable[[], Value], deadline: float) -> Value:
    """Ask again and again while the database is locked, until the deadline (monotonic clock).

    SQLite's own waiting sleeps longer and longer, and a writer that commits without a pause never leaves the
    lock free at its waking: looking often finds the gap. The connection's busy timeout must be 0.
    """
    while True:
        try:
            return ask()
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() >= deadline:
                raise
        time.sleep(_GLANCE_SECONDS)


@contextmanager
def _without_waiting(connection: sqlite3.Connection, timeout: float) -> Iterator[float]:
    """Switch SQLite's own waiting off, yield the deadline, and set ``timeout`` (seconds) again at the end."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        yield time.monotonic() + timeout
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout * 1000)}")


def execute_patiently(connection: sqlite3.Connection, timeout: float, statement: str, *values: str) -> None:
    """Execute a statement, waiting up to ``timeout`` seconds for the lock that it begins with."""
    with _without_waiting(connection, timeout) as deadline:
        patiently(lambda: connection.execute(statement, values), deadline)


def begin_writing(connection: sqlite3.Connection, timeout: float) -> None:
    """Take the write lock of a live database, waiting up to ``timeout`` seconds for it."""
    execute_patiently(connection, timeout, "BEGIN IMMEDIATE")


def begin_reading(connection: sqlite3.Connection, timeout: float) -> None:
    """Begin a read transaction that really holds its lock, waiting up to ``timeout`` seconds for it."""
    with _without_waiting(connection, timeout) as deadline:
        connection.execute("BEGIN")
        patiently(lambda: connection.execute("SELECT count(*) FROM sqlite_master").fetchone(), deadline)


def connect_still(path: Path) -> sqlite3.Connection:
    """Open a database that nobody writes, such as one in a backup; no sidecar is read or made."""
    require_readable(path)
    uri = _uri(path, "mode=ro&immutable=1")
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _uri(path: Path, query: str) -> str:
    return f"file:{quote(os.fspath(path))}?{query}"


def require_readable(path: Path) -> None:
    """Raise a clear error unless ``path`` is a regular file this process may read."""
    if not path.exists():
        raise NotFound("there is no such database", path=path)
    if not path.is_file():
        raise Damaged("is not a regular file", path=path)
    if not os.access(path, os.R_OK):
        raise Denied("cannot be read by this user", path=path, hint="run as the service user or with become")


def tables(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the names of the tables of a database."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return frozenset(name for (name,) in rows if isinstance(name, str))


def require_state(connection: sqlite3.Connection, path: Path) -> None:
    """Raise :class:`Damaged` unless the database holds at least one of the station's tables."""
    if not tables(connection) & STATION_TABLES:
        raise Damaged("is no state database of a station: it has none of its tables", path=path)


def require_sound(connection: sqlite3.Connection, path: Path, integrity: str) -> None:
    """Run SQLite's own check; ``integrity`` is ``quick`` or ``full``.

    Raise :class:`Damaged` with its findings.
    """
    pragma = {"quick": "quick_check", "full": "integrity_check"}[integrity]
    with speaking(f"run {pragma}", path):
        found = [
            " ".join(str(row[0]).split()) for row in connection.execute(f"PRAGMA {pragma}({_MAX_FINDINGS})")
        ]
    if found != ["ok"]:
        raise Damaged(f"{pragma} found: {'; '.join(found)[:500]}", path=path, hint="restore it from a backup")


def rollback_form(first: bytes) -> bytes:
    """Return the first bytes of a file whose WAL is wholly checkpointed as those of one that has no WAL."""
    header = bytearray(first)
    header[_WAL_FORM] = b"\1\1"
    return bytes(header)


def check_still(path: Path, integrity: str = "quick") -> None:
    """Check a state database that nobody writes: readable, sound, and the station's."""
    with speaking("check the database", path), closing(connect_still(path)) as connection:
        require_state(connection, path)
        require_sound(connection, path, integrity)


def check_live(path: Path, timeout: float) -> None:
    """Check a state database in use: readable, sound, and the station's."""
    with speaking("check the database", path), closing(connect_live(path, timeout)) as connection:
        require_state(connection, path)
        require_sound(connection, path, "quick")


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each of the station's tables has."""
    present = sorted(tables(connection) & STATION_TABLES)
    return {name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in present}


# --- equal content ---


def lease_pages(connection: sqlite3.Connection) -> frozenset[int]:
    """Return the root pages of the scheduler's lease and its index.

    The station renews that lease every 15 s even when nothing else happens, so it is no content.
    """
    rows = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", (LEASE_TABLE,))
    return frozenset(int(page) for (page,) in rows if page)


class ContentDigest:
    """SHA-256 of a database's pages without what changes while the content stays the same.

    Left out are the header's bookkeeping bytes and the pages of the scheduler's lease, the latter only while
    each is a single leaf page: any other form counts as content. Equal digests mean equal content; the
    reverse need not hold (a VACUUM moves rows to other pages).
    """

    def __init__(self, page_size: int, leases: Iterable[int]) -> None:
        self._digest = hashlib.sha256()
        self._page_size = page_size
        self._leases = sorted((page - 1) * page_size for page in leases)
        self._offset = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the file: a whole number of pages each time."""
        if self._offset % self._page_size or len(chunk) % self._page_size:
            raise ValueError("content is digested in whole pages")
        end = self._offset + len(chunk)
        masked: bytes | bytearray = chunk
        if self._offset == 0 or any(self._offset <= start < end for start in self._leases):
            masked = self._mask(bytearray(chunk), end)
        self._digest.update(masked)
        self._offset = end

    def _mask(self, chunk: bytearray, end: int) -> bytearray:
        if self._offset == 0:
            for start, stop in _BOOKKEEPING:
                chunk[start:stop] = bytes(stop - start)
        for start in self._leases:
            position = start - self._offset
            if self._offset <= start < end and chunk[position] in _LEAF_PAGES:
                chunk[position : position + self._page_size] = bytes(self._page_size)
        return chunk

    def hexdigest(self) -> str:
        """Return the digest of what was taken so far."""
        return self._digest.hexdigest()


def page_size_of(header: bytes, path: Path) -> int:
    """Return the page size that a database's first 100 bytes name, or raise :class:`Damaged`."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise Damaged("is no SQLite database", path=path, hint="restore it from a backup")
    size = int(struct.unpack(">H", header[16:18])[0])
    size = 65536 if size == 1 else size
    if size < 512 or size & (size - 1):
        raise Damaged(f"has an impossible page size of {size}", path=path)
    return size


def digests_of(path: Path) -> tuple[str, str]:
    """Return SHA-256 and content digest of a database that nobody writes, in one pass over the file."""
    with speaking("read the database", path):
        with closing(connect_still(path)) as connection:
            leases = lease_pages(connection)
        plain = hashlib.sha256()
        with path.open("rb") as source:
            page_size = page_size_of(source.read(HEADER_BYTES), path)
            source.seek(0)
            content = ContentDigest(page_size, leases)
            while chunk := source.read(1 << 20):
                plain.update(chunk)
                content.update(chunk)
    return plain.hexdigest(), content.hexdigest()
