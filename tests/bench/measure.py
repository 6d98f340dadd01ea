# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running one contender as a process of its own and measuring it with all its descendants.

Wall time is taken from before its start to its end. CPU time is the kernel's own account of it and of every
descendant it waited for, and so are the bytes written (``write_bytes`` of ``/proc/PID/io``: what was dirtied
on disks, read while it is a zombie). Memory is sampled: the resident pages of its session, where a page that
a forked child shares counts twice, and now and then the sum of ``Pss``, where it does not. What else the
machine did meanwhile is told by ``/proc/stat``: figures taken beside others' work are worth less.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - only its fill is looked at
_TICK_SECONDS = 0.01
_PSS_EVERY = 25  # it takes the kernel 2 ms
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_SESSION_FIELD = 3  # of /proc/PID/stat, counted after the name


class ContenderFailed(Exception):
    """A contender that did not do its work: no figure of it means anything."""


@dataclass(frozen=True)
class Run:
    """One run: seconds, bytes, and what the contender said of itself (the last line it printed, as JSON)."""

    started: float
    ended: float
    cpu: float
    rss: int
    pss: int
    largest: int
    shm: int
    written: int
    others: float
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def wall(self) -> float:
        return self.ended - self.started

    def facts(self) -> dict[str, Any]:
        """The same for result.json."""
        return {
            "wall_s": round(self.wall, 4),
            "cpu_s": round(self.cpu, 4),
            "rss_tree_bytes": self.rss,
            "pss_tree_bytes": self.pss,
            "rss_largest_process_bytes": self.largest,
            "shm_bytes": self.shm,
            "written_bytes": self.written,
            "others_cpu_s": round(self.others, 3),
            "said": self.said,
        }


class Sampler:
    """Watches a session's memory and the memory-backed file system in a thread until it is stopped."""

    def __init__(self, session: int, shm_before: int) -> None:
        self.rss = self.pss = self.shm = 0
        self._session = session
        self._shm_before = shm_before
        self._mine: dict[str, bool] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        tick = 0
        while not self._stop.is_set():
            members = self._members()
            self.rss = max(self.rss, sum(map(_resident, members)))
            if tick % _PSS_EVERY == 0:
                self.pss = max(self.pss, sum(map(_proportional, members)))
            self.shm = max(self.shm, shm_used() - self._shm_before)
            tick += 1
            self._stop.wait(_TICK_SECONDS)

    def _members(self) -> list[str]:
        """The processes of the session; each is asked once."""
        found = []
        for name in os.listdir(_PROC):
            if name[0] in "123456789":
                mine = self._mine.get(name)
                if mine is None:
                    mine = self._mine[name] = _session_of(name) == self._session
                if mine:
                    found.append(name)
        return found


def _session_of(name: str) -> int:
    try:
        text = (_PROC / name / "stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[_SESSION_FIELD])
    except (OSError, IndexError):
        return -1


def _resident(name: str) -> int:
    """The resident bytes of a process; 0 for one that has just ended."""
    with suppress(OSError, IndexError):
        descriptor = os.open(f"/proc/{name}/statm", os.O_RDONLY)
        try:
            return int(os.read(descriptor, 256).split()[1]) * _PAGE
        finally:
            os.close(descriptor)
    return 0


def _proportional(name: str) -> int:
    """The same with its share only of pages that others have too."""
    with suppress(OSError):
        for line in (
            (_PROC / name / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def shm_used() -> int:
    """The bytes in use of the memory-backed file system, by whomever."""
    try:
        found = os.statvfs(MEMORY_FOLDER)
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def run(command: Sequence[str]) -> Run:
    """Run and measure one contender, once all that others wrote is on the disk.

    What it prints goes to memory, so that it does not count as written. Raise :class:`ContenderFailed`.
    """
    os.sync()
    shm_before = shm_used()
    with os.fdopen(os.memfd_create("contender"), "w+b") as out:
        busy, started = _busy(), time.monotonic()
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        sampler = Sampler(child.pid, shm_before)
        try:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            busy, ended = _busy() - busy, time.monotonic()
        except BaseException:
            os.killpg(child.pid, 9)
            child.wait()
            raise
        finally:
            sampler.stop()
        written = _written(child.pid)
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="replace").strip()
    if child.returncode != 0:
        raise ContenderFailed(f"{' '.join(command)}: exit {child.returncode}: {text[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(
        started,
        ended,
        cpu,
        sampler.rss,
        sampler.pss,
        usage.ru_maxrss * 1024,
        sampler.shm,
        written,
        max(0.0, busy - cpu),
        _said(text),
    )


def _busy() -> float:
    """The seconds that all cores together were busy, or taken away by the host, since the start."""
    with (_PROC / "stat").open(encoding="ascii") as file:
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _written(pid: int) -> int:
    """What a zombie and the descendants it waited for wrote to disks; -1 where the kernel does not say."""
    try:
        for line in (_PROC / str(pid) / "io").read_text(encoding="ascii").splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    except OSError:
        pass
    return -1


def _said(text: str) -> dict[str, Any]:
    last = text.splitlines()[-1] if text else ""
    if not last.startswith("{"):
        return {}
    said = json.loads(last)
    return said if isinstance(said, dict) else {}
