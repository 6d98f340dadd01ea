# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing about the state of a node's keys that is wanted: present, rotated, pruned; backups re-wrapped.

No step can lose a key: a new one is archived before it is used, the old one stays archived, and a key goes
only when no backup on the node needs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import catalogue, files, key_use, keyring, rewrap, times
from .errors import BadInput
from .key_use import Use
from .keyring import Key, Keyring
from .locks import node_lock
from .node import Node
from .opening import Keys
from .outcome import Outcome
from .recipients import recipients_of

STATES = ("present", "rotated", "pruned")
MAX_AGE_DAYS = 30.0
RETENTION_DAYS = 180.0
_CLOCKS_APART_SECONDS = 300


@dataclass(frozen=True)
class Request:
    """What is wanted of the keys.

    ``max_age`` in days: an older current key is rotated, 0 for never. ``not_before``: one made before that
    instant (RFC 3339) is rotated. ``retention`` in days since a key was succeeded. ``rewrap`` gives existing
    archives a header for the present recipients, ``rekey`` encrypts them anew; ``recovery`` are public keys
    for both, and ``identity_file`` holds an identity to open archives with that no key of the node opens.
    ``timeout`` in seconds for the node's lock.
    """

    state: str = "present"
    max_age: float = MAX_AGE_DAYS
    not_before: str | None = None
    retention: float = RETENTION_DAYS
    rewrap: bool = False
    rekey: bool = False
    recovery: tuple[str, ...] = ()
    timeout: float = 30.0
    identity_file: Path | None = None


@dataclass
class _Run:
    """One run over a node: what it works on and what it tells."""

    node: Node
    request: Request
    check: bool
    now: datetime
    outcome: Outcome = field(default_factory=Outcome)

    def ring(self) -> Keyring:
        """The keys as they are now."""
        return keyring.read(self.node)


def bring_about(node: Node, request: Request, check: bool = False) -> Outcome:
    """Bring about the wanted state; ``check`` tells the same and does nothing.

    Raise a :class:`RunbookError`; keys and archives are then each the old one or the new one.
    """
    _require_sense(request)
    run = _Run(node, request, check, times.now())
    if check:
        _run(run)
        return run.outcome
    with node_lock(node, f"backup_key {request.state}", request.timeout):
        _remove_leftovers(run)
        _run(run)
    return run.outcome


def _require_sense(request: Request) -> None:
    if request.state not in STATES:
        raise BadInput(f"state must be one of {', '.join(STATES)}, not {request.state!r}")
    for name, days in (("max_age", request.max_age), ("retention", request.retention)):
        if not 0 <= days < float("inf"):
            raise BadInput(f"{name} must be 0 or more days, not {days:g}")
    if request.rewrap and request.rekey:
        raise BadInput("rewrap and rekey are two things", hint="choose one; rekey does what rewrap does")
    if request.not_before is not None:
        ahead = (times.parse(request.not_before) - times.now()).total_seconds()
        if ahead > _CLOCKS_APART_SECONDS:
            raise BadInput(
                f"not_before is {request.not_before}, which lies in the future of this node",
                hint="give an instant that has passed, or set the node's clock",
            )


def _run(run: _Run) -> None:
    before = run.ring()
    for problem in before.problems:
        run.outcome.warnings.append(f"passed over in the keyring: {problem}")
    settled = _settle(run, before)
    why = _why_rotate(run, settled)
    made = _rotate(run, settled, why) if why else None
    ring = run.ring() if made else settled
    renewed: list[str] = []
    if run.request.rewrap or run.request.rekey:
        renewed = _renew_archives(run, ring, pending=why is not None)
    # With a new key still to be made, check mode cannot say what it will open.
    foretold = renewed if run.check and why is None else []
    uses = key_use.uses_of(run.node, ring, run.outcome, foretold)
    if run.request.state == "pruned":
        uses = _prune(run, uses)
    _tell(run, before, ring, uses)


def _remove_leftovers(run: _Run) -> None:
    for path in keyring.leftovers(run.node) + rewrap.leftovers(run.node):
        if files.remove(path):
            run.outcome.did(f"removed {path}, prepared by a run that was killed")


# --- present and rotated ---


def _settle(run: _Run, ring: Keyring) -> Keyring:
    """Mend what a killed run or the shell runbook's tools left; return the keys as they are then."""
    current, successor = ring.current, ring.successor
    if current is not None and all(key.fingerprint != current.fingerprint for key in ring.archived):
        run.outcome.did(f"archived the current key {current.id}")
        if not run.check:
            keyring.archive_current(run.node, ring)
    if successor is not None:
        run.outcome.did(f"took key {successor.id} into use, which was made for that by a run that was killed")
        if not run.check:
            keyring.use(run.node, ring, successor)
    elif current is not None and current.kind == "age" and not keyring.id_is_recorded(ring):
        run.outcome.did(f"recorded the current key's id {current.id} for the shell runbook's tools")
        if not run.check:
            keyring.write_id(run.node, ring, current.id)
    return replace(ring, current=successor or current) if run.check else run.ring()


