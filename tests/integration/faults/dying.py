# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Children that die by SIGKILL at the N-th call that changes something on disk, or is about to.

They are forks of the test's own process: there are thousands of them, and each would otherwise spend most of
its time on reading the engine.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

KILLED = -signal.SIGKILL
_EVENTS = frozenset(
    [
        *("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown"),
        *("os.link", "os.symlink", "os.posix_spawn", "subprocess.Popen", "shutil.rmtree", "sqlite3.connect"),
        *("fcntl.flock", "fcntl.lockf"),
    ]
)
_WATCHED = ("fsync", "pwrite", "ftruncate")


class Child:
    """A process that runs a task; what it prints goes to files."""

    def __init__(self, task: Callable[[], object], kill_at: int = 0, torn: bool = False) -> None:
        # What it prints, its errors, and at how many steps it could have been killed.
        self._files = [os.memfd_create(name) for name in ("out", "errors", "steps")]
        self._said: list[str] = []
        self.returncode: int | None = None
        with warnings.catch_warnings():
            # Of the threads of a test's process none holds what the child needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            _run(task, kill_at, torn, self._files)

    def kill(self) -> None:
        """Send SIGKILL, if it is not over."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Wait for its end; return standard output and standard error."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._said = [_read(file) for file in self._files]
        return self._said[0], self._said[1]

    @property
    def steps(self) -> int:
        """At how many steps it could have been killed; it must have come to its end."""
        _out, errors = self.communicate()
        assert self.returncode == 0, errors
        return int(self._said[2])


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode()


def _run(task: Callable[[], object], kill_at: int, torn: bool, files: list[int]) -> None:
    out, errors, steps = files
    status = 1
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        left = _watch(kill_at, torn)
        task()
        taken, left[0] = -left[0], 0
        os.write(steps, str(taken).encode())
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may go on in the test's own stack
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _watch(kill_at: int, torn: bool) -> list[int]:
    """Count the steps down from ``kill_at``; with ``torn`` a last write stops in the middle."""
    left, pwrite = [kill_at], os.pwrite

    def step(event: str, args: tuple[Any, ...] = ()) -> None:
        if event not in _EVENTS:
            return
        left[0] -= 1
        if left[0] == 0:
            if torn and event == "open" and len(args) == 3 and isinstance(args[1], bytes):
                pwrite(args[0], args[1][: len(args[1]) // 2], args[2])
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            step("open", args)
            return function(*args)

        return call

    for name in _WATCHED:
        setattr(os, name, watched(getattr(os, name)))
    sys.addaudithook(step)
    return left
