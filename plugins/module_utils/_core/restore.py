# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting a backup back under a running station, and keeping what it replaces.

Order: read the backup back and prove it good; hold the database against commits; keep the present state;
say on disk what is about to happen; the database, in one transaction; the OwnerCard, by rename; prove it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from . import backup as backups
from . import catalogue, files, owner_card, replaced, sqlite, sqlite_restore, sqlite_snapshot
from .catalogue import Backup
from .errors import Damaged, NotFound, RunbookError
from .locks import node_lock
from .node import Node
from .outcome import Outcome
from .restore_recovery import finish_interrupted, foretell_interrupted
from .sqlite_restore import Hold
from .verify import content_of, verify


@dataclass(frozen=True)
class Request:
    """Which backup: ``wanted`` is an id or ``latest``; ``integrity`` as in :mod:`verify`; ``timeout`` in
    seconds for the node's lock and for the database."""

    wanted: str
    integrity: str = "quick"
    timeout: float = 30.0


@dataclass(frozen=True)
class Plan:
    """What has to be replaced. ``way`` is how the database goes back, ``None`` when it is equal already;
    ``card`` is the OwnerCard to put back, ``None`` when it is equal already."""

    backup: Backup
    way: str | None
    card: bytes | None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.way is not None or self.card is not None


def restore(node: Node, request: Request, check: bool = False) -> Outcome:
    """Bring about that the node holds the content of a backup.

    ``check`` computes the same plan and does nothing. Raise a :class:`RunbookError`: before the first change
    with the node as it was, after it with what was kept named in the hint.
    """
    outcome = Outcome()
    if check:
        foretell_interrupted(node, outcome)
        plan = make_plan(node, request)
        _describe(node, plan, request.timeout, outcome)
        _foretell(node, plan, outcome)
        return outcome
    with node_lock(node, f"restore {request.wanted}", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        backups.remove_leftovers(node, outcome)
        plan = make_plan(node, request)
        _describe(node, plan, request.timeout, outcome)
        if plan.changes:
            _apply(node, plan, request.timeout, outcome)
    return outcome


def make_plan(node: Node, request: Request) -> Plan:
    """Prove the backup good and compare it with the present state."""
    backup = catalogue.find(node.backup_dir, request.wanted)
    try:
        verify(backup, request.integrity)
    except Damaged as exc:
        others = [other for other in catalogue.list_backups(node.backup_dir) if other.id != backup.id]
        next_one = catalogue.newest_good(others)
        raise Damaged(
            f"backup {backup.id} is damaged: {exc}",
            path=backup.path,
            hint=f"nothing was changed; the next one is {next_one.id if next_one else 'none'}",
        ) from exc
    card = owner_card.read(backup.owner_card)
    way: str | None = sqlite_restore.way_into(node.state_db, request.timeout)
    if way == "live" and _equal_content(node, backup, request.timeout):
        way = None
    return Plan(backup, way, None if _present_card(node) == card else card)


def _equal_content(node: Node, backup: Backup, timeout: float) -> bool:
    try:
        live = sqlite_snapshot.live_content(node.state_db, timeout)
    except Damaged:
        return False
    return live is not None and live == content_of(backup)


def _present_card(node: Node) -> bytes | None:
    try:
        return files.read_bounded(node.owner_card, owner_card.MAX_BYTES)
    except (NotFound, Damaged):
        return None


# --- telling ---


def _describe(node: Node, plan: Plan, timeout: float, outcome: Outcome) -> None:
    """Say what is replaced by what: rows of each table, and the card line by line."""
    outcome.facts["backup"] = plan.backup.result()
    outcome.facts["safety"] = None
    if plan.way is not None:
        outcome.diff.append(
            {
                "before_header": f"{node.state_db} (present)",
                "after_header": f"{node.state_db} (backup {plan.backup.id})",
                "before": _rows_now(node, timeout),
                "after": _rows(sqlite.connect_still(plan.backup.state_db)),
            }
        )
    if plan.card is not None:
        present = (_present_card(node) or b"").decode(errors="replace")
        outcome.diff.append(
            {
                "before_header": f"{node.owner_card} (present)",
                "after_header": f"{node.owner_card} (backup {plan.backup.id})",
                "before": present,
                "after": plan.card.decode(errors="replace"),
            }
        )


def _rows_now(node: Node, timeout: float) -> str:
    try:
        with sqlite.speaking("count rows", node.state_db):
            return _rows(sqlite.connect_live(node.state_db, timeout))
    except (NotFound, Damaged) as exc:
        return f"unreadable: {exc.msg}\n"


def _rows(connection: sqlite3.Connection) -> str:
    with closing(connection):
        return "".join(f"{table}: {count} rows\n" for table, count in sqlite.row_counts(connection).items())


def _foretell(node: Node, plan: Plan, outcome: Outcome) -> None:
    if not plan.changes:
        return
    outcome.did("keep the present state")
    if plan.way is not None:
        outcome.did(f"restore {node.state_db} from {plan.backup.id} ({plan.way})")
    if plan.card is not None:
        outcome.did(f"restore {node.owner_card} from {plan.backup.id}")


# --- doing ---


def _apply(node: Node, plan: Plan, timeout: float, outcome: Outcome) -> None:
    with _database_held(node, plan, timeout) as hold:
        kept = _keep_present(node, timeout, hold is not None, outcome)
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


def _keep_present(node: Node, timeout: float, quiet: bool, outcome: Outcome) -> str:
    """Keep the present state, as a verified backup if it makes one; return words that say where it is."""
    request = backups.Request(timeout=timeout, safety=True, quiet=quiet)
    try:
        plan = backups.make_plan(node, request, outcome)
        made = plan.keep or backups.make(node, request)
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


def _replace(node: Node, plan: Plan, timeout: float, hold: Hold | None, outcome: Outcome) -> None:
    """Prepare everything that can fail, declare the intent, then replace database and card."""
    intent = _prepare(node, plan, timeout)
    try:
        if hold is not None:
            hold.restore(plan.backup.state_db)
        elif plan.way == "overwrite":
            sqlite_restore.overwrite(plan.backup.state_db, node.state_db, timeout)
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
            moves.append((sqlite_restore.create(plan.backup.state_db, node.state_db, owner), node.state_db))
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
    wanted = content_of(plan.backup)
    held_content = hold.content() if hold else None
    if held_content is not None:
        exact = held_content == wanted
        if not exact:
            raise Damaged("does not hold the backup's content after its restore", path=node.state_db)
    else:
        sqlite.check_live(node.state_db, timeout)
        exact = sqlite_snapshot.live_content(node.state_db, timeout) == wanted
    if plan.card is not None and _present_card(node) != plan.card:
        raise Damaged("is not the backup's OwnerCard after its restore", path=node.owner_card)
    return exact
