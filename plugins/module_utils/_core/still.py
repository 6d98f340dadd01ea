# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One consistent state of a database that is being written, to be read at leisure.

The ways to it, best first; the result says which was taken:

``pinned``
    The live file's own bytes, while a SQLite lock holds them still. In WAL mode writers go on meanwhile.
``memory``
    The same bytes, copied to memory first: with a rollback journal, writers wait for that copy only.
``online``
    SQLite's backup API, in one step, into memory: where an old reader of the WAL stands in the way.
``vacuum``
    ``VACUUM INTO`` a file that is unlinked before it is read: smaller, without deleted rows. It needs room
    for a second copy; by itself it is taken only when there is no memory for ``online``.

What is read is in rollback-journal form, so that whoever opens it needs and makes no ``-wal`` beside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from . import files, sqlite, sqlite_snapshot
from .errors import BadInput, Damaged, DiskFull, Unsupported
from .scratch import Scratch, fits, scratch

METHODS = ("auto", "pinned", "memory", "online", "vacuum")


@dataclass(frozen=True)
class Still:
    """``size`` bytes of a database in ``chunks`` of whole pages, to be taken once, and how they were had.

    ``connection`` sees the same state, for SQLite's own check; it may be used beside ``chunks``.
    """

    source: Path
    size: int
    page_size: int
    leases: frozenset[int]
    method: str
    chunks: Iterator[bytes]
    connection: Connection

    def check(self, integrity: str) -> None:
        """Run SQLite's own check on these very bytes; raise :class:`Damaged` with its findings."""
        sqlite.require_sound(self.connection, self.source, integrity)


