# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the store learns from a node: both keep a record, and either may know more than the other.

A node is ahead when it acted by itself, as a guard does, or when the store was lost: the store then takes
over each of its transitions. Good news reach the store only that way, from the node. The store is ahead when
it noted something that the node could not be told: bad news, which hold, or a turn that was about to begin,
which then never did. A node that has lost its record is ``UNKNOWN`` until somebody settles it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import files, times
from ..errors import Busy
from . import record, states
from .record import Entry
from .runs import Run
from .store import CONFIRMED, EVIDENCE, MAX_EVIDENCE, Store

# Noted in the store before the node is told; any other state is noted when the node has it.
STORE_FIRST = (states.IN_PROGRESS, states.FAILED, states.HELD, states.NEEDS_OPERATOR)
# The store's alone: a node cannot know that it was not reached, nor that its turn is still to come.
STORE_ONLY = (states.UNKNOWN, states.PLANNED)
LOST = "node_record_lost"


@dataclass
class Learned:
    """What was noted in the store, in words, and what the operator has to know."""

    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def require_free(store: Store, run: Run) -> None:
    """Raise :class:`Busy` while another run that is alive has the rollout."""
    other = store.other_run(run)
    if other is not None:
        raise Busy(
            f"{other.holder} has rollout {store.rollout} until {times.to_text(other.expires_at)}",
            path=store.lease_file,
            hint="let that run end, or take the rollout from it with a reason (break_glass of rollout_plan)",
        )


def announce(store: Store, host: str, state: str, facts: Mapping[str, Any], by: str | None) -> bool:
    """Note in the store what the node is about to be told; return whether that is news.

    What may not follow there is left to the node to decide, since it may know more.
    """
    if state not in STORE_FIRST:
        return False
    if not states.may_follow(state, record.last(store.entries(host))):
        return False
    return store.append(host, state, dict(facts), by) is not None


def note_alone(
    store: Store, host: str, state: str, facts: Mapping[str, Any], by: str | None, check: bool = False
) -> bool:
    """Note one of :data:`STORE_ONLY`; return whether that is news, or with ``check`` would be."""
    entries = store.entries(host)
    if not states.may_follow(state, record.last(entries)):
        raise record.out_of_turn(state, record.last(entries), store.host_file(host))
    if check:
        return not record.known(entries, state, facts)
    return store.append(host, state, dict(facts), by) is not None


def learn(store: Store, host: str, told: Mapping[str, Any]) -> Learned:
    """Take over what a node told of itself: its transitions, a copy of its record, the evidence."""
    learned = Learned()
    path = store.node_file(host)
    entries = record.of_results(told.get("entries") or [], path)
    ours = store.entries(host)
    mirror = store.mirror(host)
    if entries[: len(mirror)] != mirror or len(entries) < _confirmed(ours):
        _lose(store, host, bool(mirror), len(entries), learned)
    else:
        for entry in entries[_confirmed(ours) :]:
            _adopt(store, host, entry, learned)
    store.keep_mirror(host, entries)
    _settle(store, host, record.last(entries), learned)
    _keep_evidence(store, host, told.get("evidence") or {}, learned)
    return learned


def _confirmed(ours: tuple[Entry, ...]) -> int:
    """Return the number of the newest entry of the node's record that the store knows of."""
    for entry in reversed(ours):
        found = entry.facts.get(CONFIRMED)
        if isinstance(found, dict) and isinstance(found.get("n"), int):
            return int(found["n"])
    return 0


def _lose(store: Store, host: str, mirrored: bool, left: int, learned: Learned) -> None:
    """Note that the node's record is not the one it was; the ``left`` entries of it are not believed."""
    kept = store.put_mirror_aside(host) if mirrored else None
    state = record.last(store.entries(host))
    said = f"{host} was {state} and has lost its record of this rollout, or part of it"
    learned.warnings.append(said + (f"; what it held is kept in {kept}" if kept else ""))
    where = {"n": left, "at": times.to_text(times.now())}
    facts = {LOST: str(kept) if kept else True, "reason": said, CONFIRMED: where}
    if states.may_follow(states.UNKNOWN, state):
        store.append(host, states.UNKNOWN, facts)
        learned.actions.append(f"noted that {host} is UNKNOWN")
    else:
        store.append(host, state or states.UNKNOWN, facts)


def _adopt(store: Store, host: str, entry: Entry, learned: Learned) -> None:
    ours = store.entries(host)
    present, where = record.last(ours), {"n": entry.number, "at": times.to_text(entry.at)}
    steps = _way(present, entry.state)
    if not steps:
        learned.warnings.append(f"{host} became {entry.state} although the store has it as {present}")
        return
    for step in steps[:-1]:
        store.append(host, step, {"reason": f"the node went on to {entry.state}"}, entry.by)
    facts = entry.facts
    if present == entry.state:
        facts = {
            name: value for name, value in facts.items() if not record.known(ours, present, {name: value})
        }
    else:
        learned.actions.append(f"learned that {host} is {entry.state}")
    store.append(host, entry.state, {**facts, CONFIRMED: where}, entry.by)


def _way(present: str | None, state: str) -> list[str]:
    """Return the states that lead from the store's to the node's; none when there is no way."""
    for steps in ([], [states.UNKNOWN], [states.PASSED], [states.UNKNOWN, states.PASSED]):
        way, at, possible = [*steps, state], present, True
        for step in way:
            possible, at = possible and states.may_follow(step, at), step
        if possible:
            return way
    return []


def _settle(store: Store, host: str, theirs: str | None, learned: Learned) -> None:
    """Bring the store's word and the node's together when neither has news for the other."""
    entries = store.entries(host)
    ours = record.last(entries)
    if ours == theirs or (ours == states.PLANNED and theirs is None):
        return
    unknown = ours == states.UNKNOWN
    if unknown and any(LOST in entry.facts for entry in record.present(entries)):
        return
    if theirs is None and (unknown or ours == states.IN_PROGRESS):
        reason = f"its turn never began: the store said {ours}, the node knows nothing of it"
        steps = [states.PLANNED] if unknown else [states.UNKNOWN, states.PLANNED]
    elif theirs is not None and unknown:
        reason, steps = "the node says so itself", _way(ours, theirs)
    else:
        learned.warnings.append(
            f"the store says that {host} is {ours}, the node says {theirs or 'nothing'};"
            " the store's word holds"
        )
        return
    for step in steps:
        store.append(host, step, {"reason": reason})
    learned.actions.append(f"noted that {host} is {steps[-1]}: {reason}")


def _keep_evidence(store: Store, host: str, texts: Mapping[str, Any], learned: Learned) -> None:
    given = {name: texts[name] for name in EVIDENCE if isinstance(texts.get(name), str)}
    found = {name: text.encode() for name, text in given.items() if len(text.encode()) <= MAX_EVIDENCE}
    state = record.last(store.entries(host))
    if not found or state is None:
        return
    if store.keep_evidence(host, found):
        learned.actions.append(f"fetched the evidence of {host}")
    digests = {name: files.sha256_hex(data) for name, data in store.evidence(host).items()}
    store.append(host, state, {"evidence": digests})
