# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A consistent copy of a database that is being written, in either journal mode.

Three ways, best first; the result says which was taken:

``pinned``
    The file's own bytes, read while a SQLite lock holds them still. Rollback journal: a SHARED lock, nobody
    can write the file meanwhile. WAL: under the write lock everything is checkpointed, then a read lock is
    taken that no checkpoint may pass (sqlite.org/walformat.html, 2.3.1), and writers go on into the WAL. The
    bytes are read by a child process, since a close in this one would drop the lock.
``online``
    SQLite's backup API in one step, inside a read transaction: any other way restarts beside writers.
``vacuum``
    ``VACUUM INTO``: smaller, without deleted rows; never chosen by itself while another way works.

Every copy is in rollback-journal form, so that whoever opens it needs and makes no ``-wal`` beside it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import files, sqlite
from .errors import BadInput, Damaged, Unsupported

METHODS = ("auto", "pinned", "online", "vacuum")
_PIN_PATIENCE_SECONDS = 2.0
_WAL_FORM = slice(18, 20)


@dataclass(frozen=True)
class Pin:
    """A database held still: ``size`` bytes of ``path`` are one consistent state until the pin is let go."""

    path: Path
    size: int
    page_size: int
    leases: frozenset[int]


@dataclass(frozen=True)
class Copy:
    """What a copy turned out to be: hex digests, size in bytes, and the way it was made."""

    sha256: str
    content_sha256: str
    size: int
    method: str


@contextmanager
def pinned(path: Path, timeout: float, quiet: bool = False) -> Iterator[Pin]:
    """Hold the database still; ``timeout`` in seconds is how long to wait for its writers.

    ``quiet`` says that the caller keeps everybody from committing already. Raise :class:`Unsupported` when
    an old reader keeps the WAL from being checkpointed.
    """
    with ExitStack() as stack:
        with sqlite.speaking("read the database", path):
            reader = stack.enter_context(closing(sqlite.connect_live(path, timeout)))
            sqlite.require_state(reader, path)
            if reader.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                _pin_wal(reader, path, timeout, quiet)
            else:
                _begin_read(reader)
            pin = describe(reader, path)
        yield pin


def describe(connection: sqlite3.Connection, path: Path) -> Pin:
    """Return the pin of a database that ``connection`` holds still."""
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    return Pin(path, pages * page_size, page_size, sqlite.lease_pages(connection))


def _begin_read(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _pin_wal(reader: sqlite3.Connection, path: Path, timeout: float, quiet: bool) -> None:
    patience = time.monotonic() + min(timeout, _PIN_PATIENCE_SECONDS)
    writing, third = sqlite.connect_live(path, timeout), sqlite.connect_live(path, timeout)
    with closing(writing), closing(third):
        while True:
            if not quiet:
                # Keeps everybody from committing, hence from resetting the WAL, during the checkpoint.
                sqlite.begin_writing(writing, timeout)
            _busy, logged, moved = third.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if logged == moved:
                _begin_read(reader)
            if not quiet:
                writing.execute("ROLLBACK")
            if logged == moved:
                return
            if time.monotonic() >= patience:
                raise Unsupported("an old reader keeps the WAL from being checkpointed", path=path)
            time.sleep(0.05)


def read_pinned(pin: Pin) -> Iterator[bytes]:
    """Yield the bytes of a pinned database, in whole pages; read by a child process."""
    left = pin.size
    with closing(files.read_apart(pin.path)) as chunks:
        while left:
            chunk = next(chunks, b"")[:left]
            if not chunk or len(chunk) % pin.page_size:
                raise Damaged("is shorter than its own header says", path=pin.path)
            left -= len(chunk)
            yield chunk


def content(pin: Pin) -> str:
    """Return the content digest of a pinned database."""
    digest = sqlite.ContentDigest(pin.page_size, pin.leases)
    for chunk in read_pinned(pin):
        digest.update(chunk)
    return digest.hexdigest()


def live_content(path: Path, timeout: float, quiet: bool = False) -> str | None:
    """Return the content digest of a database in use, or ``None`` when it cannot be held still.

    Raise what :func:`pinned` raises for a database that is missing, damaged or locked too long.
    """
    try:
        with pinned(path, timeout, quiet) as pin:
            return content(pin)
    except Unsupported:
        return None


def take(
    source: Path, target: Path, owner: files.Owner, method: str, timeout: float, quiet: bool = False
) -> Copy:
    """Copy the live database ``source`` to ``target``, which must not exist, durably.

    The caller owns ``target`` and removes it when this raises. ``method`` is one of :data:`METHODS`.
    """
    if method not in METHODS:
        raise BadInput(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if method in ("auto", "pinned"):
        try:
            return _take_pinned(source, target, owner, timeout, quiet)
        except Unsupported:
            if method == "pinned":
                raise
            files.remove(target)
    used = "vacuum" if method == "vacuum" else "online"
    with sqlite.speaking(f"copy the database ({used})", source):
        os.close(files.open_new(target, 0o600, owner))
        with closing(sqlite.connect_live(source, timeout)) as live:
            sqlite.require_state(live, source)
            if used == "vacuum":
                live.execute("VACUUM INTO ?", (os.fspath(target),))
            else:
                _copy_online(live, target)
    _sync(target)
    sha256, content_sha256 = sqlite.digests_of(target)
    return Copy(sha256, content_sha256, target.stat().st_size, used)


def _take_pinned(source: Path, target: Path, owner: files.Owner, timeout: float, quiet: bool) -> Copy:
    plain = hashlib.sha256()
    with sqlite.speaking("write", target), os.fdopen(files.open_new(target, 0o600, owner), "wb") as out:
        with pinned(source, timeout, quiet) as pin:
            digest = sqlite.ContentDigest(pin.page_size, pin.leases)
            for position, chunk in enumerate(read_pinned(pin)):
                digest.update(chunk)
                data = chunk if position else _rollback_form(chunk)
                plain.update(data)
                out.write(data)
        # Writers go on while the copy is made durable.
        out.flush()
        os.fsync(out.fileno())
    return Copy(plain.hexdigest(), digest.hexdigest(), pin.size, "pinned")


def _rollback_form(first: bytes) -> bytes:
    """Mark a file whose WAL is wholly checkpointed as one that has no WAL."""
    header = bytearray(first)
    header[_WAL_FORM] = b"\1\1"
    return bytes(header)


def _copy_online(live: sqlite3.Connection, target: Path) -> None:
    _begin_read(live)
    with closing(sqlite3.connect(os.fspath(target), isolation_level=None)) as copy:
        live.backup(copy, pages=-1)
    # SQLite copies the mark of a WAL too, although the copy has none.
    with target.open("r+b") as written:
        first = _rollback_form(written.read(sqlite.HEADER_BYTES))
        written.seek(0)
        written.write(first)


def _sync(path: Path) -> None:
    with sqlite.speaking("sync", path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
