# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A station's database open for questions: read only, each question short, bounded in time and in patience.

Nothing is made, and a commit of the station never waits longer than one statement takes.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import sqlite
from .errors import Damaged, NotFound, RunbookError, SystemFault
from .probes import Probe, probe

INTEGRITY = ("none", "light", "quick", "full")

# A question that takes longer is given up. SQLite's own check keeps the writers of a rollback journal waiting
# for as long as it runs, and a station waits 5 s for a lock.
QUERY_SECONDS = 20.0
HOLD_SECONDS = 2.0

_HINT = "restore a backup, or check the option state_db"

Value = TypeVar("Value")


class EmptyDatabase(Damaged):
    """A file of no bytes where the database should be."""

    code = "empty"


class ForeignDatabase(Damaged):
    """A database without any of the station's tables."""

    code = "foreign"


class Slow(RunbookError):
    """A question to the database was given up because it took too long."""

    code = "slow"


@dataclass(frozen=True)
class Integrity:
    """``asked`` and ``done`` are of :data:`INTEGRITY`; they differ when the check took too long."""

    asked: str
    done: str


class StateDb:
    """An open state database, and until when (monotonic clock) its locks may be waited for."""

    def __init__(self, connection: sqlite3.Connection, path: Path, deadline: float) -> None:
        self.path = path
        self._connection = connection
        self._deadline = deadline
        self._over = threading.Event()

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement; SQLite's lock is gone by then, and texts are bytes.

        Raise :class:`Slow` when the question's time is over.
        """
        if self._over.is_set():
            raise Slow("the question took too long", path=self.path)
        return sqlite.patiently(lambda: self._fetch(statement, values), self._deadline)

    def _fetch(self, statement: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        with closing(self._connection.execute(statement, values)) as cursor:
            return cursor.fetchall()

    def ask(self, doing: str, question: Callable[[StateDb], Value]) -> Probe[Value]:
        """Return the answer to one question, or its error."""
        return probe(lambda: self.bounded(doing, question))

    def bounded(self, doing: str, question: Callable[[StateDb], Value]) -> Value:
        """Answer one question; raise :class:`Slow` after :data:`QUERY_SECONDS`, or what else is wrong."""
        patience = max(0.0, self._deadline - time.monotonic())
        with self._limited(doing, patience + QUERY_SECONDS):
            return question(self)

    def check(self, level: str) -> Integrity:
        """Run SQLite's own check as far as it keeps nobody waiting; raise :class:`Damaged` for what it finds.

        Opening did what ``light`` stands for. A ``quick`` or ``full`` check that takes too long is given up.
        """
        if level in ("none", "light"):
            return Integrity(level, level)
        doing = "check the database"
        with sqlite.speaking(doing, self.path), _reading(self._connection, self._deadline):
            journal = self._connection.execute("PRAGMA journal_mode").fetchone()[0]
            # Readers of a WAL keep nobody waiting.
            seconds = QUERY_SECONDS if journal == b"wal" else HOLD_SECONDS
            try:
                with self._limited(doing, seconds):
                    self._require_sound(level)
            except Slow:
                return Integrity(level, "light")
        return Integrity(level, level)

    def _require_sound(self, level: str) -> None:
        self._connection.text_factory = str
        try:
            sqlite.require_sound(self._connection, self.path, level)
        finally:
            self._connection.text_factory = bytes

    @contextmanager
    def _limited(self, doing: str, seconds: float) -> Iterator[None]:
        """Interrupt the body's statements after ``seconds`` and raise :class:`Slow`.

        A thread interrupts, since not every step of SQLite's checks calls a progress handler.
        """
        self._over.clear()
        timer = threading.Timer(seconds, self._interrupt)
        timer.daemon = True
        timer.start()
        try:
            with sqlite.speaking(doing, self.path):
                yield
        except (SystemFault, Slow):
            if not self._over.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
        if self._over.is_set():  # an interrupted check may end without an error
            raise Slow(f"cannot {doing}: it took longer than {seconds:.0f} s", path=self.path)

    def _interrupt(self) -> None:
        self._over.set()
        self._connection.interrupt()


@contextmanager
def opened(path: Path, timeout: float, integrity: str) -> Iterator[StateDb]:
    """Open the database at ``path``; ``timeout`` is how many seconds to wait for its locks altogether.

    Unless ``integrity`` is ``none`` the file must be as long as it says. Raise :class:`NotFound`,
    :class:`Denied`, :class:`Busy` or :class:`Damaged` (its code may be ``empty`` or ``foreign``).
    """
    deadline = time.monotonic() + timeout
    with sqlite.speaking("open the database", path):
        if not path.exists():
            raise NotFound("there is no such database", path=path, hint=_HINT)
        if path.is_file() and path.stat().st_size == 0:
            raise EmptyDatabase("is empty", path=path, hint=_HINT)
        connection = sqlite.connect_live(path, 0)
    with closing(connection):
        with sqlite.speaking("open the database", path):
            connection.execute("PRAGMA query_only=ON")
            if not sqlite.patiently(lambda: sqlite.tables(connection), deadline) & sqlite.STATION_TABLES:
                raise ForeignDatabase(
                    "holds none of the station's tables", path=path, hint="check the option state_db"
                )
            if integrity != "none":
                _require_whole(connection, path, deadline)
            connection.text_factory = bytes  # a text that is no UTF-8 is a malformed row, not an error
        yield StateDb(connection, path, deadline)


def _require_whole(connection: sqlite3.Connection, path: Path, deadline: float) -> None:
    """Raise :class:`Damaged` when the file is shorter than its header says; a WAL may hold the rest."""
    with _reading(connection, deadline):
        pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
        needed = pages * int(connection.execute("PRAGMA page_size").fetchone()[0])
        held = path.stat().st_size
        with suppress(FileNotFoundError):
            held += sqlite.sidecar(path, "-wal").stat().st_size
    if held < needed:
        raise Damaged(
            f"is cut off: {held} of {needed} bytes are there", path=path, hint="restore it from a backup"
        )


@contextmanager
def _reading(connection: sqlite3.Connection, deadline: float) -> Iterator[None]:
    """Read one state of the database; in rollback mode nobody commits meanwhile."""
    connection.execute("BEGIN")
    try:
        sqlite.patiently(
            lambda: connection.execute("SELECT count(*) FROM sqlite_master").fetchone(), deadline
        )
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
