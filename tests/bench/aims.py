# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures the engine is meant to reach for a database of 512 MiB, and whether it did in this run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from . import contest
from .contest import Line, Mode
from .report import MIB, ratios

SIZE = 512 * MIB
_HEADER_BYTES = MIB  # what may be written beside the archive itself: its facts, folders
_ACCESS_TIMES = 16 * 1024
_RATIOS = (
    ("backup with zstd", contest.BACKUP_ZSTD, 12.0),
    ("backup with gzip", contest.BACKUP_GZIP, 2.5),
    ("verify", contest.VERIFY, 6.0),
    ("restore, no database there", contest.RESTORE, 3.5),
    ("restore, into a live one", contest.RESTORE_LIVE, 3.5),
)
_MEMORY = 80 * MIB
_HELD_UP = {"wal": 0.005, "delete": 0.5}


@dataclass(frozen=True)
class Aim:
    """One aim in one journal mode, and the words that say how it went."""

    journal: str
    what: str
    reached: bool
    found: str
    wanted: str
    note: str = ""

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "not reached"
        return f"{verdict}: {self.found} of {self.wanted}{self.note and f' ({self.note})'}"


def of(mode: Mode) -> list[Aim]:
    """Judge what was measured in one journal mode."""
    return [
        *(_ratio(mode, *one) for one in _RATIOS),
        _memory(mode),
        _copies(mode),
        _nothing(mode),
        _delay(mode),
    ]


def _ratio(mode: Mode, what: str, line: Line, wanted: float) -> Aim:
    found = statistics.median(ratios(mode, line))
    return Aim(mode.journal, what, found >= wanted, f"{found:.1f}x", f"{wanted:g}x")


def _memory(mode: Mode) -> Aim:
    """Memory-backed storage is memory too."""
    runs = [*mode.runs[contest.BACKUP_ZSTD], *mode.runs[contest.BACKUP_GZIP]]
    processes, shm = max(run.rss for run in runs), max(run.shm for run in runs)
    most = max(run.rss + run.shm for run in runs)
    note = f"{processes / MIB:.0f} in processes, {shm / MIB:.0f} in /dev/shm"
    found, wanted = f"{most / MIB:.0f} MiB", f"{_MEMORY // MIB} MiB"
    return Aim(mode.journal, "backup's memory at most", most <= _MEMORY, found, wanted, note)


def _copies(mode: Mode) -> Aim:
    """No second copy on the disk: what a backup writes is its archive."""
    written = max(run.written for run in mode.runs[contest.BACKUP_ZSTD])
    most = mode.archives[contest.BACKUP_ZSTD] + _HEADER_BYTES
    found, wanted = f"{written / MIB:.1f} MiB", f"{most / MIB:.1f} MiB"
    return Aim(mode.journal, "backup writes its archive only", 0 <= written <= most, found, wanted)


def _nothing(mode: Mode) -> Aim:
    """Nothing but the blocks that hold access times."""
    written = max(run.written for run in mode.runs[contest.VERIFY])
    found, wanted = f"{written} bytes", f"{_ACCESS_TIMES} bytes"
    return Aim(mode.journal, "verify writes access times only", 0 <= written <= _ACCESS_TIMES, found, wanted)


def _delay(mode: Mode) -> Aim:
    """Judged by the longest commit as it was; what it would have been without a backup stands beside it."""
    held, alone = mode.delays[contest.BESIDE_OURS], mode.delays[contest.BESIDE_NOBODY]
    longest, wanted = max(delay.longest for delay in held), _HELD_UP[mode.journal]
    note = (
        f"waiting for the write lock {1e3 * max(one.longest_lock for one in held):.1f} ms; "
        f"with no backup the longest commit took {1e3 * max(one.longest for one in alone):.1f} ms"
    )
    found, limit = f"{1e3 * longest:.1f} ms", f"{1e3 * wanted:g} ms"
    return Aim(mode.journal, "writers held up at most", longest <= wanted, found, limit, note)
