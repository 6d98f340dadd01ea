# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node: the API, the pipeline, and the loop that takes over faults and reports what is going on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import api, auth, database, lease, owner_card, process
from .control import NodeState
from .faults import NOW, Control, FaultError, parse_faults, read_control
from .layout import Layout, write_atomic
from .release import Release, read_release
from .station import Station
from .writer import Pipeline, WriterOptions

LOG = logging.getLogger("simulator.node")
CONTROL_SECONDS = 0.05
REPORT_SECONDS = 0.1
STOP_SECONDS = 0.7


@dataclass(frozen=True)
class NodeOptions:
    """How to run one node. Times in seconds, sizes in bytes."""

    where: Layout
    port: int = 0
    size: int = 4 << 20
    seed: int = 1
    journal_mode: str = "delete"
    commit_interval: float = 0.05
    sample_every: int = 20
    lease_seconds: float = 30.0
    renew_seconds: float = 15.0
    reopen: bool = False
    state_db: Path | None = None
    owner_card: Path | None = None
    credentials: auth.Credentials = field(default_factory=auth.Credentials)

    @property
    def state_db_path(self) -> Path:
        return self.where.root / (self.state_db or self.where.state_db)

    @property
    def owner_card_path(self) -> Path:
        return self.where.root / (self.owner_card or self.where.owner_card)


class FaultsInForce:
    """Those of the release's phase and of the control file. Where both name a fault, the file wins."""

    def __init__(self, where: Layout, release: Release) -> None:
        self.control = Control()
        self.error = ""
        self.release = release
        self._where = where
        self._began = time.monotonic()
        self._stamp: object = None
        self._file = Control()
        self._read()
        #: What the file said before this process began; a crash asked for then has happened already.
        self._old_generation = self._file.generation
        self._take_over(self.release.phase(0))

    @property
    def seconds(self) -> float:
        """Since the process began."""
        return time.monotonic() - self._began

    def current(self) -> Control:
        return self.control

    def clock_ns(self) -> int:
        """The API's clock, which a fault can put wrong."""
        return time.time_ns() + int(self.control.faults.clock * 1e9)

    def must_crash(self) -> bool:
        crash = self.control.faults.crash
        return crash is not None and crash.path == NOW

    def poll(self) -> None:
        """Take over a new file and a new phase; a bad file changes nothing and is told in the state."""
        phase = self.release.phase(self.seconds)
        if self._read() or phase != self.control.phase:
            self._take_over(phase)

    def _take_over(self, phase: int) -> None:
        file, asked = self._file, dict(self._file.asked)
        if file.generation == self._old_generation and asked.get("crash") == NOW:
            del asked["crash"]
        self.control = Control(
            file.generation, parse_faults({**self.release.faults(phase), **asked}), file.asked, phase
        )

    def _read(self) -> bool:
        """Has the control file become another good one?"""
        try:
            found = self._where.control.stat()
        except FileNotFoundError:
            return False
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._file = read_control(self._where.root)
        except (FaultError, OSError) as error:
            self.error = str(error)
            LOG.warning("faults not taken over: %s", error)
            return False
        self.error = ""
        return True


class Node:
    """The parts of a running node; :meth:`run` returns when it is told to stop."""

    def __init__(self, options: NodeOptions, release: Release) -> None:
        self._options = options
        self._where = options.where
        self._faults = FaultsInForce(self._where, release)
        self._station = Station(
            options.state_db_path, options.owner_card_path, options.credentials, self._faults.clock_ns
        )
        self._server = api.ApiServer(options.port, self._station, self._faults.current)
        self._pipeline = Pipeline(
            WriterOptions(
                state_db=options.state_db_path,
                owner=lease.owner_id(self._where.root),
                journal_mode=options.journal_mode,
                commit_interval=options.commit_interval,
                sample_every=options.sample_every,
                lease_seconds=options.lease_seconds,
                renew_seconds=options.renew_seconds,
                reopen=options.reopen,
            ),
            self._faults.current,
            self._report_now,
        )
        self._told_to_stop = False
        self._report_lock = threading.Lock()
        self._last_words = False

    @property
    def port(self) -> int:
        return self._server.port

    def run(self) -> None:
        """Serve and write until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        write_atomic(self._where.port_file, f"{self._server.port}\n")
        self._listen_when_ready()
        self._pipeline.start()
        self._report_now()
        report_due = 0.0
        while not self._told_to_stop:
            time.sleep(CONTROL_SECONDS)
            self._faults.poll()
            self._listen_when_ready()
            if self._faults.must_crash():
                os._exit(api.CRASH_EXIT_CODE)
            if time.monotonic() >= report_due:
                self._report_now()
                report_due = time.monotonic() + REPORT_SECONDS
        self._shut_down()

    def _stop(self, _number: int, _frame: object) -> None:
        # No threading.Event: its lock may be held by the very thread that the signal interrupts.
        self._told_to_stop = True

    def _listen_when_ready(self) -> None:
        if not self._server.listens and self._faults.release.is_ready(self._faults.seconds):
            self._server.listen()

    def _shut_down(self) -> None:
        self._pipeline.stop()
        self._server.close()
        # A writer that waits for somebody's lock has written nothing yet, so it may be left behind.
        self._pipeline.join(STOP_SECONDS)
        self._report_now(running=False)

    def _report_now(self, running: bool = True) -> None:
        # Called by the main loop and, after each takeover of faults, by the pipeline.
        with self._report_lock:
            if not self._last_words:
                self._state(running).write(self._where.root)
            self._last_words = not running

    def _state(self, running: bool) -> NodeState:
        pipeline, port = self._pipeline, self._server.port
        return NodeState(
            pid=os.getpid(),
            port=port,
            url=f"http://{api.HOST}:{port}",
            journal_mode=self._options.journal_mode,
            commits=pipeline.commits,
            samples=pipeline.samples,
            renewals=pipeline.renewals,
            errors=pipeline.errors,
            last_error=pipeline.last_error,
            faults_seen=pipeline.faults_seen,
            release=self._faults.release.version,
            phase=pipeline.phase,
            ready=self._server.listens,
            control_error=self._faults.error,
            owner_card_sha256=self._station.owner_card_sha256,
            running=running,
            reported_ns=time.time_ns(),
        )


def run_node(options: NodeOptions) -> None:
    """Make what a new node lacks (folders, OwnerCard, state.db), run it, and end the process.

    AlreadyRunning, ReleaseError or OSError when it cannot run.
    """
    where = options.where
    where.make_folders()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    pidfile = process.claim_pidfile(where.root)
    where.state.unlink(missing_ok=True)  # the last words of the process before
    where.port_file.unlink(missing_ok=True)
    release = read_release(where.root)
    for path in (options.state_db_path, options.owner_card_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    owner_card.write_sample(options.owner_card_path)
    if not options.state_db_path.exists():
        database.create_database(
            options.state_db_path, options.size, options.journal_mode, options.seed, end_ns=time.time_ns()
        )
    node = Node(options, release)
    sys.stdout.write(f"node in {where.root} on port {node.port}\n")
    sys.stdout.flush()
    node.run()
    process.release_pidfile(pidfile)
    # Threads that still serve a hanging caller or wait for a lock must not delay the end.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    logging.shutdown()
    os._exit(0)
