# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger of a rollout: what the states of all its hosts come to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import times
from ..probes import one_line
from . import record, states
from .plan import Plan
from .record import Entry

DONE = "done"
SOAKING = "soaking"
FAILED = "failed"
FROZEN = "frozen"
UNFINISHED = "unfinished"

GOOD = (states.PASSED, states.PROMOTED)
# A host that a run lost in one of these is in a state that nobody knows.
OPEN = (states.IN_PROGRESS, states.SOAKING, states.FAILED)
_MAX_REASON = 500
_SETTLING = ("rollback", "reconcile")
_IN_DOUBT = (states.UNKNOWN, states.HELD, states.FAILED, states.NEEDS_OPERATOR, states.IN_PROGRESS)

Entries = Mapping[str, tuple[Entry, ...]]


@dataclass(frozen=True)
class Row:
    """One host: its batch, its state, since when (RFC 3339), and what the record says of it."""

    host: str
    batch: str
    state: str
    since: str | None
    verdict: str | None
    reason: str | None
    rollback: Any
    guard: Any

    def result(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return dict(vars(self))


def state_of(entries: tuple[Entry, ...]) -> str:
    """Return a host's state; one without a record is planned."""
    return record.last(entries) or states.PLANNED


def rows(plan: Plan, known: Entries) -> tuple[Row, ...]:
    """Return every host of the plan in order of its turns."""
    return tuple(
        _row(host, plan.label_of(number), known.get(host, ()))
        for number, batch in enumerate(plan.batches)
        for host in batch
    )


def _row(host: str, batch: str, entries: tuple[Entry, ...]) -> Row:
    state = state_of(entries)
    present = record.present(entries)  # a reason for a former state is history
    verdict = record.fact(entries, "verdict")
    reason = record.fact(present, "reason")
    if reason is None and state in (states.ROLLED_BACK, states.NEEDS_OPERATOR):
        reason = record.fact(entries, "reason")
    said = verdict.get("result") if isinstance(verdict, Mapping) else None
    return Row(
        host,
        batch,
        state,
        times.to_text(present[0].at) if present else None,
        None if said is None else one_line(str(said), 20),
        None if reason is None else one_line(str(reason), _MAX_REASON),
        record.fact(entries, "rollback"),
        record.fact(entries, "guard"),
    )


def bad(known: Entries) -> tuple[str, ...]:
    """Return the hosts that count against the budget of the whole fleet."""
    return tuple(host for host, entries in known.items() if state_of(entries) in states.BAD)


def phase(plan: Plan, known: Entries, budget: int = 0) -> str:
    """Return what the rollout is: frozen, failed, soaking, done or unfinished, the first that holds.

    Within the budget a host that failed does not keep a rollout from being done.
    """
    found = [state_of(known.get(host, ())) for host in plan.hosts]
    if states.NEEDS_OPERATOR in found:
        return FROZEN
    if sum(state in states.BAD for state in found) > budget:
        return FAILED
    if states.SOAKING in found:
        return SOAKING
    if all(state == states.PROMOTED or state in states.BAD for state in found):
        return DONE
    return UNFINISHED


def succeeded(plan: Plan, known: Entries, budget: int, part: str | None) -> bool:
    """Whether what a run was for came about, so far as it can have.

    A run that puts hosts back, or settles them (``part``), has succeeded when no host is in doubt; any other
    one when no more hosts are bad than the budget allows.
    """
    found = [state_of(known.get(host, ())) for host in plan.hosts]
    if part in _SETTLING:
        return not any(state in _IN_DOUBT for state in found)
    return phase(plan, known, budget) in (DONE, SOAKING, UNFINISHED)


def next_step(plan: Plan, known: Entries, again: str, budget: int = 0) -> str:
    """Return what to do next in words, with the command; ``again`` are its options."""
    found = [state_of(known.get(host, ())) for host in plan.hosts]
    now = phase(plan, known, budget)
    doubtful = [state for state in found if state in _IN_DOUBT]
    if now == FROZEN:
        return f"mend the hosts that need an operator, then ansible-playbook vvtv.runbook.reconcile {again}"
    if now == FAILED and doubtful:
        return f"settle the hosts in doubt: ansible-playbook vvtv.runbook.reconcile {again}"
    if now == FAILED:
        if any(state in GOOD or state == states.SOAKING for state in found):
            return (
                "no further host is touched; a new candidate needs a new rollout, and what has this one"
                f" goes back with ansible-playbook vvtv.runbook.rollback {again}"
            )
        return "no further host is touched; a new candidate needs a new rollout"
    if now == SOAKING:
        return f"when the soaks have ended: ansible-playbook vvtv.runbook.collect {again}"
    if now == DONE:
        return "nothing is left to do"
    if all(state_of(known.get(host, ())) in GOOD for host in plan.canaries):
        return f"the canaries have passed: ansible-playbook vvtv.runbook.promote {again}"
    return f"go on with ansible-playbook vvtv.runbook.canary {again}"
