# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a restore that was killed between the database and the OwnerCard.

A restore that has to change both says so on disk first. Whoever operates the node next finishes it when the
database was restored already, and otherwise clears what was prepared: the old state then stands whole.
"""

from __future__ import annotations

from . import files, sqlite_restore
from .errors import Damaged, RunbookError
from .node import Node
from .outcome import Outcome


def interrupted(node: Node) -> files.Intent | None:
    """Return what a killed restore left to be settled, or ``None``."""
    return files.pending(node.restore_intent, (node.state_db, node.owner_card))


def database_was_restored(node: Node, intent: files.Intent, timeout: float) -> bool:
    """Tell whether the database's part of the restore took place."""
    way = intent.facts.get("way")
    if way == "create":
        # Everything was staged before the intent was written: it only has to be moved.
        return True
    try:
        version = sqlite_restore.schema_version(node.state_db, timeout)
    except Damaged:
        return False
    before = intent.facts.get("schema_version")
    if way == "live" and isinstance(before, int):
        # SQLite's backup API raises the schema cookie by one as it commits.
        return version == before + 1
    return way == "overwrite"


def finish_interrupted(node: Node, timeout: float, outcome: Outcome) -> None:
    """Settle a killed restore; the caller holds the node's lock."""
    intent = interrupted(node)
    if intent is not None:
        backup_id = str(intent.facts.get("backup"))[:40]
        if database_was_restored(node, intent, timeout):
            files.carry_out(intent)
            outcome.did(f"finished the restore of {backup_id} that was interrupted")
        else:
            files.drop(intent)
            outcome.did(
                f"cleared the restore of {backup_id} that was interrupted before it changed the database"
            )
    for target in (node.state_db, node.owner_card, node.restore_intent):
        if files.remove(files.staged_path(target)):
            outcome.did(f"removed what a killed restore prepared for {target}")


def foretell_interrupted(node: Node, outcome: Outcome) -> None:
    """In check mode: say that a killed restore would be settled first."""
    try:
        intent = interrupted(node)
    except RunbookError as exc:
        outcome.warnings.append(str(exc))
        return
    if intent is not None:
        outcome.did(f"settle the restore of {str(intent.facts.get('backup'))[:40]} that was interrupted")
