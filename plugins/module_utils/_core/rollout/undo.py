# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollback puts back. Each function looks at what is there and changes it only if it must."""

from __future__ import annotations

from typing import Any

from .. import card_history, catalogue, files, releases, restore, station, times
from ..catalogue import Backup
from ..errors import Damaged, NotFound
from ..node import Node
from ..outcome import Outcome
from ..releases import Shelf
from .begun import Begun
from .folder import Folder, backup_name

DAMAGED = "damaged"


def card_in_place(node: Node) -> str | None:
    """Return the SHA-256 of the OwnerCard, ``None`` when there is none, :data:`DAMAGED` for no plain file."""
    try:
        return files.sha256_hex(files.read_bounded(node.owner_card, card_history.MAX_BYTES))
    except NotFound:
        return None
    except Damaged:
        return DAMAGED


def card(folder: Folder, begun: Begun, outcome: Outcome) -> None:
    """Put the former OwnerCard back, and keep the one in place beside it as a dated copy.

    Raise :class:`Damaged` when the copy of the former one is another, with nothing changed.
    """
    node, wanted = folder.node, begun.before_card_sha256
    if card_in_place(node) == wanted:
        return
    owner, former = node.owner(), None
    if wanted is not None:
        former = files.read_bounded(folder.former_card, card_history.MAX_BYTES)
        if files.sha256_hex(former) != wanted:
            raise Damaged("is not the OwnerCard that was in force", path=folder.former_card)
    if card_in_place(node) is not None:
        present = files.read_bounded(node.owner_card, card_history.MAX_BYTES)
        card_history.keep(node.owner_card, present, owner)
    if former is None:
        files.remove(node.owner_card)
        outcome.did(f"removed {node.owner_card}: there was none before")
        return
    files.make_folder(node.owner_card.parent, 0o755, owner)
    mode, card_owner = files.mode_and_owner(node.owner_card, 0o644, owner)
    files.replace(node.owner_card, former, mode, card_owner)
    outcome.did(f"put back the OwnerCard at {node.owner_card}")


def release(folder: Folder, begun: Begun, shelf: Shelf, outcome: Outcome) -> None:
    """Let the link lead to the former release again, or remove it when there was none.

    That the station has to be restarted is said on disk first. Raise :class:`NotFound` when it has no tree
    any more, with nothing changed.
    """
    before = begun.before_release
    if releases.in_force(shelf) == before:
        return
    if before is not None and releases.find(shelf, before) is not None:
        try:
            releases.require(shelf, before)
        except Damaged as exc:
            outcome.warnings.append(str(exc))  # still the best there is
    station.owe(shelf.node, {"release": before, "rollout": folder.rollout})
    releases.switch(shelf, before)
    outcome.did(f"let {shelf.link} lead to {before}" if before else f"removed {shelf.link}")


def backup_of(folder: Folder) -> Backup:
    """Return the backup that the rollout made; raise :class:`NotFound` when there is none to use."""
    name = backup_name(folder.rollout)
    for one in catalogue.list_backups(folder.node.backup_dir):
        if one.name == name and one.problem is None:
            return one
    raise NotFound(f"there is no usable backup {name}", path=folder.node.backup_dir)


def foretell_state(folder: Folder, timeout: float, outcome: Outcome) -> None:
    """Prove that the rollout's backup can be restored, and tell what that would replace by what."""
    done = restore.restore(folder.node, restore.Request(backup_of(folder).id, timeout=timeout), check=True)
    outcome.actions += done.actions
    outcome.diff += done.diff


def state(
    folder: Folder, timeout: float, recovery: tuple[str, ...], since: str, outcome: Outcome
) -> dict[str, Any]:
    """Restore the rollout's backup, and return what was restored and where the discarded state is.

    ``since`` is when the rollback began (RFC 3339): whatever was kept from then on, by a run that was killed
    too, is a part of what it discarded, and the first of it all of that.
    """
    backup, until = backup_of(folder), times.to_text(times.now())
    done = restore.restore(folder.node, restore.Request(backup.id, timeout=timeout, recovery=recovery))
    outcome.actions += done.actions
    # The station is restarted, or told of its card, in any case.
    outcome.warnings += [told for told in done.warnings if "the station reads the restored" not in told]
    kept = [
        one.id
        for one in catalogue.list_backups(folder.node.backup_dir)
        if one.is_safety and one.created_at is not None and one.created_at >= since
    ]
    safety = done.facts["safety"] or {}
    discarded = {
        "backup": min(kept, default=safety.get("id")),
        "path": safety.get("path"),
        "since": backup.created_at,
        "until": until,
    }
    return {"backup": backup.id, "discarded": discarded}
