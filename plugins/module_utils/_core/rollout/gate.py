# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""May the rollout go on? Asked before each host's turn (``batch``) and before a promotion.

Every answer comes from the record over the whole fleet; what is missing there, or cannot be read, closes the
gate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import RunbookError
from ..outcome import Outcome
from . import ledger, promotion, record, states
from .ledger import Entries, state_of
from .plan import Plan
from .runs import Run
from .store import LEASE_SECONDS, Store

BATCH = "batch"
PROMOTION = "promotion"
_MAX_TOLD = 8


class GateClosed(RunbookError):
    """The rollout may not go on; ``reasons`` has each with its ``code``."""

    code: ClassVar[str] = "gate_closed"

    def __init__(self, rollout: str, reasons: list[dict[str, Any]]) -> None:
        told = "; ".join(str(reason["reason"]) for reason in reasons[:_MAX_TOLD])
        more = f"; and {len(reasons) - _MAX_TOLD} more" if len(reasons) > _MAX_TOLD else ""
        super().__init__(f"rollout {rollout} may not go on: {told}{more}")
        self.reasons = reasons

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with every reason."""
        return {**super().result(), "reasons": self.reasons}


@dataclass(frozen=True)
class Ask:
    """What is asked: ``play_hosts`` are all hosts of the play, ``budget`` how many hosts may be bad.

    With ``wait`` the earlier batches have had their time, so that one of their hosts whose state is open was
    lost. ``silent`` says that the host whose turn it is does not answer. ``health`` says how each canary is
    now, as ``node_health`` returns it; ``max_age_hours`` is how old evidence may be; without ``strict`` a
    promotion that is blocked is noted and is no error.
    """

    run: Run
    play_hosts: Collection[str] = ()
    budget: int = 0
    wait: bool = True
    silent: bool = False
    max_age_hours: float = 24.0
    strict: bool = True
    health: Mapping[str, Any] = field(default_factory=dict)
    lease_seconds: float = LEASE_SECONDS
    by: str | None = None


def ask_batch(store: Store, host: str, ask: Ask, check: bool = False) -> Outcome:
    """Return whether it is a host's turn; raise :class:`GateClosed` when the rollout may not go on.

    Hosts that were lost are noted as ``UNKNOWN``: those of earlier batches, and the host itself if it is
    silent. Facts: ``gate``; its ``proceed`` is false, with no error, while an earlier batch soaks and nobody
    waits for it, and for a silent host that the budget allows.
    """
    plan, outcome = store.require_plan(), Outcome()
    number = plan.batch_of(host)
    before = [name for batch in plan.batches[:number] for name in batch]
    known = store.all_entries(plan.hosts)
    reasons = _common(store, known, ask, _part(plan, number), check)
    pending = [name for name in before if state_of(known[name]) == states.SOAKING and not ask.wait]
    lost = {}
    for name in before:
        state = state_of(known[name])
        if state in ledger.OPEN and name not in pending or (state == states.PLANNED and not pending):
            lost[name] = f"its batch is over and it was still {state}"
    own = state_of(known[host])
    if ask.silent and not pending and not reasons and own in (*ledger.OPEN, states.PLANNED):
        lost[host] = f"it did not answer when its turn came; it was {own}"
    for name, reason in lost.items():
        outcome.did(f"note{'' if check else 'd'} that {name} is UNKNOWN: {reason}")
        if not check:
            store.append(name, states.UNKNOWN, {"reason": reason, "was": state_of(known[name])}, ask.by)
    if not check:
        known = store.all_entries(plan.hosts)
    reasons += _fleet(known, ask.budget, None if ask.silent else host)
    if number and not promotion.granted(store, plan):
        reasons.append(_reason("not_promoted", "its canaries have not been promoted"))
    _tell(outcome, store, known, ask.budget, reasons, waits=pending, silent=ask.silent)
    return outcome


def ask_promotion(store: Store, ask: Ask, check: bool = False) -> Outcome:
    """Promote the candidate if its evidence holds and the canaries are well now; note what came of it.

    Facts: ``gate`` and ``promotion``. Raise :class:`GateClosed` when it is blocked and ``strict``. One that
    was granted before holds for ``max_age_hours`` more, so that a run that was killed can go on.
    """
    plan, outcome = store.require_plan(), Outcome()
    known = store.all_entries(plan.hosts)
    reasons = _common(store, known, ask, plan.canaries, check)
    reasons += _fleet(known, ask.budget, None)
    reasons += promotion.judge(store, plan, known, ask.health, ask.max_age_hours)
    decided = promotion.decide(store, plan, reasons, ask.health, ask.by or ask.run.who, check)
    if decided.new:
        outcome.did(f"{'note' if check else 'noted'} that the candidate is {decided.facts['status']}")
    outcome.facts["promotion"] = decided.facts
    _tell(outcome, store, known, ask.budget, reasons, waits=[], strict=ask.strict)
    return outcome


def _tell(
    outcome: Outcome,
    store: Store,
    known: Entries,
    budget: int,
    reasons: list[dict[str, Any]],
    waits: list[str],
    strict: bool = True,
    silent: bool = False,
) -> None:
    facts = {
        "proceed": not (reasons or waits or silent),
        "reasons": reasons or [_reason("soaking", f"{name} still soaks", name) for name in waits],
        "states": {name: state_of(entries) for name, entries in known.items()},
        "budget": budget,
        "bad": list(ledger.bad(known)),
    }
    outcome.facts["gate"] = facts
    if reasons and strict:
        closed = GateClosed(store.rollout, reasons)
        closed.facts.update(outcome.facts)
        raise closed


def _common(
    store: Store, known: Entries, ask: Ask, part: Collection[str], check: bool
) -> list[dict[str, Any]]:
    """Return what closes any gate: a stopped line, a lease that is not ours, hosts that were left out."""
    reasons = []
    stopped = store.stopped()
    if stopped is not None:
        reasons.append(_reason("stopped", f"the line is stopped: {stopped}"))
    if not check and not store.keep_lease(ask.run, ask.lease_seconds):
        reasons.append(_reason("lease", "this run does not have the rollout: rollout_plan takes it"))
    present = set(ask.play_hosts)
    over = (*ledger.GOOD, states.ROLLED_BACK)
    left = [name for name in part if name not in present and state_of(known[name]) not in over]
    if left:
        told = ", ".join(left[:_MAX_TOLD])
        reasons.append(_reason("limited", f"the play's hosts contradict the plan, which also has {told}"))
    return reasons


def _fleet(known: Entries, budget: int, host: str | None) -> list[dict[str, Any]]:
    """Return what the whole fleet's states close the gate for.

    A host's own state does not close its own gate: its turn is what settles it, and the states' order guards
    it. Only a frozen rollout stays closed for it too.
    """
    reasons = []
    frozen = [name for name, entries in known.items() if state_of(entries) == states.NEEDS_OPERATOR]
    if frozen:
        reasons += [_reason("frozen", f"{name} needs an operator", name) for name in frozen]
    found = [name for name in ledger.bad(known) if name != host and name not in frozen]
    if len(found) + len(frozen) > budget:
        for name in found:
            why = record.fact(record.present(known[name]), "reason")
            said = f" ({str(why)[:200]})" if why else ""
            reasons.append(_reason("bad_host", f"{name} is {state_of(known[name])}{said}", name))
    return reasons


def _part(plan: Plan, number: int) -> tuple[str, ...]:
    return plan.canaries if number == 0 else tuple(name for wave in plan.waves for name in wave)


def _reason(code: str, reason: str, host: str | None = None) -> dict[str, Any]:
    return {"code": code, "reason": reason, "host": host}
