# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics for node_exporter's textfile collector: made, written in one step, and read back with suspicion."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from .. import files
from ..errors import Busy, RunbookError, guarded

PREFIX = "vvtv_runbook_"
MODE = 0o644
_MAX_BYTES = 64 * 1024
_LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.05
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Gauge:
    """One metric without its prefix; ``samples`` are values by their label, with none under nothing."""

    name: str
    about: str
    label: str = ""
    samples: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield it in the text format; without a sample it is not mentioned."""
        name = f"{PREFIX}{self.name}"
        if self.samples:
            yield f"# HELP {name} {_escaped(self.about)}"
            yield f"# TYPE {name} gauge"
        for value, number in self.samples.items():
            labels = f'{{{self.label}="{_escaped(value, quotes=True)}"}}' if self.label else ""
            yield f"{name}{labels} {_number(number)}"


def one(name: str, about: str, value: float | None) -> Gauge:
    """Return a metric without labels; one whose value is not known has no sample."""
    return Gauge(name, about, samples={} if value is None else {"": value})


def _escaped(text: str, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    """Return a number without more digits than it has."""
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def render(gauges: Sequence[Gauge]) -> bytes:
    """Return the text of some metrics."""
    return "".join(f"{line}\n" for gauge in gauges for line in gauge.lines()).encode()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others of us from writing into the folder; raise an error when it is none, or stays held."""
    with guarded("write metrics", folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try(descriptor):
            if time.monotonic() >= deadline:
                raise Busy("somebody else is writing metrics", path=folder)
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def path_of(folder: Path, name: str) -> Path:
    """Return the file of some metrics."""
    return folder / f"{PREFIX}{name}.prom"


def write(folder: Path, name: str, gauges: Sequence[Gauge]) -> None:
    """Replace a file of metrics, readable by everybody; its owner is the folder's, if that can be."""
    files.replace(path_of(folder, name), render(gauges), MODE, files.Owner.of(folder))


def former(folder: Path, name: str, metric: str, label: str, before: float) -> float | None:
    """Return what the file says now of one metric; ``None`` unless it is a number from 0 to ``before``.

    Whoever can write into the folder may have put anything there.
    """
    try:
        text = files.read_bounded(path_of(folder, name), _MAX_BYTES).decode("utf-8", "replace")
    except RunbookError:
        return None
    start = f"{PREFIX}{metric}{label} "
    found = [line[len(start) :] for line in text.split("\n") if line.startswith(start)]
    if len(found) != 1 or not _NUMBER.fullmatch(found[0]):
        return None
    value = float(found[0])
    return value if isfinite(value) and value <= before else None
