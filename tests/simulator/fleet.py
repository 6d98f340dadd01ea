# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop nodes as child processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from . import auth, faults, process
from .api import HOST
from .control import NodeState, apply_faults, fresh_state, read_state, wait_for
from .faults import FaultValue
from .layout import AnyPath, Layout, layout

CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.02


class StartError(Exception):
    """A node that did not come up; the text ends with its log."""


class Node:
    """A started node. As a context manager it stops the node at the end."""

    def __init__(self, root: Path, child: subprocess.Popen[bytes], credentials: auth.Credentials) -> None:
        self._child = child
        self._where: Layout = layout(root)
        self.root = self._where.root
        self.credentials = credentials
        self.port = 0

    @property
    def pid(self) -> int:
        return self._child.pid

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
        return self._child.poll() is None

    def stop(self) -> None:
        """End the node and wait for it; fine when it is gone already."""
        if self.alive():
            stop_node(self.root)
        self._child.wait(GRACE_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, at once."""
        self._child.kill()
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
    hold from the first moment, and then only their takeover is waited for. StartError, with the node's log,
    when it is not up within ``timeout`` seconds; FaultError for bad faults.
    """
    where = layout(root)
    where.make_folders()
    if process.node_pid(where.root) is not None:
        raise StartError(f"{where.root}: a node runs here already")
    credentials = credentials or auth.Credentials()
    generation = faults.write_control(where.root, dict(with_faults or {}))
    where.state.unlink(missing_ok=True)
    options = {
        "--root": str(where.root), "--port": str(port), "--size": size, "--journal-mode": journal_mode,
        "--commit-interval": str(commit_interval), "--sample-every": str(sample_every),
        "--lease-seconds": str(lease_seconds), "--renew-seconds": str(renew_seconds), "--seed": str(seed),
    }  # fmt: skip
    args = [sys.executable, "-m", process.MODULE, "run", *(part for pair in options.items() for part in pair)]
    with where.log.open("ab") as log:
        child = subprocess.Popen(
            args + (["--reopen"] if reopen else []),
            cwd=CHECKOUT,
            env=_environment(credentials),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C meant for the caller must not reach the nodes
        )
    node = Node(where.root, child, credentials)
    try:
        _wait_until_up(node, generation, 0 if with_faults else 1, timeout)
    except BaseException:
        node.kill()
        raise
    return node


def stop_node(root: AnyPath, grace: float = GRACE_SECONDS) -> bool:
    """SIGTERM to the node in ``root``, SIGKILL after ``grace`` seconds; False when no node runs there.

    The pid of the pidfile is signalled only while it is proven to be a simulator's (``process.node_pid``).
    """
    pid = process.node_pid(root)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
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
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not node.alive():
            raise StartError(
                f"{node.root}: the node ended with {node._child.returncode}:\n{_log_tail(node.root)}"
            )
        state = read_state(node.root)
        if state is not None and state.faults_seen == generation and state.commits >= commits:
            node.port = state.port
            if commits == 0 or _answers(node.port):
                return
        time.sleep(_POLL_SECONDS)
    raise StartError(
        f"{node.root}: not up within {timeout:g} s: {read_state(node.root)}\n{_log_tail(node.root)}"
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