def _why_rotate(run: _Run, ring: Keyring) -> str | None:
    """Return why a new key is made, or ``None``."""
    request, current = run.request, ring.current
    if request.state == "pruned":
        return None
    if request.state == "rotated":
        return "it was asked for"
    if current is None:
        return "the node has none"
    if current.kind == "legacy":
        return f"{current.id} is a key of the shell runbook"
    if request.not_before is not None and current.created_at < times.parse(request.not_before):
        return f"{current.id} was made before {request.not_before}"
    if request.max_age and current.age_days(run.now) >= request.max_age:
        return f"{current.id} is older than {request.max_age:g} days"
    return None


def _rotate(run: _Run, ring: Keyring, why: str) -> Key | None:
    run.outcome.facts["reason"] = why
    if run.check:
        run.outcome.did(f"make a new key: {why}")
        return None
    # A node's clock may be behind the one that named the instant: the new key must satisfy it all the same.
    wanted = run.request.not_before
    created = run.now if wanted is None else max(run.now, times.parse(wanted))
    new = keyring.make(run.node, ring, run.now, created)
    keyring.use(run.node, ring, new)
    run.outcome.did(f"made key {new.id}: {why}")
    return new


# --- archives ---


def _renew_archives(run: _Run, ring: Keyring, pending: bool) -> list[str]:
    """Re-wrap or re-encrypt what is not for the present recipients only; return the ids of those."""
    told: dict[str, list[str]] = {"renewed": [], "unchanged": [], "failed": []}
    run.outcome.facts["rewrap"] = told
    verb = "re-encrypted" if run.request.rekey else "re-wrapped"
    if run.check and pending:
        for backup in catalogue.list_backups(run.node.backup_dir):
            if backup.kind == "encrypted":
                run.outcome.did(f"{verb} backup {backup.id}")
                told["renewed"].append(backup.id)
        return told["renewed"]
    keys = Keys(run.node, run.request.identity_file, ring)
    wanted = recipients_of(ring, run.request.recovery)
    for backup in catalogue.list_backups(run.node.backup_dir):
        if backup.kind != "encrypted":
            continue
        result = rewrap.renew(run.node, backup, keys, wanted, run.request.rekey, run.check)
        told[result.state].append(backup.id)
        if result.state == "renewed":
            run.outcome.did(f"{verb} backup {backup.id}: {result.why}")
        elif result.state == "failed":
            run.outcome.warnings.append(f"backup {backup.id} is as it was: {result.why}")
    return told["renewed"]


# --- pruned ---


def _prune(run: _Run, uses: list[Use]) -> list[Use]:
    """Remove the keys that are past their retention and needed by no backup; return the others."""
    pruned: list[str] = []
    kept: list[dict[str, Any]] = []
    left = []
    for use in uses:
        days = None if use.succeeded_at is None else (run.now - use.succeeded_at).total_seconds() / 86400
        if use.current or days is None or days < run.request.retention:
            left.append(use)
        elif use.needed_by:
            left.append(use)
            kept.append({"id": use.key.id, "needed_by": use.needed_by})
        else:
            pruned.append(use.key.id)
            run.outcome.did(
                f"removed key {use.key.id}, succeeded {days:.0f} days ago and needed by no backup"
            )
            if not run.check and files.remove(use.key.path):
                files.sync_folder(use.key.path.parent)
    run.outcome.facts["pruned"] = pruned
    run.outcome.facts["kept"] = kept
    return left


# --- telling ---


def _tell(run: _Run, before: Keyring, ring: Keyring, uses: list[Use]) -> None:
    foretold = run.check and "reason" in run.outcome.facts
    after = None if foretold else ring.current
    facts = run.outcome.facts
    facts["key"] = None if after is None else after.result(run.now)
    facts["previous_key"] = None if before.current is None else before.current.result(run.now)
    facts["keyring"] = [use.result(run.now) for use in uses]
    ids = [key.id if key else absent for key, absent in ((before.current, "none"), (after, "a new one"))]
    lines = [f"current key: {key_id}\n" for key_id in ids]
    run.outcome.diff.append({"before": lines[0], "after": lines[1]})


def tell(node: Node) -> Outcome:
    """Return a node's keys, their ages and which backups need which, without changing anything."""
    outcome = Outcome()
    ring, now = keyring.read(node), times.now()
    outcome.warnings += [f"passed over in the keyring: {problem}" for problem in ring.problems]
    uses = key_use.uses_of(node, ring, outcome)
    outcome.facts["key"] = None if ring.current is None else ring.current.result(now)
    outcome.facts["keyring"] = [use.result(now) for use in uses]
    return outcome