class Digests:
    """SHA-256 and content digest of a :class:`Still`, taken in passing."""

    def __init__(self, still: Still) -> None:
        self._plain = hashlib.sha256()
        self._content = sqlite.ContentDigest(still.page_size, still.leases)

    def update(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._plain.update(chunk)
        self._content.update(chunk)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return self._plain.hexdigest()

    @property
    def content_sha256(self) -> str:
        """The content digest, in hex; see :class:`sqlite.ContentDigest`."""
        return self._content.hexdigest()


@contextmanager
def opened(
    source: Path, method: str, timeout: float, workspace: Path, quiet: bool = False
) -> Iterator[Still]:
    """Give one state of the live database ``source``; everything it took is given back at the end.

    ``method`` is one of :data:`METHODS` or ``auto``; ``timeout`` in seconds is how long to wait for the
    database's users; ``workspace`` is a private folder for a copy that has to be on disk; ``quiet`` says that
    the caller keeps everybody from committing. Raise :class:`Unsupported` when the method asked for cannot be
    had, and what opening the database raises.
    """
    if method not in METHODS:
        raise BadInput(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    with ExitStack() as stack:
        yield _enter(stack, source, method, timeout, workspace, quiet)


def _enter(
    stack: ExitStack, source: Path, method: str, timeout: float, workspace: Path, quiet: bool
) -> Still:
    ways = {
        "held": lambda: _held(source, method, timeout, quiet),
        "online": lambda: _online(source, timeout),
        "vacuum": lambda: _vacuumed(source, timeout, workspace),
    }
    if method != "auto":
        return stack.enter_context(ways[method if method in ways else "held"]())
    for way in ("held", "online"):
        with suppress(Unsupported):
            return stack.enter_context(ways[way]())
    return stack.enter_context(ways["vacuum"]())


@contextmanager
def _held(source: Path, method: str, timeout: float, quiet: bool) -> Iterator[Still]:
    with ExitStack() as stack:
        pinning = stack.enter_context(ExitStack())
        pin = pinning.enter_context(sqlite_snapshot.pinned(source, timeout, quiet))
        waiting = not pin.wal and not quiet
        space = None
        if method == "memory" or (method == "auto" and waiting and fits(pin.size)):
            space = _copied_to_memory(stack, pin, must=method == "memory")
        if space is not None:
            pinning.close()
            yield Still(
                source, pin.size, pin.page_size, pin.leases, "memory", space.chunks(), space.connection
            )
            return
        with closing(sqlite_snapshot.read_pinned(pin)) as chunks:
            yield Still(
                source,
                pin.size,
                pin.page_size,
                pin.leases,
                "pinned",
                _in_rollback_form(chunks),
                pin.connection,
            )


def _copied_to_memory(stack: ExitStack, pin: sqlite_snapshot.Pin, must: bool) -> Scratch | None:
    """Copy what is pinned; ``None`` when somebody else took the memory meanwhile, unless it ``must`` be."""
    with ExitStack() as trying:
        try:
            space = trying.enter_context(scratch(pin.size))
            space.fill(pin.path, pin.size)
        except (Damaged, DiskFull, Unsupported):
            if must:
                raise
            return None
        stack.enter_context(trying.pop_all())
    return space


def _in_rollback_form(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for position, chunk in enumerate(chunks):
        yield chunk if position else sqlite.rollback_form(chunk)


@contextmanager
def _online(source: Path, timeout: float) -> Iterator[Still]:
    doing = "copy the database (online)"
    with ExitStack() as stack:
        with sqlite.speaking(doing, source):
            live = stack.enter_context(closing(sqlite.connect_live(source, timeout)))
            sqlite.begin_reading(live, timeout)
            sqlite.require_state(live, source)
            wal = live.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            pin = sqlite_snapshot.describe(live, source, wal)
            space = stack.enter_context(scratch(pin.size, writable=True))
            live.backup(space.connection, pages=-1)
            if not wal:
                live.execute("COMMIT")  # in WAL mode nobody waits for it
        # SQLite copies the mark of a WAL too, although the copy has none: the copy cannot be asked then.
        asked = live if wal else space.connection
        chunks = _in_rollback_form(space.chunks())
        yield Still(source, pin.size, pin.page_size, pin.leases, "online", chunks, asked)


@contextmanager
def _vacuumed(source: Path, timeout: float, workspace: Path) -> Iterator[Still]:
    target = workspace / "vacuumed.db"
    doing = "copy the database (vacuum)"
    with ExitStack() as stack:
        try:
            with sqlite.speaking(doing, source):
                os.close(files.open_new(target, 0o600, files.Owner.of(workspace)))
                with closing(sqlite.connect_live(source, timeout)) as live:
                    sqlite.begin_reading(live, timeout)
                    sqlite.require_state(live, source)
                    live.execute("ROLLBACK")
                    sqlite.execute_patiently(live, timeout, "VACUUM INTO ?", os.fspath(target))
            copy = stack.enter_context(closing(sqlite.connect_still(target)))
            file = stack.enter_context(target.open("rb"))
            pin = sqlite_snapshot.describe(copy, target)
        finally:
            files.remove(target)
        yield Still(
            source,
            pin.size,
            pin.page_size,
            pin.leases,
            "vacuum",
            iter(lambda: file.read(files.CHUNK), b""),
            copy,
        )


@dataclass(frozen=True)
class Copy:
    """What a copy turned out to be: hex digests, size in bytes, and the way it was made."""

    sha256: str
    content_sha256: str
    size: int
    method: str


def take(
    source: Path, target: Path, owner: files.Owner, method: str, timeout: float, quiet: bool = False
) -> Copy:
    """Copy the live database ``source`` to ``target``, which must not exist, durably.

    The caller owns ``target`` and its folder, and removes them when this raises.
    """
    with sqlite.speaking("write", target), os.fdopen(files.open_new(target, 0o600, owner), "wb") as out:
        with opened(source, method, timeout, target.parent, quiet) as still:
            digests = Digests(still)
            for chunk in still.chunks:
                digests.update(chunk)
                out.write(chunk)
        # Writers go on while the copy is made durable.
        out.flush()
        os.fsync(out.fileno())
    return Copy(digests.sha256, digests.content_sha256, still.size, still.method)
