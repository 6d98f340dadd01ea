# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting a database back so that whoever holds it open sees the restored data and goes on.

Renaming a file over a live database leaves the station writing into an unlinked one, and a left-over
``-wal`` or ``-journal`` undoes or corrupts the restored one. So:

``live``
    The target can be opened: SQLite's backup API writes into it as one transaction.
``overwrite``
    The target's header is no SQLite header: under SQLite's own file locks its sidecars go, its pages are
    written in place, and the first page last, so that it is no database until it is the restored one.
``create``
    There is no target: a verified copy is renamed to its place.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from . import files, sqlite, sqlite_snapshot
from .errors import Busy, Damaged, Unsupported, guarded

# sqlite.org/fileformat2.html, 1.3: the lock bytes lie at 1 GiB (PENDING, RESERVED, 510 bytes of SHARED).
_LOCK_START = 0x40000000
_LOCK_BYTES = 512
# sqlite.org/walformat.html, 2.3: whoever has a WAL database open holds this byte of its -shm shared.
_OPEN_IN_WAL_BYTE = 128
_WAITING = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_CHANGE_COUNTER = slice(24, 28)
_VERSION_VALID_FOR = slice(92, 96)


def way_into(target: Path, timeout: float) -> str:
    """Return how ``target`` has to be restored: ``live``, ``overwrite`` or ``create``."""
    with guarded("read", target):
        if not target.exists():
            return "create"
    try:
        schema_version(target, timeout)
    except Damaged:
        return "overwrite"
    return "live"


def schema_version(target: Path, timeout: float) -> int:
    """Return the schema cookie of a live database; a committed restore raises it by exactly one.

    Raise :class:`Damaged` when the file is no database.
    """
    doing = "read the schema version"
    with sqlite.speaking(doing, target), closing(sqlite.connect_live(target, timeout)) as live:
        return int(live.execute("PRAGMA schema_version").fetchone()[0])


class Hold:
    """A live database that nobody else can commit to, from before it is kept until it is restored.

    With a rollback journal the restore happens under the very lock that was held before: no commit is lost
    between the two. WAL mode allows no such thing beside other users: there the write lock is let go and
    taken again at once, which leaves a gap of microseconds.
    """

    def __init__(self, target: Path, timeout: float, live: sqlite3.Connection, wal: bool) -> None:
        self.target = target
        self.wal = wal
        self._timeout = timeout
        self._live = live

    def restore(self, source: Path) -> None:
        """Write ``source``, which nobody writes, into the database as one transaction.

        The database keeps its journal mode. Raise :class:`Busy` when its readers leave no gap in time, and
        :class:`Unsupported` when the page sizes differ and WAL mode forbids the change.
        """
        deadline = time.monotonic() + self._timeout

        def keep_time(status: int, _remaining: int, _total: int) -> None:
            # Only a step that had to wait looks at the clock: one that is done must not be undone.
            if status in _WAITING and time.monotonic() >= deadline:
                msg = f"its users left no gap to restore it for {self._timeout:g} s"
                hint = "wait, stop the station, or raise lock_timeout"
                raise Busy(msg, path=self.target, hint=hint)

        doing = "restore into the live database"
        with sqlite.speaking(doing, self.target), closing(sqlite.connect_still(source)) as still:
            _require_same_pages(still, self._live, self.target)
            if self.wal:
                self._live.execute("ROLLBACK")
            still.backup(self._live, pages=-1, progress=keep_time, sleep=0.05)

    def content(self) -> str | None:
        """Return the digest of the restored database, or ``None`` when others may write it already."""
        if self.wal:
            return None
        with sqlite.speaking("read the restored database", self.target):
            return sqlite_snapshot.content(sqlite_snapshot.describe(self._live, self.target))


@contextmanager
def held(target: Path, timeout: float) -> Iterator[Hold]:
    """Keep everybody else from committing to ``target``, waiting up to ``timeout`` seconds; readers go on."""
    with (
        sqlite.speaking("hold the live database", target),
        closing(sqlite.connect_live(target, timeout)) as live,
    ):
        wal = live.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        sqlite.begin_writing(live, timeout)
        if not wal:
            # In exclusive locking mode the lock outlives the transaction that took it. Set any sooner, a
            # failed attempt would keep its read lock, and we and a committing writer wait for each other.
            live.execute("PRAGMA locking_mode=EXCLUSIVE")
            live.execute("ROLLBACK")
        yield Hold(target, timeout, live, wal)


