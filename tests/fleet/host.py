# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the fleet stands on: its commands, its lock, its limits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

LOCK = Path("/run/lock/vvtv-fleet.lock")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_SPARE = 64
_INOTIFY_PER_NODE = 5
_INOTIFY_RAISED = 8192
_TAIL = 2000


class FleetError(Exception):
    """The fleet cannot do what was asked; the text says why."""


def run(
    *args: str,
    timeout: float = 60,
    stdin: str | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A command to its end. FleetError where it takes too long or, with ``check``, where it fails."""
    try:
        done = subprocess.run(
            args,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=None if env is None else {**os.environ, **env},
        )
    except subprocess.TimeoutExpired as error:
        raise FleetError(f"{shlex.join(args)}: not done after {timeout:g} s") from error
    except FileNotFoundError as error:
        raise FleetError(f"{args[0]}: no such command; python -m tests.fleet check says more") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-_TAIL:]
        raise FleetError(f"{shlex.join(args)}: exit code {done.returncode}\n{said}")
    return done


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """One process at a time makes images, picks ports and sweeps, whichever checkout it belongs to."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("fleet: waiting for another process that makes images or starts a fleet\n")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def raise_inotify(nodes: int) -> None:
    """Each systemd takes some inotify instances; past the limit a node never comes up. It stays raised."""
    if int(INOTIFY.read_text()) < _INOTIFY_SPARE + _INOTIFY_PER_NODE * nodes:
        INOTIFY.write_text(f"{_INOTIFY_RAISED}\n")


def limits() -> tuple[str, str]:
    """``--ulimit`` values for a node: podman's own defaults are more than some machines may give."""
    files = _hard(resource.RLIMIT_NOFILE, 524288)
    processes = _hard(resource.RLIMIT_NPROC, 32768)
    return f"nofile=1024:{files}", f"nproc={processes}:{processes}"


def _hard(which: int, most: int) -> int:
    hard = resource.getrlimit(which)[1]
    return most if hard == resource.RLIM_INFINITY else min(hard, most)
