# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a backup of a node whose station goes on writing.

A backup is built in a staging folder, synced, read back and verified; only then it gets its name. A killed
run leaves a staging folder, which the next one removes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import catalogue, files, owner_card, sqlite_snapshot, times
from .catalogue import Backup
from .errors import Damaged, NotFound, RunbookError, guarded
from .locks import node_lock
from .manifest import FILE_NAME, OWNER_CARD_FILE, SAFETY_NAME, STATE_DB_FILE, Manifest, check_name
from .node import Node
from .outcome import Outcome
from .restore_recovery import finish_interrupted, foretell_interrupted
from .verify import content_of, verify

_SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Request:
    """What backup is wanted: ``name`` for one that a procedure owns, ``force`` for a new one in any case,
    ``method`` as in :mod:`sqlite_snapshot`, ``timeout`` in seconds for the node's lock and for the database.
    ``safety`` is for what a restore keeps of the state it replaces. ``quiet`` says that the caller keeps
    everybody from committing to the database already."""

    name: str | None = None
    force: bool = False
    method: str = "auto"
    timeout: float = 30.0
    safety: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Plan:
    """``keep`` is the backup that already serves; without one a new backup is made, because of ``why``."""

    why: str
    keep: Backup | None = None


def back_up(node: Node, request: Request, check: bool = False) -> Outcome:
    """Bring about that a verified backup of the node's present content exists.

    ``check`` computes the same plan and does nothing. Raise a :class:`RunbookError` with the node unchanged.
    """
    outcome = Outcome()
    if check:
        foretell_interrupted(node, outcome)
        _tell(outcome, make_plan(node, request, outcome), node)
        return outcome
    with node_lock(node, "backup", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        remove_leftovers(node, outcome)
        plan = make_plan(node, request, outcome)
        backup = None if plan.keep else make(node, request)
        _tell(outcome, plan, node, backup)
    return outcome


def make_plan(node: Node, request: Request, outcome: Outcome) -> Plan:
    """Decide whether a backup has to be made; the source is checked either way."""
    if request.name is not None:
        check_name(request.name)
    card = owner_card.read(node.owner_card)
    _require_source(node)
    if request.force:
        return Plan("force was asked for")
    if request.name is not None:
        return _plan_by_name(node, request.name, outcome)
    newest = catalogue.newest_good(catalogue.list_backups(node.backup_dir), request.safety)
    if newest is None:
        return Plan("the node has no usable backup yet")
    if newest.facts.owner_card_sha256 != files.sha256_hex(card):
        return Plan(f"the OwnerCard is another than in {newest.id}")
    live = sqlite_snapshot.live_content(node.state_db, request.timeout, request.quiet)
    if live is None or live != content_of(newest):
        return Plan(f"the state has changed since {newest.id}")
    return _keep_if_good(newest, f"content equals {newest.id}", outcome)


def _plan_by_name(node: Node, name: str, outcome: Outcome) -> Plan:
    for backup in catalogue.list_backups(node.backup_dir):
        if backup.problem is None and backup.facts.name == name:
            return _keep_if_good(backup, f"{backup.id} has the name {name}", outcome)
    return Plan(f"no usable backup has the name {name}")


def _keep_if_good(backup: Backup, why: str, outcome: Outcome) -> Plan:
    """An existing backup only serves in place of a new one when it can still be read back."""
    try:
        verify(backup)
    except RunbookError as exc:
        outcome.warnings.append(f"backup {backup.id} is damaged and does not count: {exc}")
        return Plan(f"{backup.id} is damaged")
    return Plan(why, backup)


def _require_source(node: Node) -> None:
    with guarded("read", node.state_db):
        if node.state_db.exists() and node.state_db.stat().st_size == 0:
            raise Damaged("is empty, no database", path=node.state_db, hint="restore it from a backup")
        if not node.state_db.exists():
            raise NotFound("there is no state database", path=node.state_db, hint="check root and state_db")


def _tell(outcome: Outcome, plan: Plan, node: Node, made: Backup | None = None) -> None:
    """Fill the outcome from the plan; ``made`` is what carrying it out gave, ``None`` in check mode."""
    newest = catalogue.newest_good([b for b in catalogue.list_backups(node.backup_dir) if b != made])
    before = f"newest backup: {newest.id if newest else 'none'}\n"
    outcome.facts["reason"] = plan.why
    if plan.keep:
        outcome.facts["backup"] = plan.keep.result()
        outcome.diff.append({"before": before, "after": before})
        return
    new_id = made.id if made else "a new one"
    outcome.did(f"backed up {node.state_db} and {node.owner_card} as {new_id}: {plan.why}")
    outcome.facts["backup"] = made.result() if made else None
    outcome.diff.append({"before": before, "after": f"newest backup: {new_id}\n"})


def make(node: Node, request: Request) -> Backup:
    """Make and verify one backup; the caller holds the node's lock. On any error nothing is left of it."""
    owner = node.owner()
    files.make_folder(node.backup_dir, 0o700, owner)
    card = owner_card.read(node.owner_card)
    with guarded("read the size", node.state_db):
        files.require_room(node.backup_dir, node.state_db.stat().st_size + len(card) + _SPARE_BYTES)
    instant = times.now()
    backup_id = catalogue.new_id(node.backup_dir, instant)
    staging = node.backup_dir / f"{catalogue.STAGING_PREFIX}{backup_id}"
    try:
        files.make_folder(staging, 0o700, owner)
        copy = sqlite_snapshot.take(
            node.state_db, staging / STATE_DB_FILE, owner, request.method, request.timeout, request.quiet
        )
        files.write_new(staging / OWNER_CARD_FILE, card, 0o600, owner)
        facts = Manifest(
            created_at=times.to_text(instant),
            state_db_sha256=copy.sha256,
            owner_card_sha256=files.sha256_hex(card),
            id=backup_id,
            name=SAFETY_NAME if request.safety else request.name,
            method=copy.method,
            content_sha256=copy.content_sha256,
        )
        return _finish(staging, node.backup_dir / backup_id, facts, owner)
    except BaseException:
        with suppress(RunbookError):
            files.remove_tree(staging)
        raise


def _finish(staging: Path, final: Path, facts: Manifest, owner: files.Owner) -> Backup:
    verify(Backup(final.name, staging, "plain", manifest=facts))
    proved = Manifest(**{**facts.__dict__, "verified_at": times.to_text(times.now())})
    files.write_new(staging / FILE_NAME, proved.to_json(), 0o600, owner)
    with guarded("give the backup its name", final):
        files.sync_folder(staging)
        os.rename(staging, final)
        files.sync_folder(final.parent)
    return catalogue.find(final.parent, final.name)


def remove_leftovers(node: Node, outcome: Outcome) -> None:
    """Remove what killed runs left half made; the caller holds the node's lock, so nobody is at it."""
    for folder in (node.backup_dir, node.replaced_dir):
        with guarded("look for what killed runs left", folder):
            names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
        for name in names:
            if name.startswith(catalogue.STAGING_PREFIX):
                files.remove_tree(folder / name)
                outcome.did(f"removed {folder / name}, left half made by a run that was killed")
