# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a run: what it lost is ``UNKNOWN``, the next one may have the rollout, what it came to."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..outcome import Outcome
from . import ledger, promotion, states
from .ledger import state_of
from .runs import Run
from .store import Store

# What a run can be for.
PARTS = ("canary", "wave", "rollback", "reconcile")
DEFAULT_DIR = "~/.local/state/vvtv/rollouts"


def tell(store: Store, budget: int = 0, part: str | None = None) -> Outcome:
    """Return what a rollout has come to. Facts: ``rollout`` and ``plan``; nothing is changed."""
    plan = store.require_plan()
    known = store.all_entries(plan.hosts)
    granted = promotion.granted(store, plan)
    outcome = Outcome()
    outcome.facts.update(
        plan=plan.result(),
        rollout={
            "id": plan.rollout,
            "state": ledger.phase(plan, known, budget),
            "ok": ledger.succeeded(plan, known, budget, part),
            "hosts": [row.result() for row in ledger.rows(plan, known)],
            "bad": list(ledger.bad(known)),
            "promoted_at": None if granted is None else granted["at"],
            "next": ledger.next_step(plan, known, _again(store), budget),
        },
    )
    return outcome


def close(
    store: Store,
    answered: Collection[str],
    run: Run,
    budget: int = 0,
    part: str | None = None,
    by: str | None = None,
    check: bool = False,
) -> Outcome:
    """End a run: note as ``UNKNOWN`` every host with an open state that is not among ``answered``.

    Give the rollout's lease back if ``run`` has it. While another run that is alive has it, no host was lost
    by this one, and nothing is noted. Facts as :func:`tell`.
    """
    plan = store.require_plan()
    known, did, other = store.all_entries(plan.hosts), [], store.other_run(run)
    for host in plan.hosts if other is None else ():
        state = state_of(known[host])
        if state not in ledger.OPEN or host in answered:
            continue
        reason = f"the run ended while it was {state}, and did not hear of it again"
        if not check:
            store.append(host, states.UNKNOWN, {"reason": reason, "was": state}, by)
        did.append(f"note{'' if check else 'd'} that {host} is UNKNOWN: {reason}")
    gave = not check and store.give_lease_back(run)
    outcome = tell(store, budget, part)
    for action in did:
        outcome.did(action)
    if gave:
        outcome.actions.append("gave the rollout back")
    if other is not None:
        outcome.warnings.append(f"{other.holder} has the rollout and goes on with it")
    return outcome


def _again(store: Store) -> str:
    options: list[Any] = [f"-e vvtv_rollout_id={store.rollout}"]
    if store.base != Path(os.path.expanduser(DEFAULT_DIR)):
        options.append(f"-e vvtv_record_dir={store.base}")
    return " ".join(options)
