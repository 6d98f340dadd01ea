# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping what a restore replaces when it is too damaged to be a backup."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from . import catalogue, files, sqlite, times
from .errors import RunbookError, guarded
from .node import Node

REASON_FILE = "replaced.json"
_SPARE_BYTES = 1 << 20


def originals(node: Node) -> list[Path]:
    """Return which files of the present state exist: the database, its journals, the OwnerCard."""
    journals = [sqlite.sidecar(node.state_db, suffix) for suffix in ("-wal", "-journal")]
    return [path for path in (node.state_db, *journals, node.owner_card) if path.is_file()]


def keep(node: Node, why: str) -> Path | None:
    """Copy the present files as they are into a folder and return it; ``None`` if there are none.

    No SQLite connection of this process may be open on the database meanwhile. Raise a
    :class:`RunbookError` with nothing left behind when there is no room or a file cannot be read.
    """
    present = originals(node)
    if not present:
        return None
    owner = node.owner()
    files.make_folder(node.replaced_dir, 0o700, owner)
    with guarded("read the size", node.state_db):
        files.require_room(node.replaced_dir, sum(path.stat().st_size for path in present) + _SPARE_BYTES)
    instant = times.now()
    final = node.replaced_dir / catalogue.new_id(node.replaced_dir, instant)
    staging = node.replaced_dir / f"{catalogue.STAGING_PREFIX}{final.name}"
    try:
        files.make_folder(staging, 0o700, owner)
        sums = {path.name: files.copy_durably(path, staging / path.name, 0o600, owner) for path in present}
        reason = {
            "replaced_at": times.to_text(instant),
            "why": why,
            "from": {path.name: os.fspath(path) for path in present},
            "sha256": sums,
        }
        files.write_new(staging / REASON_FILE, json.dumps(reason, indent=2).encode(), 0o600, owner)
        with guarded("keep what is replaced", final):
            files.sync_folder(staging)
            staging.rename(final)
            files.sync_folder(node.replaced_dir)
    except BaseException:
        with suppress(RunbookError):
            files.remove_tree(staging)
        raise
    return final
