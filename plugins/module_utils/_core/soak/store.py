# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The samples of a soak on disk: ``samples.jsonl``, one line each, appended by one write that is synced.

A line is a sample's JSON (:meth:`Sample.to_json`) with its ``tick``. A line that a killed sampler left
unfinished is no line; the next append cuts it off. Beside it lie the runbook's own logs, one line for each
call to the API, for people. A soak that is over has ``ended.json``, which is written once: whoever ends it
and the sampler are kept apart by a kernel lock on the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from .. import files, times
from ..errors import BadInput, Busy, Damaged, NotFound, SystemFault, guarded
from ..probes import Probe, one_line
from ..sample_record import MAX_LINE, Sample

NAME = "samples.jsonl"
ENDED = "ended.json"
LOCK = "sampler.lock"
LOG = "sampler.log"
LOGS = {"status": "status-samples.log", "metrics": "metrics-samples.log", "alerts": "alerts-samples.log"}

TIME_OVER, EARLY_STOP, STOPPED, DIED = END_CODES = ("time_over", "early_stop", "stopped", "died")

_PATIENCE = 10.0
_GLANCE = 1.0
_MAX_BYTES = 2 << 30
_MAX_ENDED = 16 << 10
_MAX_LOG_BYTES = 64 << 20
_MAX_LOG = 4 << 20
_MAX_LOG_LINE = 2000
_TICK = re.compile(r'\{"tick":(\d{1,9}),')
_MAX_LINE_BYTES = MAX_LINE * 4


