# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which process runs a rollout: enough to tell, on the same machine, that it is dead."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import record

_PROC = Path("/proc")
_MAX_STAT = 4096


@dataclass(frozen=True)
class Run:
    """A process: ``who`` is ``user@host``, ``space`` its pid namespace, ``started`` its start in clock ticks.

    Two containers may have the same host name, and a pid comes again: hence the latter two. They are empty
    where the system has no ``/proc``.
    """

    who: str
    space: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Run:
        """Return the run whose process this is."""
        return cls(record.who(), _space(), pid, _started(pid))

    @property
    def holder(self) -> str:
        """The run as a lease names its holder."""
        return f"{self.who} pid {self.pid} ({self.space or '-'} {self.started or '-'})"


def dead(holder: str) -> bool:
    """Whether the holder that a lease names was a process of this machine that is no more."""
    words = holder.rsplit(" ", 4)
    if len(words) != 5 or words[1] != "pid" or not words[2].isdecimal():
        return False
    who, _pid, pid, space, started = words[0], words[1], int(words[2]), words[3][1:], words[4][:-1]
    if who.rpartition("@")[2] != record.who().rpartition("@")[2] or space != (_space() or "-"):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return started not in ("-", _started(pid))


def _space() -> str:
    with suppress(OSError):
        return os.readlink(_PROC / "self/ns/pid")
    return ""


def _started(pid: int) -> str:
    """Return the 22nd field of a process's ``stat``; its second one, the name, may hold anything."""
    with suppress(OSError, IndexError), (_PROC / str(pid) / "stat").open("rb") as stat:
        return stat.read(_MAX_STAT).rpartition(b")")[2].split()[19].decode("ascii", "replace")
    return ""
