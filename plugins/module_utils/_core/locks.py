# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One operator at a time per node: a kernel lock (flock) on a file that names its holder.

The lock dies with the process that holds it, so there are no stale locks; what a dead holder wrote into the
file is overwritten by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import files, times
from .errors import Busy, DiskFull, guarded
from .node import Node

_POLL_SECONDS = 0.05
_MAX_HOLDER = 4096


class _Lent(threading.local):
    """The locks that operations of this thread may work under: who holds them calls these operations."""

    def __init__(self) -> None:
        self.files: set[tuple[int, Path]] = set()


_lent = _Lent()


@contextmanager
def node_lock(node: Node, purpose: str, timeout: float) -> Iterator[None]:
    """Hold the node's lock; wait up to ``timeout`` seconds, then raise :class:`Busy` naming the holder.

    Inside :func:`lent` it is held already.
    """
    if _mark(node) in _lent.files:
        yield
        return
    owner = node.owner()
    files.make_folder(node.runtime, 0o755, owner)
    deadline = time.monotonic() + timeout
    with guarded("take the node's lock", node.lock_file):
        while True:
            descriptor = _open(node.lock_file, owner)
            try:
                _flock(descriptor, node.lock_file, deadline)
                # Whoever removes the file while we wait leaves us with a lock that nobody else sees.
                if _still_there(descriptor, node.lock_file):
                    break
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    try:
        # On a full disk the lock holds without a name: whoever wants to free some space must get it.
        with suppress(DiskFull), guarded("name the lock's holder", node.lock_file):
            _write_holder(descriptor, purpose)
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


@contextmanager
def lent(node: Node) -> Iterator[None]:
    """Let operations that take the node's lock work under the caller's, which must hold it, in this thread.

    So that several of them are one operation to everybody else.
    """
    mark = _mark(node)
    _lent.files.add(mark)
    try:
        yield
    finally:
        _lent.files.discard(mark)


def _mark(node: Node) -> tuple[int, Path]:
    """A child process that was forked has borrowed nothing."""
    return os.getpid(), node.lock_file


def _open(path: Path, owner: files.Owner) -> int:
    try:
        return files.open_new(path, 0o644, owner)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)


def wait_for(descriptor: int, deadline: float, busy: Callable[[], Busy], poll: float = 0.02) -> None:
    """Take the kernel lock of an open file; raise what ``busy`` makes after ``deadline`` (monotonic)."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise busy() from None
            time.sleep(poll)


def _flock(descriptor: int, path: Path, deadline: float) -> None:
    def busy() -> Busy:
        hint = "wait for it to end, or raise lock_timeout"
        return Busy(f"the node is locked by {_holder(descriptor)}", path=path, hint=hint)

    wait_for(descriptor, deadline, busy, _POLL_SECONDS)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int, purpose: str) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "user": _user(),
        "purpose": purpose,
        "since": times.to_text(times.now()),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _holder(descriptor: int) -> str:
    """Say who holds the lock, from what the holder wrote; it may be just about to write it."""
    try:
        found = json.loads(os.pread(descriptor, _MAX_HOLDER, 0))
        who = f"pid {found['pid']} ({found['user']}@{found['host']})"
        return f"{who} for '{found['purpose']}' since {found['since']}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return "a process that has not said who it is"
