# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of one node in one rollout: a file to which lines are only ever appended, each of them synced.

One line is one JSON object: ``v``, ``n`` (1, 2, ...), ``at`` (RFC 3339, UTC), ``state``, ``by`` (who), and
``facts``. A line that a killed writer left unfinished is no line: readers pass over it and the next writer
removes it. The same file is kept on the node and in the store on the bastion.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import files, times
from ..errors import BadInput, Busy, Damaged, NotFound, guarded
from ..locks import wait_for
from ..probes import one_line
from .states import may_follow, require_state

VERSION = 1
MAX_BYTES = 4 << 20
MAX_LINE = 64 << 10
MAX_WHO = 200


class OutOfTurn(BadInput):
    """A state that may not follow the one a node is in."""

    code = "out_of_turn"


@dataclass(frozen=True)
class Entry:
    """One transition, or one more fact about the state a node is in."""

    number: int
    at: datetime
    state: str
    by: str
    facts: dict[str, Any] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {
            "n": self.number,
            "at": times.to_text(self.at),
            "state": self.state,
            "by": self.by,
            "facts": self.facts,
        }

    def line(self) -> bytes:
        """Return it as the record holds it."""
        data = json.dumps({"v": VERSION, **self.result()}, separators=(",", ":"), allow_nan=False)
        if len(data) >= MAX_LINE:
            raise BadInput(f"a transition's facts must stay below {MAX_LINE} bytes")
        return data.encode() + b"\n"


def who() -> str:
    """Return who writes: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name; OSError from Python 3.13 on
        user = f"uid{os.geteuid()}"
    return one_line(f"{user}@{socket.gethostname()}", MAX_WHO)


def read(path: Path) -> tuple[Entry, ...]:
    """Return what the record holds, oldest first; nothing when there is none.

    Raise :class:`Damaged` when a finished line is none of ours: a record is evidence, so nobody guesses.
    """
    try:
        data = files.read_bounded(path, MAX_BYTES)
    except NotFound:
        return ()
    return _entries(data, path)


def of_results(found: list[Any], path: Path) -> tuple[Entry, ...]:
    """Return the entries that :meth:`Entry.result` gave, such as a node's answer; ``path`` is for messages.

    Raise :class:`Damaged` for anything else.
    """
    try:
        lines = [json.dumps({"v": VERSION, **item}, allow_nan=False) for item in found]
    except (TypeError, ValueError, RecursionError) as exc:
        raise Damaged("is no record of a node", path=path) from exc
    return _entries("".join(f"{line}\n" for line in lines).encode(), path)


def last(entries: tuple[Entry, ...]) -> str | None:
    """Return the state that holds, ``None`` when there is none yet."""
    return entries[-1].state if entries else None


def present(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the entries of the state that holds, since it began."""
    begun = len(entries)
    while begun and entries[begun - 1].state == entries[-1].state:
        begun -= 1
    return entries[begun:]


def fact(entries: tuple[Entry, ...], name: str) -> Any:
    """Return the newest fact of that name in any state, or ``None``."""
    return next((entry.facts[name] for entry in reversed(entries) if name in entry.facts), None)


def append(
    path: Path,
    state: str,
    facts: Mapping[str, Any] | None = None,
    by: str | None = None,
    owner: files.Owner | None = None,
    timeout: float = 30.0,
) -> Entry | None:
    """Append a transition durably and return it; ``None`` when the newest entry says the same already.

    The folder must exist. Raise :class:`OutOfTurn` for a state that may not follow, and :class:`Busy` when
    another writer does not come to an end within ``timeout`` seconds.
    """
    require_state(state)
    told = plain(facts or {})
    with guarded("write the record", path):
        descriptor = _open(path, owner or files.Owner.of(path.parent))
        try:
            _lock(descriptor, path, timeout)
            data = _read_all(descriptor)
            entries = _entries(data, path)
            before = last(entries)
            if known(entries, state, told):
                return None
            if not may_follow(state, before):
                raise out_of_turn(state, before, path)
            entry = Entry(len(entries) + 1, times.now(), state, one_line(by or who(), MAX_WHO), told)
            _write(descriptor, data, entry)
        finally:
            os.close(descriptor)
        files.sync_folder(path.parent)
    return entry


def out_of_turn(state: str, before: str | None, path: Path) -> OutOfTurn:
    """Return the error for a state that may not follow."""
    return OutOfTurn(f"the node is {before or 'not in this rollout'}: it cannot become {state}", path=path)


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they are once they were written; raise :class:`BadInput` for what JSON cannot hold."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(facts), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadInput(f"facts cannot be kept as JSON: {str(exc)[:80]}") from exc
    return found


def known(entries: tuple[Entry, ...], state: str, facts: Mapping[str, Any]) -> bool:
    """Whether ``state`` holds and its entries say all of these facts, the newest word of each counting."""
    if last(entries) != state:
        return False
    said: dict[str, Any] = {}
    for entry in present(entries):
        said.update(entry.facts)
    return all(name in said and said[name] == value for name, value in plain(facts).items())


def _open(path: Path, owner: files.Owner) -> int:
    try:
        return files.open_new(path, 0o644, owner)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)


def _lock(descriptor: int, path: Path, timeout: float) -> None:
    def busy() -> Busy:
        return Busy("somebody else writes the record", path=path, hint="run again")

    wait_for(descriptor, time.monotonic() + timeout, busy)


def _read_all(descriptor: int) -> bytes:
    return os.pread(descriptor, MAX_BYTES + 1, 0)


def _write(descriptor: int, data: bytes, entry: Entry) -> None:
    line = entry.line()
    whole = data.rfind(b"\n") + 1
    if whole + len(line) > MAX_BYTES:
        raise Damaged("the record is full")
    os.ftruncate(descriptor, whole)
    written = os.pwrite(descriptor, line, whole)
    if written != len(line):
        os.ftruncate(descriptor, whole)
        raise OSError(28, "No space left on device")
    os.fsync(descriptor)


def _entries(data: bytes, path: Path) -> tuple[Entry, ...]:
    if len(data) > MAX_BYTES:
        raise Damaged(f"is larger than {MAX_BYTES} bytes", path=path)
    lines = data.split(b"\n")[:-1]  # what follows the last newline is not finished
    return tuple(_entry(line, number, path) for number, line in enumerate(lines, 1))


def _entry(line: bytes, number: int, path: Path) -> Entry:
    try:
        found = json.loads(line)
        if found["v"] != VERSION or found["n"] != number:
            raise ValueError("another version, or out of order")
        require_state(found["state"])
        if not isinstance(found["facts"], dict) or not isinstance(found["by"], str):
            raise TypeError("facts or by")
        return Entry(number, times.parse(found["at"]), found["state"], found["by"], found["facts"])
    except (ValueError, TypeError, KeyError, RecursionError, BadInput) as exc:
        hint = "look at it; a record is never mended by itself"
        raise Damaged(f"line {number} is no transition: {str(exc)[:80]}", path=path, hint=hint) from exc
