# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting a backup back under a running station, and keeping what it replaces.

Order: read the backup back and prove it good; hold the database against commits; keep the present state;
say on disk what is about to happen; the database, in one transaction; the OwnerCard, by rename; prove it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import backup as backups
from . import files, replaced, sqlite, sqlite_restore, sqlite_snapshot
from .backup_making import make, remove_leftovers
from .errors import Damaged, MissingKey, NotFound, RunbookError, Unsafe
from .locks import node_lock
from .node import Node
from .opening import Keys
from .outcome import Outcome
from .recipients import recipients_of
from .restore_plan import Plan, Request, foretell, planned, present_card
from .restore_recovery import finish_interrupted, foretell_interrupted
from .sqlite_restore import Hold

__all__ = ["Request", "restore"]


def restore(node: Node, request: Request, check: bool = False) -> Outcome:
    """Bring about that the node holds the content of a backup.

    ``check`` computes the same plan and does nothing. Raise a :class:`RunbookError`: before the first change
    with the node as it was, after it with what was kept named in the hint.
    """
    outcome = Outcome()
    if check:
        foretell_interrupted(node, outcome)
        with planned(node, request, outcome, check=True) as plan:
            foretell(node, plan, outcome)
        return outcome
    with node_lock(node, f"restore {request.wanted}", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        remove_leftovers(node, outcome)
        with planned(node, request, outcome) as plan:
            if plan.changes:
                _apply(node, plan, request, outcome)
    return outcome


# --- doing ---


def _apply(node: Node, plan: Plan, request: Request, outcome: Outcome) -> None:
    timeout = request.timeout
    with _database_held(node, plan, timeout) as hold:
        kept = _keep_present(node, request, hold is not None, outcome)
        try:
            _replace(node, plan, timeout, hold, outcome)
            exact = _prove(node, plan, timeout, hold)
        except RunbookError as exc:
            exc.hint = f"{exc.hint}; {kept}" if exc.hint else kept
            raise
    outcome.facts["exact"] = exact


@contextmanager
def _database_held(node: Node, plan: Plan, timeout: float) -> Iterator[Hold | None]:
    if plan.way == "live":
        with sqlite_restore.held(node.state_db, timeout) as hold:
            yield hold
    else:
        yield None


def _keep_present(node: Node, request: Request, quiet: bool, outcome: Outcome) -> str:
    """Keep the present state, as a verified backup if it makes one; return words that say where it is."""
    wanted = backups.Request(
        timeout=request.timeout,
        encrypt=_can_encrypt(node, request, outcome),
        recovery=request.recovery,
        safety=True,
        quiet=quiet,
    )
    try:
        plan = backups.make_plan(node, wanted, outcome)
        made = plan.keep or make(node, wanted.making(plan.recipients))
    except (Damaged, NotFound) as exc:
        folder = replaced.keep(node, str(exc))
        if folder is None:
            return "there was nothing to keep"
        outcome.facts["safety"] = {"path": os.fspath(folder), "id": None, "problem": str(exc)}
        outcome.did(f"kept the present files, which make no backup, in {folder}: {exc.msg}")
        return f"the former files are in {folder}"
    outcome.facts["safety"] = made.result()
    if plan.keep is None:
        outcome.did(f"backed up the present state as {made.id}")
    return f"the former state is backup {made.id}"


def _can_encrypt(node: Node, request: Request, outcome: Outcome) -> bool:
    """Whether the node has a key to encrypt what is kept; its lack must not stand in a restore's way."""
    try:
        recipients_of(Keys(node).keyring, request.recovery)
    except MissingKey:
        return False
    except (Unsafe, Damaged) as exc:
        outcome.warnings.append(f"what is replaced is kept unencrypted, since the keys cannot be used: {exc}")
        return False
    return True


def _replace(node: Node, plan: Plan, timeout: float, hold: Hold | None, outcome: Outcome) -> None:
    """Prepare everything that can fail, declare the intent, then replace database and card."""
    intent = _prepare(node, plan, timeout)
    try:
        if hold is not None:
            hold.restore(plan.source.ready)
        elif plan.way == "overwrite":
            sqlite_restore.overwrite(plan.source.ready, node.state_db, timeout)
    except BaseException:
        files.drop(intent)
        raise
    files.carry_out(intent)
    if plan.way is not None:
        outcome.did(f"restored {node.state_db} from {plan.backup.id} ({plan.way})")
    if plan.card is not None:
        outcome.did(f"restored {node.owner_card} from {plan.backup.id}")
        outcome.warnings.append("the station reads the restored OwnerCard at its next reload or restart")
    if plan.way == "create":
        holders = sqlite_restore.holders(node.state_db, deleted=True)
        if holders:
            outcome.warnings.append(
                f"restart the station: {', '.join(holders)} still writes to the deleted database"
            )


def _prepare(node: Node, plan: Plan, timeout: float) -> files.Intent:
    """Stage what is moved into place at the end and say on disk what is about to happen."""
    owner = node.owner()
    moves = []
    try:
        if plan.way == "create":
            moves.append((sqlite_restore.create(plan.source.ready, node.state_db, owner), node.state_db))
        if plan.card is not None:
            files.make_folder(node.owner_card.parent, 0o755, owner)
            mode, card_owner = files.mode_and_owner(node.owner_card, 0o644, owner)
            moves.append((files.stage(node.owner_card, plan.card, mode, card_owner), node.owner_card))
        facts: dict[str, Any] = {"backup": plan.backup.id, "way": plan.way}
        if plan.way == "live":
            facts["schema_version"] = sqlite_restore.schema_version(node.state_db, timeout)
        intent = files.Intent(node.restore_intent, tuple(moves), facts)
        files.declare(intent, owner)
    except BaseException:
        for staged, _target in moves:
            files.remove(staged)
        raise
    return intent


def _prove(node: Node, plan: Plan, timeout: float, hold: Hold | None) -> bool:
    """Check what is in place now; return whether the database holds exactly the backup's content.

    A station that goes on may have written since, unless it is still held; so another content is an error
    only then.
    """
    wanted = plan.source.content
    held_content = hold.content() if hold else None
    found = held_content or sqlite_snapshot.live_content(node.state_db, timeout)
    exact = found is not None and found == wanted
    if not exact and held_content is not None:
        raise Damaged("does not hold the backup's content after its restore", path=node.state_db)
    if not exact:
        # Equal content was checked as the backup's; what the station has written since was not.
        sqlite.check_live(node.state_db, timeout)
    if plan.card is not None and present_card(node) != plan.card:
        raise Damaged("is not the backup's OwnerCard after its restore", path=node.owner_card)
    return exact
