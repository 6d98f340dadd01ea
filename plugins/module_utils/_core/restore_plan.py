# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore would replace by what: decided and told before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import catalogue, files, owner_card, sqlite, sqlite_restore, sqlite_snapshot
from .catalogue import Backup
from .errors import Damaged, NotFound
from .node import Node
from .opening import Keys
from .outcome import Outcome
from .restore_source import Rows, Source, looked_at, prepared
from .verify import content_of

UNAUTHENTICATED = (
    "it is an archive of the shell runbook, whose format carries no authentication: its hashes agree, but "
    "whoever could write the file could have made them agree"
)


@dataclass(frozen=True)
class Request:
    """Which backup: ``wanted`` is an id or ``latest``; ``integrity`` as in :mod:`verify`; ``timeout`` in
    seconds for the node's lock and for the database. ``identity_file`` holds an identity to try beside the
    node's keys; ``recovery`` are public keys that what is kept of the present state is encrypted to."""

    wanted: str
    integrity: str = "quick"
    timeout: float = 30.0
    identity_file: Path | None = None
    recovery: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What has to be replaced. ``way`` is how the database goes back, ``None`` when it is equal already;
    ``card`` is the OwnerCard to put back, ``None`` when it is equal already."""

    source: Source
    way: str | None
    card: bytes | None

    @property
    def backup(self) -> Backup:
        """The backup that is restored."""
        return self.source.backup

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.way is not None or self.card is not None


@contextmanager
def planned(node: Node, request: Request, outcome: Outcome, check: bool = False) -> Iterator[Plan]:
    """Prove the backup good, compare it with the present state, and tell what would be replaced."""
    backup = catalogue.find(node.backup_dir, request.wanted)
    if backup.kind == "legacy":
        outcome.warnings.append(f"backup {backup.id}: {UNAUTHENTICATED}")
    if backup.note is not None:
        outcome.warnings.append(f"backup {backup.id} is judged by its archive alone: {backup.note}")
    keys = Keys(node, request.identity_file)
    seems = _seems_equal(node, backup, request.timeout)
    look_only = check or seems is True
    with _proved(node, backup, keys, request, look_only) as source:
        plan = make_plan(node, source, request.timeout, differs=seems is False)
        if check or not (look_only and plan.changes):
            describe(node, plan, request.timeout, outcome)
            yield plan
            return
    # What lies beside the archive was wrong about its content: the restore is needed after all.
    with _proved(node, backup, keys, request, look_only=False) as source:
        plan = make_plan(node, source, request.timeout)
        describe(node, plan, request.timeout, outcome)
        yield plan


@contextmanager
def _proved(node: Node, backup: Backup, keys: Keys, request: Request, look_only: bool) -> Iterator[Source]:
    with ExitStack() as stack:
        try:
            if look_only:
                source = looked_at(backup, keys, request.integrity)
            else:
                source = stack.enter_context(prepared(node, backup, keys, request.integrity))
        except Damaged as exc:
            others = [other for other in catalogue.list_backups(node.backup_dir) if other.id != backup.id]
            next_one = catalogue.newest_good(others)
            raise Damaged(
                f"backup {backup.id} is damaged: {exc}",
                path=backup.path,
                hint=f"nothing was changed; the next one is {next_one.id if next_one else 'none'}",
            ) from exc
        yield source


def make_plan(node: Node, source: Source, timeout: float, differs: bool = False) -> Plan:
    """Compare a backup that was proved good with the present state.

    ``differs`` says that the database was compared a moment ago and holds something else.
    """
    way: str | None = sqlite_restore.way_into(node.state_db, timeout)
    comparable = way == "live" and not differs and source.content is not None
    if comparable and _live_content(node, timeout) == source.content:
        way = None
    return Plan(source, way, None if present_card(node) == source.card else source.card)


def _seems_equal(node: Node, backup: Backup, timeout: float) -> bool | None:
    """Whether, by what is known without opening it, the node holds an archive's content already.

    ``False`` says that the database differs, ``None`` that nothing was compared.
    """
    known = content_of(backup)
    if backup.kind == "plain" or known is None or not node.state_db.exists():
        return None
    card = present_card(node)
    if card is None or files.sha256_hex(card) != backup.owner_card_sha256:
        return None
    return _live_content(node, timeout) == known


def _live_content(node: Node, timeout: float) -> str | None:
    try:
        return sqlite_snapshot.live_content(node.state_db, timeout)
    except Damaged:
        return None


def present_card(node: Node) -> bytes | None:
    """Return the OwnerCard's bytes, or ``None`` when there is none to read."""
    try:
        return files.read_bounded(node.owner_card, owner_card.MAX_BYTES)
    except (NotFound, Damaged):
        return None


# --- telling ---


def describe(node: Node, plan: Plan, timeout: float, outcome: Outcome) -> None:
    """Say what is replaced by what: rows of each table, and the card line by line."""
    outcome.facts["backup"] = plan.backup.result()
    outcome.facts["safety"] = None
    if plan.way is not None:
        outcome.diff.append(
            {
                "before_header": f"{node.state_db} (present)",
                "after_header": f"{node.state_db} (backup {plan.backup.id})",
                "before": _rows_now(node, timeout),
                "after": _listed(plan.source.rows),
            }
        )
    if plan.card is not None:
        present = (present_card(node) or b"").decode(errors="replace")
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
        with (
            sqlite.speaking("count rows", node.state_db),
            closing(sqlite.connect_live(node.state_db, timeout)) as live,
        ):
            return _listed(sqlite.row_counts(live))
    except (NotFound, Damaged) as exc:
        return f"unreadable: {exc.msg}\n"


def _listed(rows: Rows) -> str:
    if rows is None:
        return "not counted: there is no room in memory to open the archive\n"
    return "".join(f"{table}: {count} rows\n" for table, count in rows.items())


def foretell(node: Node, plan: Plan, outcome: Outcome) -> None:
    """Say what carrying out the plan would do."""
    if not plan.changes:
        return
    outcome.did("keep the present state")
    if plan.way is not None:
        outcome.did(f"restore {node.state_db} from {plan.backup.id} ({plan.way})")
    if plan.card is not None:
        outcome.did(f"restore {node.owner_card} from {plan.backup.id}")