@dataclass(frozen=True)
class Ended:
    """How a soak ended: ``code`` is one of :data:`END_CODES`, ``detail`` a line for a person."""

    at: datetime
    code: str
    detail: str
    by: str

    def result(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {"at": times.to_text(self.at), "code": self.code, "detail": self.detail, "by": self.by}


@contextmanager
def settling(soak: Path) -> Iterator[None]:
    """Keep an append and an end apart; each takes no longer than a sync of the disk."""
    with guarded("lock the soak's folder", soak):
        descriptor = os.open(soak, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise Busy("somebody else writes the soak's files", path=soak, hint="run again")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- the sampler's life ---


def hold(soak: Path, owner: files.Owner) -> int | None:
    """Take the lock that means: the sampler lives. Return its descriptor, ``None`` when another has it."""
    path = soak / LOCK
    with guarded("take the sampler's lock", path):
        descriptor = _open(path, 0o640, owner)
    deadline = time.monotonic() + _GLANCE
    while not _locked(descriptor, fcntl.LOCK_EX):
        # Whoever asks whether a sampler lives has the lock for an instant, too.
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)
    return descriptor


def alive(soak: Path) -> bool:
    """Whether a sampler runs; one that was killed does not, whatever it left."""
    path = soak / LOCK
    with guarded("look for the sampler", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def ended(soak: Path) -> Ended | None:
    """Return how the soak ended, ``None`` while it has not; raise :class:`Damaged`."""
    path = soak / ENDED
    try:
        data = files.read_bounded(path, _MAX_ENDED)
    except NotFound:
        return None
    try:
        found = json.loads(data)
        if found["code"] not in END_CODES:
            raise ValueError("an unknown end")
        detail, by = (one_line(str(found[name])) for name in ("detail", "by"))
        return Ended(times.parse(found["at"]), found["code"], detail, by)
    except (ValueError, TypeError, LookupError, RecursionError, BadInput) as exc:
        raise Damaged(f"does not say how the soak ended: {str(exc)[:80]}", path=path) from exc


def end(soak: Path, how: Ended, owner: files.Owner) -> bool:
    """Write down how the soak ended, durably, unless it has ended already; return whether it was now."""
    with settling(soak):
        if (soak / ENDED).exists():
            return False
        data = json.dumps(how.result(), indent=2).encode() + b"\n"
        files.replace(soak / ENDED, data, 0o640, owner)
    return True


# --- samples ---


def append(soak: Path, tick: int, sample: Sample, owner: files.Owner) -> bool:
    """Append a sample durably; return ``False``, with nothing written, when the soak has ended meanwhile.

    Raise :class:`DiskFull` and the like, with what was stored before left as it was.
    """
    line = f'{{"tick":{tick},{sample.to_json()[1:]}\n'.encode()
    path = soak / NAME
    with settling(soak), guarded("append a sample", path):
        if (soak / ENDED).exists():
            return False
        descriptor = _open(path, 0o640, owner)
        try:
            size = _whole(descriptor)
            if size + len(line) > _MAX_BYTES:
                raise Damaged("is full", path=path)
            try:
                written = os.pwrite(descriptor, line, size)
                if written != len(line):
                    raise SystemFault("only a part of a sample could be written", path=path)
                os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        files.sync_folder(soak)
    return True


def _open(path: Path, mode: int, owner: files.Owner) -> int:
    """Open a file to read and write, made if there is none; anything but a regular file is refused."""
    try:
        return files.open_new(path, mode, owner)
    except FileExistsError:
        if path.is_symlink():
            raise Damaged("is a symbolic link, not a file", path=path) from None
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged("is not a regular file", path=path)
    return descriptor


def _whole(descriptor: int) -> int:
    """Cut off a line that a killed sampler left unfinished; return where the next one begins."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _MAX_LINE_BYTES, max(0, size - _MAX_LINE_BYTES))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(descriptor, size - torn)
    return size - torn


@dataclass(frozen=True)
class Line:
    """A finished line of the store: its tick and its sample, or ``None`` twice where it is none of ours."""

    tick: int | None
    sample: Sample | None


def read(soak: Path) -> Iterator[Line]:
    """Yield the finished lines in their order, in memory that does not grow with their number.

    A line that cannot be read is told as such and not passed over: samples are evidence.
    """
    source = _samples(soak)
    if source is None:
        return
    with guarded("read the samples", soak / NAME), source:
        while line := source.readline(_MAX_LINE_BYTES):
            if line.endswith(b"\n"):
                yield _line(line)
            elif len(line) == _MAX_LINE_BYTES:
                yield Line(None, None)
                return  # what follows is no line of ours either


def _samples(soak: Path) -> BinaryIO | None:
    """Open the samples, ``None`` when there are none; anything but a regular file is refused."""
    path = soak / NAME
    with guarded("read the samples", path):
        if path.is_symlink():
            raise Damaged("is a symbolic link, not a file", path=path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Damaged("is not a regular file", path=path)
    return os.fdopen(descriptor, "rb")


def _line(data: bytes) -> Line:
    try:
        text = data.decode().rstrip("\n")
        found = _TICK.match(text)
        if found is None:
            return Line(None, None)
        return Line(int(found[1]), Sample.from_json("{" + text[found.end() :]))
    except (UnicodeDecodeError, Damaged):
        return Line(None, None)


def digest(soak: Path) -> str | None:
    """Return the SHA-256 of the samples, ``None`` when there are none."""
    source = _samples(soak)
    if source is None:
        return None
    found = hashlib.sha256()
    with guarded("read the samples", soak / NAME), source:
        while chunk := source.read(files.CHUNK):
            found.update(chunk)
    return found.hexdigest()


# --- logs ---


def open_log(soak: Path, owner: files.Owner) -> int:
    """Return a descriptor that appends to the sampler's own log; one that grew too large begins anew."""
    path = soak / LOG
    with guarded("open the sampler's log", path):
        os.close(_open(path, 0o640, owner))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
        if os.fstat(descriptor).st_size > _MAX_LOG:
            os.ftruncate(descriptor, 0)
    return descriptor


def said(soak: Path, since: int = 0) -> tuple[int, str]:
    """Return how long the sampler's log is, and its last line if that was written after ``since`` bytes."""
    try:
        data = files.read_bounded(soak / LOG, _MAX_LOG * 2)
    except (NotFound, Damaged):
        return 0, ""
    lines = data[since:].decode("utf-8", "replace").split("\n")
    return len(data), one_line(next((line for line in reversed(lines) if line.strip()), ""))


def log(soak: Path, sample: Sample, owner: files.Owner) -> None:
    """Append what each call said to its log. For people: not synced, and no reason to fail."""
    for name, file in LOGS.items():
        seen: Probe[Any] = getattr(sample, name)
        said = f"error {seen.error.reason}: {seen.error.msg}" if seen.error else f"ok {_told(seen.value)}"
        text = one_line(f"{times.to_text(seen.at)} {said}", _MAX_LOG_LINE) + "\n"
        with guarded("write the log", soak / file):
            descriptor = _open(soak / file, 0o640, owner)
            try:
                size = os.fstat(descriptor).st_size
                if size < _MAX_LOG_BYTES:
                    os.pwrite(descriptor, text.encode(), size)
            finally:
                os.close(descriptor)


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return json.dumps([{"code": one.code, "severity": one.severity} for one in value])
    if isinstance(value, dict):
        return json.dumps(value)
    return f"{value.state} {times.to_text(value.timestamp)}"
