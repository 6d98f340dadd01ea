# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing about that a verified backup of a node's present content exists, while its station writes."""

from __future__ import annotations

from dataclasses import dataclass

from . import catalogue, files, owner_card, sqlite_snapshot
from .archive import compression
from .backup_making import Making, make, remove_leftovers
from .catalogue import Backup
from .errors import Damaged, MissingKey, NotFound, RunbookError, guarded
from .locks import node_lock
from .manifest import check_name
from .node import Node
from .opening import Keys
from .outcome import Outcome
from .recipients import Recipients, recipients_of
from .restore_recovery import finish_interrupted, foretell_interrupted
from .verify import content_of, verify

NO_RECOVERY = (
    "no recovery recipient is set: if a node is lost, nobody can open its backups; make an identity with "
    "age-keygen, keep it offline, and set its public key as recovery_recipients"
)


@dataclass(frozen=True)
class Request:
    """What backup is wanted: ``name`` for one that a procedure owns, ``force`` for a new one in any case,
    ``method`` as in :mod:`still`, ``timeout`` in seconds for the node's lock and for the database.

    ``encrypt`` to the node's current key and to the public keys in ``recovery``; ``compression`` as in
    :mod:`archive.compression`. ``safety`` is for what a restore keeps of the state it replaces. ``quiet``
    says that the caller keeps everybody from committing to the database already."""

    name: str | None = None
    force: bool = False
    method: str = "auto"
    timeout: float = 30.0
    encrypt: bool = True
    compression: str = "auto"
    recovery: tuple[str, ...] = ()
    safety: bool = False
    quiet: bool = False

    def making(self, recipients: Recipients | None) -> Making:
        """Return the same as orders for whoever makes the backup."""
        return Making(
            self.name, self.method, self.timeout, recipients, self.compression, self.safety, self.quiet
        )


@dataclass(frozen=True)
class Plan:
    """``keep`` is the backup that already serves; without one a new backup is made, because of ``why``.

    ``recipients`` are who it is encrypted to; ``None`` for a plain one."""

    why: str
    recipients: Recipients | None = None
    keep: Backup | None = None


def back_up(node: Node, request: Request, check: bool = False) -> Outcome:
    """Bring about that a verified backup of the node's present content exists.

    ``check`` computes the same plan and does nothing. Raise a :class:`RunbookError` with the node unchanged.
    """
    outcome = Outcome()
    if check:
        foretell_interrupted(node, outcome)
        _tell(outcome, _foretold_plan(node, request, outcome), node)
        return outcome
    with node_lock(node, "backup", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        remove_leftovers(node, outcome)
        plan = make_plan(node, request, outcome)
        backup = None if plan.keep else make(node, request.making(plan.recipients))
        _tell(outcome, plan, node, backup)
    return outcome


def _foretold_plan(node: Node, request: Request, outcome: Outcome) -> Plan:
    """In check mode the key that a task before this one would make is not there yet."""
    try:
        return make_plan(node, request, outcome)
    except MissingKey as exc:
        outcome.warnings.append(f"a key has to be made first: {exc}")
        return Plan("the node has no key yet")


def make_plan(node: Node, request: Request, outcome: Outcome) -> Plan:
    """Decide whether a backup has to be made; source, keys and options are checked either way."""
    if request.name is not None:
        check_name(request.name)
    card = owner_card.read(node.owner_card)
    _require_source(node)
    keys = Keys(node)
    recipients = None
    if request.encrypt:
        compression.choose(request.compression)
        recipients = recipients_of(keys.keyring, request.recovery)
        if not request.recovery:
            outcome.warnings.append(NO_RECOVERY)
    why, keep = _decide(node, request, card, recipients)
    if keep is not None and not _still_good(keep, keys, outcome):
        return Plan(f"{keep.id} is damaged", recipients)
    return Plan(why, recipients, keep)


def _decide(
    node: Node, request: Request, card: bytes, recipients: Recipients | None
) -> tuple[str, Backup | None]:
    """Return why a backup is made and ``None``, or why none is needed and the one that serves."""
    if request.force:
        return "force was asked for", None
    if request.name is not None:
        return _decide_by_name(node, request.name)
    newest = catalogue.newest_good(catalogue.list_backups(node.backup_dir), request.safety)
    if newest is None:
        return "the node has no usable backup yet", None
    if newest.kind != ("encrypted" if recipients else "plain"):
        return f"{newest.id} is {newest.kind}", None
    if recipients and set(newest.recipients) != set(recipients.public_keys):
        return f"{newest.id} is for other recipients", None
    if newest.owner_card_sha256 != files.sha256_hex(card):
        return f"the OwnerCard is another than in {newest.id}", None
    live = sqlite_snapshot.live_content(node.state_db, request.timeout, request.quiet)
    if live is None or live != content_of(newest):
        return f"the state has changed since {newest.id}", None
    return f"content equals {newest.id}", newest


def _decide_by_name(node: Node, name: str) -> tuple[str, Backup | None]:
    for backup in catalogue.list_backups(node.backup_dir):
        if backup.problem is None and backup.name == name:
            return f"{backup.id} has the name {name}", backup
    return f"no usable backup has the name {name}", None


def _still_good(backup: Backup, keys: Keys, outcome: Outcome) -> bool:
    """An existing backup only serves in place of a new one when it can still be read back."""
    try:
        verify(backup, keys)
    except RunbookError as exc:
        outcome.warnings.append(f"backup {backup.id} is damaged and does not count: {exc}")
        return False
    return True


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
