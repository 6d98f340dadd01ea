# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured: as a table for people, and as numbers for programs."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from . import contest
from .contest import ANCHORS, LINES, Line, Mode
from .measure import Run

MIB = 1 << 20
HEAD = (
    "",
    "wall s",
    "min-max",
    "MB/s",
    "shell/ours",
    "min-max",
    "CPU s",
    "RSS MiB",
    "PSS MiB",
    "shm MiB",
    "written MiB",
    "others",
)
DELAY_HEAD = (
    "ms a writer's commit took beside",
    "longest",
    "p99",
    "median",
    "longest for lock",
    "commits",
    "runs",
)
LEGEND = """\
wall s     median over the rounds, process start to end
MB/s       of the database
shell/ours the shell's wall time divided by ours, per round, then median
CPU s      median, user and system, of the process and its descendants (the kernel's count, wait4)
RSS, PSS   most of all rounds, summed over the contender's processes: resident pages every 10 ms, Pss of
           smaps_rollup every 250 ms; a page that a forked child shares counts twice in RSS, once in PSS
shm        most growth of /dev/shm meanwhile, sampled every 10 ms
written    most write_bytes of /proc/PID/io, what was dirtied on disks, of the process and its descendants
others     how many cores were busy meanwhile with other work than the contender's (also its own writes' and
           the sampling's), or were taken away by the host; median. Above 0.2, do not trust the figures
The database is in the page cache, and before each contender starts the disk has written everything back.
A writer commits one row every 5 ms; longest and p99 are the worst of its runs, with the disk's own stalls,
which the first line shows. "longest for lock" is the longest BEGIN IMMEDIATE."""


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = [
        line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    memory = [int(line.split()[1]) >> 10 for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model[0] if model else platform.machine(),
        "memory_mib": memory[0] if memory else None,
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "cryptography": _version("cryptography"),
        "zstandard": _version("zstandard"),
        "sqlite_of_python": sqlite3.sqlite_version,
        "sqlite3": _says("sqlite3", "--version").split(" ")[0],
        "openssl": _says("openssl", "version"),
        "gzip": _says("gzip", "--version"),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _says(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0]


def ratios(mode: Mode, line: Line) -> list[float]:
    """The anchor's seconds divided by this line's, round by round; empty for an anchor."""
    if line.against is None:
        return []
    anchors = mode.runs[ANCHORS[line.against]]
    return [anchor.wall / run.wall for anchor, run in zip(anchors, mode.runs[line])]


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def _row(mode: Mode, line: Line) -> tuple[str, ...]:
    runs, times = mode.runs[line], ratios(mode, line)
    walls = [run.wall for run in runs]
    middle = statistics.median(walls)
    return (
        line.name,
        f"{middle:.2f}",
        _spread(walls, 2),
        f"{mode.size / 1e6 / middle:.0f}",
        f"{statistics.median(times):.1f}x" if times else "",
        _spread(times, 1) if times else "",
        f"{statistics.median(run.cpu for run in runs):.2f}",
        f"{max(run.rss for run in runs) / MIB:.0f}",
        f"{max(run.pss for run in runs) / MIB:.0f}",
        f"{max(run.shm for run in runs) / MIB:.0f}",
        f"{max(run.written for run in runs) / MIB:.1f}",
        f"{statistics.median(run.others / run.wall for run in runs):.1f}",
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of one width: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]


def table(mode: Mode) -> list[str]:
    """The table of one journal mode, and how long writers were held up."""
    methods = {str(run.said["method"]) for run in mode.runs[contest.BACKUP_ZSTD]}
    lines = [
        f"journal {mode.journal}: database of {mode.size / MIB:.0f} MiB",
        f"our way to a still state: {', '.join(sorted(methods))}",
        "",
        *aligned([HEAD, *(_row(mode, line) for line in LINES)]),
        "",
        "archives: " + ", ".join(f"{line.who} {size / MIB:.0f} MiB" for line, size in mode.archives.items()),
        "",
    ]
    return lines + aligned([DELAY_HEAD, *_delay_rows(mode)])


def _delay_rows(mode: Mode) -> list[tuple[str, ...]]:
    return [
        (
            who,
            f"{1e3 * max(one.longest for one in delays):.1f}",
            f"{1e3 * max(one.p99 for one in delays):.1f}",
            f"{1e3 * statistics.median(one.median for one in delays):.2f}",
            f"{1e3 * max(one.longest_lock for one in delays):.1f}",
            str(sum(one.commits for one in delays)),
            str(len(delays)),
        )
        for who, delays in mode.delays.items()
    ]


def facts(mode: Mode) -> dict[str, Any]:
    """One journal mode for result.json: every run, and what the table says of them."""
    return {
        "database_bytes": mode.size,
        "contenders": {line.name: _line_facts(mode, line) for line in LINES},
        "archive_bytes": {line.who: size for line, size in mode.archives.items()},
        "writer_delays": {who: [one.facts() for one in delays] for who, delays in mode.delays.items()},
    }


def _line_facts(mode: Mode, line: Line) -> dict[str, Any]:
    runs: list[Run] = mode.runs[line]
    times = ratios(mode, line)
    return {
        "wall_s_median": round(statistics.median(run.wall for run in runs), 4),
        "mb_per_s": round(mode.size / 1e6 / statistics.median(run.wall for run in runs), 1),
        "shell_over_ours_median": round(statistics.median(times), 2) if times else None,
        "shell_over_ours": [round(one, 2) for one in times],
        "runs": [run.facts() for run in runs],
    }
