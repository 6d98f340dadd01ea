# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard of a node: unless it is confirmed in time, the node goes back by itself.

It is a timer of the node's own that runs the node's command, so that a release which cuts the node off is
undone without anybody. Confirming and firing both hold the node's lock and look at the record first, so that
one of them wins and the other one sees it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from .. import programs, times
from ..errors import BadInput, Busy, RunbookError, Unsupported
from ..locks import node_lock
from ..outcome import Outcome
from . import begun, guard_units, record, states
from .folder import Folder
from .record import Entry

STATES = ("possible", "armed", "confirmed", "disarmed")
COMMAND = "/usr/local/bin/vvtv-runbook"
FACT = "rollback_guard"
MAX_SECONDS = 30 * 86_400.0
_TRIAL_SECONDS = 120.0
_INSTANTS = ("armed_at", "fires_at", "confirmed_at", "disarmed_at", "fired_at")
_GONE_BACK = (states.FAILED, states.ROLLED_BACK, states.NEEDS_OPERATOR)


class GuardFired(RunbookError):
    """The guard has taken the node back, or is about to; there is nothing to confirm any more."""

    code: ClassVar[str] = "guard_fired"


@dataclass(frozen=True)
class Request:
    """``state`` is one of :data:`STATES`; ``deadline`` (seconds from now, for ``armed``) is when it fires.

    A guard that is armed keeps its instant, unless ``extend`` asks for a later one. ``required`` makes it an
    error when there can be no guard. ``command`` is the node's command, ``options`` are its further words:
    where the node is and how to take it back. ``timeout`` is for the node's lock, in seconds.
    """

    state: str
    deadline: float | None = None
    extend: bool = False
    required: bool = False
    command: str = COMMAND
    options: tuple[str, ...] = ()
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        if self.state not in STATES:
            raise BadInput(f"state must be one of {', '.join(STATES)}, not {self.state[:40]!r}")
        if self.state == "armed" and (self.deadline is None or not 0 < self.deadline <= MAX_SECONDS):
            raise BadInput(f"to arm it a deadline is needed, above 0 and at most {MAX_SECONDS:g} seconds")
        if not os.path.isabs(self.command):
            raise BadInput("the node's command must be an absolute path")


@dataclass(frozen=True)
class Guard:
    """What the record says of it; each an instant, or ``None`` while that has not happened."""

    armed_at: datetime | None = None
    fires_at: datetime | None = None
    confirmed_at: datetime | None = None
    disarmed_at: datetime | None = None
    fired_at: datetime | None = None

    @classmethod
    def of(cls, entries: tuple[Entry, ...]) -> Guard:
        """Return the newest word of the record; one that cannot be read is none."""
        said = record.fact(entries, FACT)
        if not isinstance(said, Mapping):
            return cls()
        try:
            return cls(**{name: _instant(said.get(name)) for name in _INSTANTS})
        except BadInput:
            return cls()

    @property
    def armed(self) -> bool:
        """Whether it waits."""
        over = (self.confirmed_at, self.disarmed_at, self.fired_at)
        return self.armed_at is not None and not any(over)

    def facts(self, why: str | None = None, available: bool = True) -> dict[str, Any]:
        """Return it for a program to read, and for the record."""
        instants = {
            name: None if getattr(self, name) is None else times.to_text(getattr(self, name))
            for name in _INSTANTS
        }
        return {
            "available": available,
            "armed": self.armed,
            "fired": self.fired_at is not None,
            **instants,
            "why": why,
        }


def _instant(text: Any) -> datetime | None:
    return times.parse(text) if isinstance(text, str) else None


def options_of(folder: Folder, more: Mapping[str, Iterable[str] | str | float | None]) -> tuple[str, ...]:
    """Return the words that tell the node's command where everything is; nothing is left to defaults."""
    node = folder.node
    words: list[str] = ["--root", os.fspath(node.root), "--canary-dir", os.fspath(folder.path.parent)]
    for name in ("state_db", "owner_card", "backup_dir", "key_dir"):
        words += [_option(name), os.fspath(getattr(node, name))]
    for name, value in more.items():
        values = [value] if isinstance(value, (str, float, int)) else list(value or ())
        for one in values:
            words += [_option(name), f"{one:g}" if isinstance(one, float) else str(one)]
    return tuple(words)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


# --- what an operator asks for ---


def bring_about(folder: Folder, request: Request, check: bool = False) -> Outcome:
    """Bring about that the guard of a node is armed, confirmed or disarmed; or ask whether it is possible.

    Facts: ``guard`` and ``record``. Raise :class:`GuardFired` when the node has gone back by it or is about
    to, :class:`Unsupported` when there can be none although it is ``required``, and :class:`NotFound` when
    the rollout never began here.
    """
    outcome = Outcome()
    if request.state == "possible":
        present, why = Guard.of(record.read(folder.record)), _why_none(request)
        tell(folder, present, outcome, why, available=why is None)
        return outcome
    begun.require(folder, to_act=request.state == "armed")
    act = {"armed": _arm, "confirmed": _confirm, "disarmed": _disarm}[request.state]
    if check:
        act(folder, request, outcome, True)
        return outcome
    try:
        with node_lock(folder.node, f"guard of rollout {folder.rollout} {request.state}", request.timeout):
            act(folder, request, outcome, False)
    except Busy as exc:
        if guard_units.is_firing(folder.rollout):
            raise _fired(folder, "is taking the node back just now") from exc
        raise
    return outcome


