# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The availability samples of a node, on the node: ``runtime/slo/YYYY-MM-DD.jsonl``, one line per sample.

Lines are only ever appended, by one write that is synced, under a kernel lock of the store's own: a sampler
waits neither for a backup that holds the node's lock nor does it make one wait. ``kill -9`` can leave the
last line torn; no reader takes it for a sample, and the next append cuts it off. Files are named after the
day (UTC) of the samples in them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from . import files, times
from .availability import AvailabilitySample, require_interval
from .errors import BadInput, Busy, Damaged, SystemFault, Unsupported, guarded
from .node import Node

FOLDER = "slo"
LOCK = ".lock"
KEEP_DAYS = 40
MAX_KEEP_DAYS = 3660
MAX_LINE_BYTES = 2048
MAX_DAY_BYTES = 64 << 20
_MAX_REASONS = 16
_MAX_TEXT = 64
_HUGE = 1e15  # no interval, buffer or latency is; NaN is not below it either
_POLL_SECONDS = 0.02
_DAY_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl", re.ASCII)


@dataclass(frozen=True)
class Appended:
    """Where a sample went, and which days were too old to be kept."""

    path: Path
    pruned: list[Path]


def folder_of(node: Node) -> Path:
    """Return the folder of the node's samples."""
    return node.runtime / FOLDER


def path_of(node: Node, at: datetime) -> Path:
    """Return the file that a sample of the instant ``at`` belongs to."""
    return folder_of(node) / f"{times.to_text(at)[:10]}.jsonl"


def to_line(sample: AvailabilitySample) -> bytes:
    """Return a sample as the store's line, of at most ``MAX_LINE_BYTES``: further reasons are left out."""
    fields = sample.result()
    fields["reasons"] = [code[:_MAX_TEXT] for code in sample.reasons[:_MAX_REASONS]]
    fields["state"] = sample.state if sample.state is None else sample.state[:_MAX_TEXT]
    while len(line := json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()) >= MAX_LINE_BYTES:
        fields["reasons"].pop()
    return line + b"\n"


