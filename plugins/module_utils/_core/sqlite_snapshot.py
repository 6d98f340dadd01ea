# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holding a database that is being written still, and reading its bytes meanwhile.

Rollback journal: a SHARED lock, nobody can write the file meanwhile. WAL: under the write lock everything is
checkpointed, then a read lock is taken that no checkpoint may pass (sqlite.org/walformat.html, 2.3.1), and
writers go on into the WAL. The bytes are read by a child process, since a close in this one would drop the
lock. :mod:`still` chooses between this and the other ways to a consistent copy.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import files, sqlite
from .errors import Damaged, Unsupported

_PIN_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Pin:
    """A database held still: ``size`` bytes of ``path`` are one consistent state until the pin is let go.

    ``connection`` sees exactly that state; ``wal`` says that its writers go on meanwhile.
    """

    path: Path
    size: int
    page_size: int
    leases: frozenset[int]
    connection: sqlite3.Connection
    wal: bool


@contextmanager
def pinned(path: Path, timeout: float, quiet: bool = False) -> Iterator[Pin]:
    """Hold the database still; ``timeout`` in seconds is how long to wait for its writers.

    ``quiet`` says that the caller keeps everybody from committing already. Raise :class:`Unsupported` when
    an old reader or another checkpoint keeps the WAL from being checkpointed.
    """
    with ExitStack() as stack:
        with sqlite.speaking("read the database", path):
            reader = stack.enter_context(closing(sqlite.connect_live(path, timeout)))
            sqlite.begin_reading(reader, timeout)
            sqlite.require_state(reader, path)
            wal = reader.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            if wal:
                reader.execute("ROLLBACK")
                _pin_wal(reader, path, timeout, quiet)
            pin = describe(reader, path, wal)
        yield pin


def describe(connection: sqlite3.Connection, path: Path, wal: bool = False) -> Pin:
    """Return the pin of a database that ``connection`` holds still."""
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    return Pin(path, pages * page_size, page_size, sqlite.lease_pages(connection), connection, wal)


def _pin_wal(reader: sqlite3.Connection, path: Path, timeout: float, quiet: bool) -> None:
    patience = time.monotonic() + min(timeout, _PIN_PATIENCE_SECONDS)
    writing, third = sqlite.connect_live(path, timeout), sqlite.connect_live(path, timeout)
    with closing(writing), closing(third):
        while True:
            if not quiet:
                # Keeps everybody from committing, hence from resetting the WAL, during the checkpoint.
                sqlite.begin_writing(writing, timeout)
            whole = _is_checkpointed(third)
            if whole:
                sqlite.begin_reading(reader, timeout)
            if not quiet:
                writing.execute("ROLLBACK")
            if whole:
                return
            if time.monotonic() >= patience:
                raise Unsupported(
                    "an old reader or somebody else's checkpoint keeps the WAL from being checkpointed",
                    path=path,
                )
            time.sleep(0.05)


def _is_checkpointed(connection: sqlite3.Connection) -> bool:
    """Move the WAL into the file and return whether all of it is there now.

    Beside another checkpoint the answer is (1, -1, -1): equal numbers, although that one is only halfway.
    """
    busy, logged, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not busy and logged == moved


def read_pinned(pin: Pin) -> Generator[bytes, None, None]:
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