def _arm(folder: Folder, request: Request, outcome: Outcome, check: bool) -> None:
    entries = record.read(folder.record)
    state, present, now = record.last(entries), Guard.of(entries), times.now()
    why = _why_none(request)
    if why is not None:
        if request.required:
            raise Unsupported(f"there can be no guard: {why}", path=folder.node.root)
        tell(folder, present, outcome, why, available=False)
        return
    if present.fired_at is not None and state in _GONE_BACK:
        raise _fired(folder)
    if state is None or state in (*states.SETTLED, *_GONE_BACK):
        raise BadInput(f"the node is {state or 'not in this rollout yet'}: there is nothing to guard")
    wanted = _wanted(folder, request, present, now)
    if wanted.fires_at is None:
        raise BadInput("a guard needs a deadline")
    argv = (request.command, "rollback", "--rollout", folder.rollout, "--guard", *request.options)
    units = guard_units.Units.of(folder.rollout, folder.node.root, argv, wanted.fires_at)
    tell(folder, wanted, outcome)
    if wanted == present and guard_units.in_place(units):
        return
    if not check:
        _try(argv)
        # First the record: a timer that the record does not know of does nothing.
        _note(folder, state, wanted)
        guard_units.install(units)
    outcome.did(f"{'arm' if check else 'armed'} the guard, which fires at {times.to_text(wanted.fires_at)}")


def _wanted(folder: Folder, request: Request, present: Guard, now: datetime) -> Guard:
    fires_at = _next_second(now + timedelta(seconds=request.deadline or 0.0))
    if not present.armed or present.fires_at is None:
        return Guard(now, fires_at)
    if present.fires_at <= now and not guard_units.is_waiting(folder.rollout):
        return Guard(now, fires_at)  # its timer is gone: somebody has removed it
    return replace(present, fires_at=fires_at) if request.extend and fires_at > present.fires_at else present


def _next_second(instant: datetime) -> datetime:
    """A timer knows whole seconds; it must not fire too early."""
    return instant.replace(microsecond=0) + timedelta(seconds=math.ceil(instant.microsecond / 1e6))


def _why_none(request: Request) -> str | None:
    """Return why there can be no guard on this node, ``None`` when there can be one."""
    why = guard_units.why_unavailable()
    if why is not None:
        return why
    path = Path(request.command)
    if not os.access(path, os.X_OK) or not path.is_file():
        return f"{path} is not there; the role node installs it"
    return None


def _try(argv: tuple[str, ...]) -> None:
    """Prove that the command understands what it will be told, before anybody relies on it."""
    programs.require((*argv, "--check"), _TRIAL_SECONDS)


def _confirm(folder: Folder, request: Request, outcome: Outcome, check: bool) -> None:
    entries = record.read(folder.record)
    state, present = record.last(entries), Guard.of(entries)
    if present.fired_at is not None:
        raise _fired(folder)
    if present.armed_at is None:
        tell(folder, present, outcome, guard_units.why_unavailable() or "it was never armed", False)
        return
    if state in _GONE_BACK and not present.confirmed_at:
        raise BadInput(f"the node is {state}: there is nothing to confirm", path=folder.record)
    _end(folder, state, present, replace(present, confirmed_at=times.now()), outcome, check, "confirm")


def _disarm(folder: Folder, request: Request, outcome: Outcome, check: bool) -> None:
    entries = record.read(folder.record)
    present = Guard.of(entries)
    ended = replace(present, disarmed_at=times.now())
    _end(folder, record.last(entries), present, ended, outcome, check, "disarm")


def _end(
    folder: Folder,
    state: str | None,
    present: Guard,
    ended: Guard,
    outcome: Outcome,
    check: bool,
    what: str,
) -> None:
    """First the record: from then on the timer, should it still come, does nothing."""
    if present.armed:
        if not check and state is not None:
            _note(folder, state, ended)
        outcome.did(f"{what}{'' if check else 'ed'} the guard")
    if check:
        if guard_units.is_there(folder.rollout):
            outcome.did("remove its timer")
    elif guard_units.remove(folder.rollout):
        outcome.did("removed its timer")
    tell(folder, ended if present.armed else present, outcome)


def _note(folder: Folder, state: str, guard: Guard) -> None:
    facts = {FACT: guard.facts(), "guard": guard.facts()}
    record.append(folder.record, state, facts, owner=folder.node.owner())


def tell(
    folder: Folder, guard: Guard, outcome: Outcome, why: str | None = None, available: bool = True
) -> None:
    outcome.facts["guard"] = guard.facts(why, available)
    outcome.facts["record"] = {"state": record.last(record.read(folder.record))}


def _fired(folder: Folder, how: str = "has fired") -> GuardFired:
    entries = record.read(folder.record)
    state = record.last(entries)
    exc = GuardFired(
        f"the guard {how}: the node is {state}",
        path=folder.record,
        hint="a new candidate needs a new rollout id",
    )
    exc.facts = {"guard": Guard.of(entries).facts(), "record": {"state": state}}
    return exc
