# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a backup's time goes: each part of the engine alone, on the same database, then the whole.

In a backup the parts overlap: reading with both hashes is one thread, compression another, encryption a
third, SQLite's check a fourth; fsync and the read-back follow. So the whole takes less than the sum, and
never less than the CPU time of all parts spread over the cores. The parts get their input from memory, which
has to hold the database.
"""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    catalogue,
    keyring,
    opening,
    recipients,
    sqlite,
    still,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.compression import Compressor
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.write import INTEGRITY, Sealed
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from . import measure
from .ground import Ground
from .report import MIB, aligned

_TIMEOUT = 60.0


class Kept:
    """The end of a pipeline: what arrives stays in memory."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self.pieces.append(data)

    def finish(self) -> None:
        """There is nothing to finish."""


@dataclass
class Part:
    """The seconds of one part, run by run; ``counts`` is false for what is no part of a zstd backup."""

    name: str
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    counts: bool = True

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)


class Breakdown:
    """Measures the parts in this process, one after the other."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._node = Node.at(ground.live.root)
        self._parts: dict[str, Part] = {}

    def parts(self, rounds: int) -> list[Part]:
        """All parts and, last, the whole backup; every round measures each once."""
        for _round in range(rounds):
            self._start()
            self._reading()
            chunks, page_size, leases = self._in_memory()
            self._hashing(chunks, page_size, leases)
            packed = self._compressing(chunks)
            chunks.clear()
            self._sealing(packed)
            self._disk(packed)
            self._whole()
        return list(self._parts.values())

    def _start(self) -> None:
        self._ran("python starts", measure.run([sys.executable, "-c", ""]))
        both = self._ground.engine("imports")
        self._ran("python starts and imports the engine", both, counts=True)

    def _reading(self) -> None:
        method = ""

        def drain() -> None:
            nonlocal method
            with still.opened(self._node.state_db, "auto", _TIMEOUT, self._ground.base) as state:
                method = state.method
                for _chunk in state.chunks:
                    pass

        self._timed("holding still and reading", drain)
        with still.opened(self._node.state_db, method, _TIMEOUT, self._ground.base) as state:
            self._timed(f"SQLite's check ({INTEGRITY})", lambda: state.check(INTEGRITY))

    def _in_memory(self) -> tuple[list[bytes], int, frozenset[int]]:
        with still.opened(self._node.state_db, "auto", _TIMEOUT, self._ground.base) as state:
            return list(state.chunks), state.page_size, state.leases

    def _hashing(self, chunks: list[bytes], page_size: int, leases: frozenset[int]) -> None:
        self._timed("SHA-256 of the database", lambda: _fed(hashlib.sha256().update, chunks))
        content = sqlite.ContentDigest(page_size, leases)
        self._timed("content digest", lambda: _fed(content.update, chunks))

    def _compressing(self, chunks: list[bytes]) -> list[bytes]:
        """Return what zstd made of the database."""
        packed: list[bytes] = []
        for kind in ("gzip", "zstd"):
            kept = Kept()
            compressor = Compressor(kind, kept)
            with self._measuring(f"compression, {kind}", counts=kind == "zstd"):
                _fed(compressor.write, chunks)
                compressor.finish()
            packed = kept.pieces
        return packed

    def _sealing(self, packed: list[bytes]) -> None:
        keys = recipients.recipients_of(keyring.read(self._node), ()).keys
        with open(os.devnull, "wb") as out:
            sealed = Sealed(out, keys, self._ground.base)
            with self._measuring("encryption and SHA-256 of the archive"):
                _fed(sealed.write, packed)
                sealed.finish()

    def _disk(self, packed: list[bytes]) -> None:
        target = self._ground.base / "profile.bin"
        os.sync()
        with target.open("wb") as out:
            with self._measuring("writing the archive"):
                _fed(out.write, packed)
                out.flush()
            self._timed("fsync", lambda: os.fsync(out.fileno()))
        target.unlink()

    def _whole(self) -> None:
        done = self._ground.engine("backup", "zstd")
        made = catalogue.find(self._node.backup_dir, str(done.said["id"]))
        self._timed(
            "reading the archive back", lambda: _ignored(opening.read_archive(made, opening.Keys(self._node)))
        )
        self._ran("the whole backup, zstd", done)
        self._ground.drop_backup(made.id)

    # --- measuring ---

    def _timed(self, name: str, act: Callable[[], None]) -> None:
        with self._measuring(name):
            act()

    @contextmanager
    def _measuring(self, name: str, counts: bool = True) -> Iterator[None]:
        wall, cpu = time.perf_counter(), _cpu()
        yield
        self._note(name, time.perf_counter() - wall, _cpu() - cpu, counts)

    def _ran(self, name: str, done: measure.Run, counts: bool = False) -> None:
        self._note(name, done.wall, done.cpu, counts)

    def _note(self, name: str, wall: float, cpu: float, counts: bool) -> None:
        part = self._parts.setdefault(name, Part(name, counts=counts))
        part.walls.append(wall)
        part.cpus.append(cpu)


def _fed(take: Callable[[bytes], object], chunks: list[bytes]) -> None:
    for chunk in chunks:
        take(chunk)


def _ignored(_value: object) -> None:
    """For acts whose result nobody needs."""


def _cpu() -> float:
    """User and system seconds of this process and of the children it waited for."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def lines(ground: Ground, journal: str, rounds: int) -> list[str]:
    """Measure, and return the table for people."""
    *parts, whole = Breakdown(ground).parts(rounds)
    cores = len(os.sched_getaffinity(0))
    size = ground.size
    together = sum(part.cpu for part in parts if part.counts)
    rows = [
        (
            part.name if part.counts else f"({part.name})",
            f"{part.wall:.2f}",
            f"{part.cpu:.2f}",
            f"{size / 1e6 / part.wall:.0f}",
        )
        for part in (*parts, whole)
    ]
    return [
        f"journal {journal}: where the time of a backup of {size / MIB:.0f} MiB goes",
        f"medians of {rounds} rounds, {cores} cores",
        "",
        *aligned([("each part alone", "wall s", "CPU s", "MB/s of the database"), *rows]),
        "",
        f"CPU of the parts without brackets: {together:.2f} s; over {cores} cores {together / cores:.2f} s.",
        f"The whole kept {whole.cpu / whole.wall:.2f} cores busy on average.",
    ]
