# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a node keeps its things. Defaults are the runbook's, relative to the node's root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import files
from .errors import AnyPath, NotFound, guarded, require_absolute

STATE_DB = "runtime/state/vvtv.db"
OWNER_CARD = "config/owner_card.sample.yaml"
BACKUP_DIR = "runtime/backups"
KEY_DIR = "runtime/keys"


@dataclass(frozen=True)
class Node:
    """The paths of one node; all absolute."""

    root: Path
    state_db: Path
    owner_card: Path
    backup_dir: Path
    key_dir: Path

    @classmethod
    def at(
        cls,
        root: AnyPath,
        state_db: AnyPath | None = None,
        owner_card: AnyPath | None = None,
        backup_dir: AnyPath | None = None,
        key_dir: AnyPath | None = None,
    ) -> Node:
        """Return the node at ``root``, an existing folder; the other paths may be relative to it.

        Raise :class:`BadInput` for a relative root and :class:`NotFound` for one that does not exist.
        """
        base = require_absolute(root, "root")
        with guarded("look at the node's root", base):
            found = base.is_dir()
        if not found:
            raise NotFound("the node's root is no folder", path=base, hint="check the option root")

        def below(value: AnyPath | None, default: str) -> Path:
            return Path(os.path.realpath(require_absolute(base / (value or default), "a path of the node")))

        # Links are followed once, here: a file is replaced where it lies, and not the link to it.
        return cls(
            base,
            below(state_db, STATE_DB),
            below(owner_card, OWNER_CARD),
            below(backup_dir, BACKUP_DIR),
            below(key_dir, KEY_DIR),
        )

    @property
    def runtime(self) -> Path:
        """The folder of the lock and of the intent, the same for everybody who operates this root."""
        return self.root / "runtime"

    @property
    def lock_file(self) -> Path:
        """The file whose kernel lock means: somebody operates this node."""
        return self.runtime / "runbook.lock"

    @property
    def restore_intent(self) -> Path:
        """Where a restore says what it is about to do."""
        return self.runtime / "runbook.restore.json"

    @property
    def replaced_dir(self) -> Path:
        """Where a restore keeps what it replaced and could not back up, such as a damaged database."""
        return self.backup_dir / "replaced"

    def owner(self) -> files.Owner:
        """The owner of the node's files: whoever owns its root."""
        return files.Owner.of(self.root)
