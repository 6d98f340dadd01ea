# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop and restart nodes as child processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Callable

from . import auth, faults, memory, process
from .api import HOST
from .control import NodeState, apply_faults, fresh_state, read_state, wait_for
from .faults import FaultValue
from .layout import AnyPath, Layout, layout
from .memory import Start

CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.02


class StartError(Exception):
    """A node that did not come up; the text ends with its log."""


class Node:
    """A started node, also after a restart by somebody else. As a context manager it stops it at the end."""

    def __init__(self, root: Path, child: subprocess.Popen[bytes], credentials: auth.Credentials) -> None:
        self._child = child
        self._where: Layout = layout(root)
        self.root = self._where.root
        self.credentials = credentials
        self.port = 0

    @property
    def pid(self) -> int:
        """Of the process that runs now, of the first one when none does."""
        return process.node_pid(self.root) or self._child.pid

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def state_db(self) -> Path:
        return self._where.state_db

    @property
    def owner_card(self) -> Path:
        return self._where.owner_card

    @property
    def state(self) -> NodeState:
        """What the node says now, after at most a fifth of a second; its last words when it has ended."""
        if self.alive():
            with contextlib.suppress(TimeoutError):
                return fresh_state(self.root, GRACE_SECONDS)
        state = read_state(self.root)
        if state is None:
            raise StartError(f"{self.root}: the node has not said anything yet")
        return state

    def faults(self, **wanted: FaultValue) -> None:
        """Set exactly these faults and return when the node has taken them over (none: healthy again)."""
        apply_faults(self.root, wanted, wait=True)
        if wanted.get("crash") == faults.NOW:
            self._child.wait(GRACE_SECONDS)

    def wait_commits(self, more: int = 1, timeout: float = 10.0) -> NodeState:
        """Wait for so many more pipeline commits, all made after this call began."""
        base = fresh_state(self.root, timeout).commits
        return wait_for(self.root, lambda state: state.commits >= base + more, timeout)

    def alive(self) -> bool:
        return process.node_pid(self.root) is not None

    def stop(self) -> None:
        """End the node and wait for it; fine when it is gone already."""
        stop_node(self.root)
        self._child.wait(GRACE_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, at once."""
        stop_node(self.root, signal.SIGKILL)
        self._child.kill()  # it may have been too young for a pidfile
        self._child.wait()

    def detach(self) -> None:
        """Leave the node running when this process ends."""
        self._child.returncode = 0  # or Popen warns about a child that nobody waits for

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_node(
    root: AnyPath,
    port: int = 0,
    size: str = "4M",
    journal_mode: str = "delete",
    *,
    commit_interval: float = 0.05,
    sample_every: int = 20,
    lease_seconds: float = 30.0,
    renew_seconds: float = 15.0,
    seed: int = 1,
    reopen: bool = False,
    credentials: auth.Credentials | None = None,
    with_faults: Mapping[str, FaultValue] | None = None,
    timeout: float = START_SECONDS,
) -> Node:
    """Start a node in ``root`` and return when its API answers and its writer has committed.

    ``size`` counts only when there is no state.db yet. Faults of an earlier run are cleared; ``with_faults``
    hold from the first moment, and then only their takeover is waited for. How it was started is kept for
    :func:`restart_node`. StartError, with the node's log, when it is not up within ``timeout`` seconds;
    FaultError for bad faults.
    """
    where = layout(root)
    where.make_folders()
    if process.node_pid(where.root) is not None:
        raise StartError(f"{where.root}: a node runs here already")
    start = Start(
        port, size, journal_mode, commit_interval, sample_every, lease_seconds, renew_seconds, seed, reopen,
        credentials or auth.Credentials(),
    )  # fmt: skip
    generation = faults.write_control(where.root, dict(with_faults or {}))
    node = _spawn(where, start)
    try:
        _wait_until_up(node, generation, 0 if with_faults else 1, timeout)
    except BaseException:
        node.kill()
        raise
    memory.remember(where.root, replace(start, port=node.port))
    return node


def restart_node(root: AnyPath, timeout: float = START_SECONDS) -> Node:
    """Stop the node in ``root``, where one runs, and start it again as it was started, as systemd would.

    It has its port, options and credentials of before; the faults that were asked for by hand still hold. It
    returns when the new process runs: when its API listens is the release's affair. StartError, with the
    node's log, when it ends at once, or when no node was ever started here in the background.
    """
    where = layout(root)
    start = memory.recall(where.root)
    if start is None:
        raise StartError(f"{where.root}: no node was ever started here in the background; start it with up")
    stop_node(where.root)
    node = _spawn(where, start)
    try:
        _wait_runs(node, timeout)
    except BaseException:
        node.kill()
        raise
    node.port = start.port
    return node


def restart_command(root: AnyPath) -> list[str]:
    """The words that do the same from any folder, with any environment."""
    return [sys.executable, str(Path(__file__).parent), "restart", "--root", str(layout(root).root)]


def _spawn(where: Layout, start: Start) -> Node:
    where.state.unlink(missing_ok=True)
    with where.log.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", process.MODULE, "run", *start.arguments(where.root)],
            cwd=CHECKOUT,
            env=_environment(start.credentials),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C meant for the caller must not reach the nodes
        )
    return Node(where.root, child, start.credentials)


def stop_node(root: AnyPath, number: int = signal.SIGTERM, grace: float = GRACE_SECONDS) -> bool:
    """SIGTERM to the node in ``root``, SIGKILL after ``grace`` seconds; False when no node runs there.

    The pid of the pidfile is signalled only while it is proven to be a simulator's (``process.node_pid``).
    """
    pid = process.node_pid(root)
    if pid is None:
        return False
    os.kill(pid, number)
    if not _wait_gone(root, pid, grace):
        os.kill(pid, signal.SIGKILL)
        _wait_gone(root, pid, grace)
    return True


def _wait_gone(root: AnyPath, pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.node_pid(root) == pid:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _environment(credentials: auth.Credentials) -> dict[str, str]:
    # Secrets go through the environment: every user of the machine can read a command line.
    environment = dict(os.environ)
    environment["VVTV_CONTROL_TOKEN"] = credentials.token
    environment["VVTV_CONTROL_SECRET"] = credentials.secret
    environment["VVTV_ENV"] = "dev" if credentials.are_default else "test"
    return environment


def _wait_until_up(node: Node, generation: int, commits: int, timeout: float) -> None:
    def up(state: NodeState) -> bool:
        node.port = state.port
        taken_over = state.faults_seen == generation and state.commits >= commits
        return taken_over and (commits == 0 or _answers(node.port))

    _wait(node, up, "up", timeout)


def _wait_runs(node: Node, timeout: float) -> None:
    _wait(node, lambda state: state.running, "running", timeout)


def _wait(node: Node, reached: Callable[[NodeState], bool], what: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        code = node._child.poll()
        if code is not None:
            raise StartError(f"{node.root}: the node ended with {code}:\n{_log_tail(node.root)}")
        state = read_state(node.root)
        if state is not None and reached(state):
            return
        time.sleep(_POLL_SECONDS)
    raise StartError(
        f"{node.root}: not {what} within {timeout:g} s: {read_state(node.root)}\n{_log_tail(node.root)}"
    )


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/v1/status")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log_tail(root: Path, size: int = 2000) -> str:
    return layout(root).log.read_bytes()[-size:].decode("utf-8", "replace")
