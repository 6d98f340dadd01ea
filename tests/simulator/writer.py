# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline: one thread that commits to state.db through one connection for as long as the node lives."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Callable

from . import database, gauges, lease
from .content import Content
from .faults import Control, Faults

LOG = logging.getLogger("simulator.writer")
MAX_ERROR_CHARS = 300
# The same error again is logged only every so often; a test may break the database for minutes.
LOG_EVERY = 500
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class WriterOptions:
    """How the pipeline of one node works; times in seconds."""

    state_db: Path
    owner: str
    journal_mode: str = "delete"
    commit_interval: float = 0.05
    sample_every: int = 20
    lease_seconds: float = 30.0
    renew_seconds: float = 15.0
    reopen: bool = False


class Pipeline(threading.Thread):
    """Commits, samples and renews; survives every error of SQLite and tries again with the same connection.

    Nothing that goes into the database is remembered between transactions, because tests restore the database
    underneath. The counters below are for the node's state file and are written by this thread only.
    """

    def __init__(
        self, options: WriterOptions, control: Callable[[], Control], took_over: Callable[[], None]
    ) -> None:
        """``control`` says which faults hold now; ``took_over`` is called after each takeover of new ones."""
        super().__init__(name="pipeline", daemon=True)
        self.commits = self.samples = self.renewals = self.errors = 0
        self.last_error = ""
        self.faults_seen = -1
        self.phase = 0
        self._options = options
        self._control = control
        self._took_over = took_over
        self._halt = threading.Event()
        # Ids must differ from those of every process before, so nothing here is seeded.
        self._content = Content(Random(os.urandom(16)))  # noqa: S311  # no secret
        self._conn: sqlite3.Connection | None = None
        self._ready = False
        self._commit_due = self._lease_due = 0.0
        self._sample_due = False
        self._domain_events_left: int | None = 0

    def stop(self) -> None:
        """Ask the thread to end after the transaction in flight; does not wait."""
        self._halt.set()

    def run(self) -> None:
        while not self._halt.is_set():
            control = self._control()
            fresh = control.turn != (self.faults_seen, self.phase)
            if fresh:
                self._prepare(control.faults)
            pause = self._tick(control.faults)
            if fresh:
                self.faults_seen, self.phase = control.turn
                self._took_over()
            self._halt.wait(pause)
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()

    def _prepare(self, faults: Faults) -> None:
        """New faults show in a sample and a commit at once, not at the next turn."""
        self._sample_due = faults.touch_data()
        self._commit_due = 0.0 if faults.touch_data() else self._commit_due
        self._domain_events_left = faults.failing_domain.events if faults.failing_domain else 0

    def _tick(self, faults: Faults) -> float:
        """Do what is due; returns the seconds until something may be due again."""
        if faults.pipeline == "frozen":
            return POLL_SECONDS
        try:
            conn = self._connection()
            if time.monotonic() >= self._lease_due:
                self._renew(conn)
            if faults.pipeline == "running" and time.monotonic() >= self._commit_due:
                self._commit(conn, faults)
        except sqlite3.Error as error:
            self._recover(error)
            return POLL_SECONDS
        if faults.pipeline != "running":
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, self._commit_due - time.monotonic()))

    def _connection(self) -> sqlite3.Connection:
        if self._conn is None:
            self._conn = database.connect(self._options.state_db)
            self._ready = False
        if not self._ready:
            database.set_journal_mode(self._conn, self._options.journal_mode)
            database.create_tables(self._conn)
            self._ready = True
        return self._conn

    def _renew(self, conn: sqlite3.Connection) -> None:
        with transaction(conn):
            lease.renew(conn, self._options.owner, time.time_ns(), self._options.lease_seconds)
        self.renewals += 1
        self._lease_due = time.monotonic() + self._options.renew_seconds

    def _commit(self, conn: sqlite3.Connection, faults: Faults) -> None:
        """One commit window: plan, asset, queue entry, audit event, perhaps a sample, and the cursor."""
        events = self._domain_events_left
        with transaction(conn):
            now = time.time_ns()
            before = database.commits_so_far(conn)
            # The sample comes first: in an empty database nothing has been checked yet.
            sampled = self._sample_due or before % self._options.sample_every == 0
            if sampled:
                database.insert_sample(conn, now, self._next_sample(conn, before, faults))
            database.insert_rows(conn, [self._content.commit_rows(now)])
            if faults.failing_domain is not None:
                rows = [
                    self._content.failed_domain_row(now, faults.failing_domain.domain)
                    for _unused in range(1 if events is None else events)
                ]
                database.insert_audits(conn, rows)
            database.set_commits(conn, before + 1, now)
        self.commits += 1
        self.samples += sampled
        self._sample_due = False
        self._domain_events_left = None if events is None else 0
        self._commit_due = time.monotonic() + self._options.commit_interval

    def _next_sample(self, conn: sqlite3.Connection, commits: int, faults: Faults) -> gauges.Gauges:
        try:
            last = [float(one["fallback_rate"]) for one in database.newest_samples(conn, 1)]
        except ValueError:
            last = []  # a test has put a damaged sample there
        return gauges.next_sample(self._content.rng, commits, last[0] if last else 0.1, faults)

    def _recover(self, error: sqlite3.Error) -> None:
        self.errors += 1
        text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
        if text != self.last_error or self.errors % LOG_EVERY == 0:
            LOG.warning("attempt failed (%d so far), trying on: %s", self.errors, text)
        self.last_error = text
        if self._conn is not None and (self._options.reopen or isinstance(error, sqlite3.ProgrammingError)):
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()
            self._conn = None


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE ... COMMIT; rolls back on every error, also on one of COMMIT itself."""
    try:
        conn.execute("BEGIN IMMEDIATE")
        yield
        conn.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        raise
