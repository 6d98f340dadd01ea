# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database in memory that no name leads to: nothing of it is left whenever and however the process ends.

It lies in a memory-backed file system, so it takes memory of the node but none of the process, and SQLite
can read it. SQLite opens it while it is empty; then its name goes; only then the data come.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from . import files, sqlite
from .errors import Damaged, Unsupported, guarded

FOLDER = Path("/dev/shm")  # noqa: S108 - an unpredictable name, made exclusively, gone at once
_MEMINFO = Path("/proc/meminfo")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_SPARE_BYTES = 64 << 20


class Scratch:
    """An unnamed database of at most a given size; ``connection`` reads it once it is written."""

    def __init__(self, descriptor: int, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.size = 0
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Append the next bytes."""
        view = memoryview(data)
        with guarded("use memory", FOLDER):
            while view:
                written = os.pwrite(self._descriptor, view, self.size)
                view, self.size = view[written:], self.size + written

    def fill(self, database: Path, size: int) -> None:
        """Copy a database that is held still, in rollback-journal form; a child process reads it."""
        files.copy_apart(database, self._descriptor)
        if os.fstat(self._descriptor).st_size != size:
            raise Damaged("has another size than its own header says", path=database)
        first = os.pread(self._descriptor, sqlite.HEADER_BYTES, 0)
        os.pwrite(self._descriptor, sqlite.rollback_form(first), 0)
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Yield everything that was written."""
        offset = 0
        while chunk := os.pread(self._descriptor, files.CHUNK, offset):
            offset += len(chunk)
            yield chunk


def fits(size: int) -> bool:
    """Return whether ``size`` bytes leave at least half of the free memory to the station."""
    return os.access(FOLDER, os.W_OK | os.X_OK) and size + _SPARE_BYTES <= min(
        _free_in(FOLDER), _available() // 2
    )


@contextmanager
def scratch(size: int, writable: bool = False) -> Iterator[Scratch]:
    """Give an unnamed database for ``size`` bytes; ``writable`` ones are filled through their connection.

    Raise :class:`Unsupported` when there is no room for it in memory.
    """
    if not fits(size):
        raise Unsupported(f"there is no room in memory for {size} bytes", path=FOLDER)
    with sqlite.speaking("use memory", FOLDER):
        descriptor, connection = _opened(writable)
    # What goes wrong while it is used is told by whoever uses it.
    try:
        with closing(connection):
            yield Scratch(descriptor, connection)
    finally:
        os.close(descriptor)


def _opened(writable: bool) -> tuple[int, sqlite3.Connection]:
    """Return a new file without a name, and SQLite's view of it."""
    descriptor, name = tempfile.mkstemp(prefix=".vvtv-", dir=FOLDER)
    try:
        try:
            mode = "rw" if writable else "ro"
            uri = f"file:{name}?mode={mode}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        finally:
            os.unlink(name)
        if writable:
            # There is no name for a journal either.
            connection.execute("PRAGMA journal_mode=OFF")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, connection


def _free_in(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _available() -> int:
    """Return how many bytes of memory this process's machine and control group still have."""
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return min(int(line.split()[1]) * 1024, _left_in_cgroup())
    return 0


def _left_in_cgroup() -> int:
    """Return what a systemd unit's or a container's MemoryMax leaves (cgroup v2), or a very large number."""
    unlimited = 1 << 62
    try:
        groups = [line.split(":", 2)[2] for line in _OWN_CGROUP.read_text().splitlines() if line[:2] == "0:"]
        group = _CGROUPS / groups[0].lstrip("/")
        limit, used = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
    except (OSError, IndexError):
        return unlimited
    return unlimited if limit == "max" else max(0, int(limit) - int(used))