def _require_same_pages(still: sqlite3.Connection, live: sqlite3.Connection, target: Path) -> None:
    sizes = [int(side.execute("PRAGMA page_size").fetchone()[0]) for side in (still, live)]
    if sizes[0] != sizes[1] and live.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        raise Unsupported(
            f"has pages of {sizes[1]} bytes, the backup of {sizes[0]}, and WAL mode keeps them",
            path=target,
            hint="stop the station, move the database away, and restore again",
        )


def overwrite(source: Path, target: Path, timeout: float) -> None:
    """Write ``source`` over a file that is no database any more, for whoever holds it open too.

    Raise :class:`Unsupported` when it was in WAL mode and somebody holds it: such a process would mix the old
    WAL into the restored data.
    """
    if _open_in_wal_mode(target):
        raise Unsupported(
            f"is damaged in its header, was in WAL mode, and {_names(holders(target))} it open",
            path=target,
            hint="stop the station, restore again, then start it",
        )
    doing = "overwrite the damaged database"
    with guarded(doing, target), target.open("r+b") as out, _exclusive(out.fileno(), target, timeout):
        for suffix in sqlite.SIDECARS:
            files.remove(sqlite.sidecar(target, suffix))
        files.sync_folder(target.parent)
        first = _write_all_but_first(source, out.fileno())
        os.fsync(out.fileno())
        os.pwrite(out.fileno(), _unlike_any_before(first), 0)
        os.fsync(out.fileno())


@contextmanager
def _exclusive(descriptor: int, path: Path, timeout: float) -> Iterator[None]:
    """Hold what SQLite calls the EXCLUSIVE lock; closing the descriptor would drop it as well."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_START)
            break
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                hint = "stop the station, or raise lock_timeout"
                raise Busy(f"somebody keeps it locked for {timeout:g} s", path=path, hint=hint) from exc
            time.sleep(0.05)
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, _LOCK_BYTES, _LOCK_START)


def _write_all_but_first(source: Path, descriptor: int) -> bytes:
    """Copy all pages but the first; return that one."""
    with source.open("rb") as reading:
        header = reading.read(sqlite.HEADER_BYTES)
        page_size = sqlite.page_size_of(header, source)
        first = header + reading.read(page_size - len(header))
        offset = page_size
        while chunk := reading.read(files.CHUNK):
            view = memoryview(chunk)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
    os.ftruncate(descriptor, offset)
    return first


def _unlike_any_before(first: bytes) -> bytes:
    """Give the first page a change counter no open connection remembers, so that each drops its cache."""
    page = bytearray(first)
    page[_CHANGE_COUNTER] = page[_VERSION_VALID_FOR] = os.urandom(4)
    return bytes(page)


def _open_in_wal_mode(target: Path) -> bool:
    shm = sqlite.sidecar(target, "-shm")
    with guarded("read", shm):
        try:
            with shm.open("r+b") as file:
                fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _OPEN_IN_WAL_BYTE)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
    return False


def create(source: Path, target: Path, owner: files.Owner) -> Path:
    """Stage a copy of ``source`` beside a ``target`` that does not exist and return its path.

    A ``source`` that is staged there already is not copied again. Left-over sidecars of the missing
    database go, since SQLite would apply them to the new one.
    """
    files.make_folder(target.parent, 0o755, owner)
    staged = files.staged_path(target)
    if source != staged:
        files.remove(staged)
        files.copy_durably(source, staged, 0o600, owner)
    for suffix in sqlite.SIDECARS:
        files.remove(sqlite.sidecar(target, suffix))
    return staged


def holders(target: Path, deleted: bool = False) -> list[str]:
    """Return ``name (pid N)`` of each process seen to have ``target`` open, or a deleted file of that path.

    What can be seen needs ``/proc``, and root's power for other users' processes: for messages only.
    """
    wanted = f"{os.fspath(target)} (deleted)" if deleted else os.fspath(target)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) == wanted for link in (entry / "fd").iterdir()):
                name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
                found.append(f"{name} (pid {entry.name})")
        except OSError:
            continue  # another user's process, or one that has just ended
    return sorted(found)


def _names(found: list[str]) -> str:
    return f"{', '.join(found)} has" if found else "a process has"
