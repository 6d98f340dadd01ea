# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making one backup: built in a staging folder, synced, read back and verified; only then it gets its name.

A killed run leaves a staging folder, which the next one removes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import catalogue, files, owner_card, still, times
from .archive import compression, sidecar
from .archive import write as archives
from .catalogue import Backup
from .errors import Damaged, RunbookError, guarded
from .manifest import FILE_NAME, OWNER_CARD_FILE, SAFETY_NAME, STATE_DB_FILE, Manifest
from .node import Node
from .opening import Keys, read_archive
from .outcome import Outcome
from .recipients import Recipients
from .verify import verify

_SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Making:
    """How to make a backup; the fields are those of :class:`backup.Request`. ``recipients`` are who it is
    encrypted to, ``None`` makes a plain one."""

    name: str | None
    method: str
    timeout: float
    recipients: Recipients | None
    compression: str = "auto"
    safety: bool = False
    quiet: bool = False


def make(node: Node, making: Making) -> Backup:
    """Make and verify one backup; the caller holds the node's lock. On any error nothing is left of it."""
    owner = node.owner()
    files.make_folder(node.backup_dir, 0o700, owner)
    card = owner_card.read(node.owner_card)
    instant = times.now()
    backup_id = catalogue.new_id(node.backup_dir, instant)
    staging = node.backup_dir / f"{catalogue.STAGING_PREFIX}{backup_id}"
    facts = {
        "created_at": times.to_text(instant),
        "owner_card_sha256": files.sha256_hex(card),
        "id": backup_id,
        "name": SAFETY_NAME if making.safety else making.name,
    }
    try:
        files.make_folder(staging, 0o700, owner)
        if making.recipients is None:
            _fill_plain(node, making, staging, card, facts)
        else:
            _fill_encrypted(node, making, making.recipients, staging, card, facts)
        with guarded("give the backup its name", staging):
            files.sync_folder(staging)
            os.rename(staging, node.backup_dir / backup_id)
            files.sync_folder(node.backup_dir)
    except BaseException:
        with suppress(RunbookError):
            files.remove_tree(staging)
        raise
    return catalogue.find(node.backup_dir, backup_id)


def _fill_plain(node: Node, making: Making, staging: Path, card: bytes, facts: dict[str, Any]) -> None:
    owner = node.owner()
    with guarded("read the size", node.state_db):
        files.require_room(staging, node.state_db.stat().st_size + len(card) + _SPARE_BYTES)
    copy = still.take(
        node.state_db, staging / STATE_DB_FILE, owner, making.method, making.timeout, making.quiet
    )
    files.write_new(staging / OWNER_CARD_FILE, card, 0o600, owner)
    manifest = Manifest(
        **facts,
        state_db_sha256=copy.sha256,
        content_sha256=copy.content_sha256,
        method=copy.method,
    )
    verify(Backup(facts["id"], staging, "plain", manifest=manifest), Keys(node))
    proved = replace(manifest, integrity="quick", verified_at=times.to_text(times.now()))
    files.write_new(staging / FILE_NAME, proved.to_json(), 0o600, owner)


def _fill_encrypted(
    node: Node, making: Making, recipients: Recipients, staging: Path, card: bytes, facts: dict[str, Any]
) -> None:
    chosen = compression.choose(making.compression)
    target = staging / archives.file_name(chosen)
    owner = node.owner()
    with still.opened(node.state_db, making.method, making.timeout, staging, making.quiet) as state:

        def manifest(digests: still.Digests) -> Manifest:
            return Manifest(
                **facts,
                state_db_sha256=digests.sha256,
                content_sha256=digests.content_sha256,
                method=state.method,
                integrity=archives.INTEGRITY,
            )

        written = archives.write(state, card, manifest, target, owner, recipients.keys, chosen)
    made = Backup(facts["id"], staging, "encrypted", archive_name=target.name)
    if read_archive(made, Keys(node)).sha256 != written.sha256:
        raise Damaged("is not what was written to it", path=target, hint="check the disk and run again")
    public = sidecar.Sidecar(
        id=facts["id"],
        created_at=facts["created_at"],
        encrypted_at=facts["created_at"],
        archive=target.name,
        archive_sha256=written.sha256,
        archive_size=written.size,
        recipients=recipients.listed,
        owner_card_sha256=facts["owner_card_sha256"],
        content_sha256=written.manifest.content_sha256,
        name=facts["name"],
        method=state.method,
        verified_at=times.to_text(times.now()),
    )
    files.write_new(staging / sidecar.FILE_NAME, public.to_json(), 0o600, owner)


def remove_leftovers(node: Node, outcome: Outcome) -> None:
    """Remove what killed runs left half made; the caller holds the node's lock, so nobody is at it."""
    for folder in (node.backup_dir, node.replaced_dir):
        with guarded("look for what killed runs left", folder):
            names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
        for name in names:
            if name.startswith(catalogue.STAGING_PREFIX):
                files.remove_tree(folder / name)
                outcome.did(f"removed {folder / name}, left half made by a run that was killed")
