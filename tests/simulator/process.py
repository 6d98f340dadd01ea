# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is the node of a root: the pidfile, and proof that it speaks the truth."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .layout import AnyPath, layout

MODULE = "tests.simulator"
_LOCK_SECONDS = 0.5


class AlreadyRunning(Exception):
    """Another node runs in this root."""


def claim_pidfile(root: AnyPath) -> IO[str]:
    """Write our pid and lock the file until this process ends; AlreadyRunning when somebody holds it.

    The caller keeps the returned file open. The lock dies with its process, however it dies, so a pid that
    was left behind (and may belong to somebody else by now) is known by the missing lock.
    """
    path = layout(root).pidfile
    file = path.open("a+", encoding="ascii")
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            # Whoever only looks (node_pid) holds the lock for an instant; a node holds it for good.
            if time.monotonic() > deadline:
                file.close()
                raise AlreadyRunning(f"{layout(root).root}: another node runs here") from error
            time.sleep(0.01)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def release_pidfile(file: IO[str]) -> None:
    # Emptied, not removed: a new node could have opened the old file and lock what has no name any more.
    file.truncate(0)
    file.close()


def node_pid(root: AnyPath) -> int | None:
    """The pid of the living node in ``root``, None when there is none.

    A pid counts when its pidfile is locked and its command line is a simulator's.
    """
    try:
        with layout(root).pidfile.open("r", encoding="ascii", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None  # nobody holds it
            except BlockingIOError:
                text = file.read(32).strip()
    except FileNotFoundError:
        return None
    pid = int(text) if text.isascii() and text.isdigit() else 0
    return pid if pid > 1 and is_simulator(command_line(pid)) else None


def command_line(pid: int) -> Sequence[str]:
    """The arguments of a process, empty when it is gone (or a zombie)."""
    proc = Path("/proc") / str(pid) / "cmdline"
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []
    answer = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.split()


def is_simulator(args: Sequence[str]) -> bool:
    """Is this the command line of ``python -m tests.simulator run ...``, or with the folder's path?"""
    pairs = zip(args, args[1:])
    return any(module.replace("/", ".").endswith(MODULE) and command == "run" for module, command in pairs)