def of_line(line: bytes) -> AvailabilitySample:
    """Return the sample that a line holds; fields it does not know are passed over.

    Raise :class:`BadInput` when it holds none.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadInput("is no JSON") from exc
    if not isinstance(found, dict) or not isinstance(found.get("available"), bool):
        raise BadInput("does not say whether the station was available")
    ts, reasons, state = found.get("ts"), found.get("reasons"), found.get("state")
    if not isinstance(ts, str) or not isinstance(reasons, list) or len(reasons) > _MAX_REASONS:
        raise BadInput("has no instant or no list of reasons")
    interval = _number(found, "interval")
    if interval is None:
        raise BadInput("has no interval")
    return AvailabilitySample(
        times.parse(ts),
        found["available"],
        require_interval(interval),
        tuple(str(code)[:_MAX_TEXT] for code in reasons),
        state[:_MAX_TEXT] if isinstance(state, str) else None,
        _number(found, "buffer"),
        _number(found, "latency_ms"),
    )


def _number(found: dict[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_HUGE < value < _HUGE:
        raise BadInput(f"{name} is no number")
    return value


# --- writing ---


def append(
    node: Node, sample: AvailabilitySample, keep_days: int = KEEP_DAYS, timeout: float = 30.0
) -> Appended:
    """Append a sample durably, then remove the files of days that are older than ``keep_days``.

    ``timeout`` (seconds) is how long to wait for others who append. Raise :class:`Busy` when it is over,
    :class:`DiskFull` when there is no room: what was stored before stays as it was.
    """
    line, path, owner = to_line(sample), path_of(node, sample.at), node.owner()
    stale_before = require_keep_days(keep_days)
    files.make_folder(node.runtime, 0o755, owner)
    files.make_folder(path.parent, 0o700, owner)
    with _locked(path.parent, owner, timeout):
        with guarded("append a sample", path):
            _append(path, line, owner)
        pruned = prunable(node, sample.at, stale_before)
        for old in pruned:
            files.remove(old)
        if pruned:
            with guarded("sync", path.parent):
                files.sync_folder(path.parent)
    return Appended(path, pruned)


def require_keep_days(days: int) -> int:
    """Return for how many days samples are kept, or raise :class:`BadInput`."""
    if not 1 <= days <= MAX_KEEP_DAYS:
        raise BadInput(f"keep_days must be from 1 to {MAX_KEEP_DAYS}, not {days}")
    return days


@contextmanager
def _locked(folder: Path, owner: files.Owner, timeout: float) -> Iterator[None]:
    path = folder / LOCK
    with guarded("lock the samples", path):
        descriptor, _new = _open(path, owner)
    try:
        deadline = time.monotonic() + timeout
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                hint = "wait for it to end, or raise lock_timeout"
                raise Busy("another process is writing the samples", path=path, hint=hint)
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path, owner: files.Owner) -> tuple[int, bool]:
    """Open a file to read and write, and say whether it is new; anything but a regular file is refused."""
    try:
        return files.open_new(path, 0o600, owner), True
    except FileExistsError:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Damaged("is not a regular file", path=path, hint="move it away")
        owner.take(descriptor)  # whoever made it may have been killed before this
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, False


def _append(path: Path, line: bytes, owner: files.Owner) -> None:
    descriptor, new = _open(path, owner)
    try:
        size = _mended_size(descriptor)
        if size > MAX_DAY_BYTES:
            raise Unsupported(
                f"holds more than {MAX_DAY_BYTES} bytes of samples of one day",
                path=path,
                hint="sample less often",
            )
        try:
            written = os.pwrite(descriptor, line, size)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        if written != len(line):
            os.ftruncate(descriptor, size)
            raise SystemFault("only a part of a sample could be written", path=path, hint="look at the disk")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        files.sync_folder(path.parent)


def _mended_size(descriptor: int) -> int:
    """Cut off a last line that was torn, and return where the next one begins.

    A whole sample that only lacks its line end is kept, and so is what is too long to be a line of ours.
    """
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return size
    if _is_sample(torn) or len(torn) == MAX_LINE_BYTES:
        return size + os.pwrite(descriptor, b"\n", size)
    os.ftruncate(descriptor, size - len(torn))
    return size - len(torn)


def _is_sample(line: bytes) -> bool:
    try:
        of_line(line)
    except BadInput:
        return False
    return True


def prunable(node: Node, now: datetime, keep_days: int) -> list[Path]:
    """Return the files of days more than ``keep_days`` ago.

    None is too old as long as there are no samples of a day in between: a clock that jumped ahead must not
    take the history with it. After a pause that long they go a day later.
    """
    today = _day(now)
    oldest_kept = today - timedelta(days=keep_days)
    days = _days(folder_of(node))
    if not any(oldest_kept <= day < today for day in days):
        return []
    return [path for day, path in sorted(days.items()) if day < oldest_kept]


def _day(instant: datetime) -> date:
    return date.fromisoformat(times.to_text(instant)[:10])


def _days(folder: Path) -> dict[date, Path]:
    """Return the files of the store by their days; anything else in the folder is none of ours."""
    found = {}
    with guarded("list the samples", folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            named = _DAY_FILE.fullmatch(path.name)
            try:
                day = date.fromisoformat(named[1]) if named else None
            except ValueError:
                day = None
            if day is not None:
                found[day] = path
    return found


# --- reading ---


@dataclass
class History:
    """A node's samples. What :meth:`samples` met is counted while it is read.

    ``malformed`` counts lines that are no samples, ``future`` samples later than now, which are passed over;
    ``taken`` counts the others, ``reasons`` how many of them named each code, ``last`` is the newest.
    """

    node: Node
    now: datetime
    malformed: int = 0
    future: int = 0
    taken: int = 0
    last: AvailabilitySample | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def first(self) -> datetime | None:
        """Return the instant of the first sample of all, or ``None`` when there is none."""
        for _day_of, path in sorted(_days(folder_of(self.node)).items()):
            known = [sample.at for sample in self._read(path) if sample is not None and sample.at <= self.now]
            if known:
                return min(known)
        return None

    def samples(self, since: datetime, margin: timedelta = timedelta()) -> Iterator[AvailabilitySample]:
        """Yield the samples from the day of ``since`` on, in the order of time, one day in memory at once.

        Those of a ``margin`` before are given out as well, and are in no count.
        """
        for day, path in sorted(_days(folder_of(self.node)).items()):
            if day < _day(since - margin):
                continue
            found = list(self._read(path))
            good = sorted((sample for sample in found if sample is not None), key=lambda sample: sample.at)
            self.malformed += len(found) - len(good)
            for sample in good:
                if sample.at > self.now:
                    self.future += 1
                    continue
                self.last = sample
                if sample.at >= since or not margin:
                    self.taken += 1
                    self.reasons.update(sample.reasons)
                yield sample

    def _read(self, path: Path) -> Iterator[AvailabilitySample | None]:
        """Yield what each line of a day holds, ``None`` for one that is no sample of that day."""
        with guarded("read the samples", path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                return  # pruned since the folder was listed
            with os.fdopen(descriptor, "rb") as source:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_DAY_BYTES + MAX_LINE_BYTES:
                    hint = "move it away"
                    raise Damaged("is no file of samples, or too large for one", path=path, hint=hint)
                for line in _lines(source):
                    yield _sample_of(line, path)


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """Yield every whole line, and nothing in place of one that is too long.

    A last line without an end counts only if it is a sample: else it is torn, or just being written.
    """
    while line := source.readline(MAX_LINE_BYTES):
        rest = line
        while len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = source.readline(MAX_LINE_BYTES)
        if rest is not line:
            yield b""
        elif line.endswith(b"\n") or _is_sample(line):
            yield line


def _sample_of(line: bytes, path: Path) -> AvailabilitySample | None:
    try:
        sample = of_line(line)
    except BadInput:
        return None
    return sample if times.to_text(sample.at)[:10] == path.stem else None
