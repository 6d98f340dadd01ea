# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a node keeps what it knows of one rollout: one folder, named by the rollout's id.

It is the runbook's ``VVTV_CANARY_OUT_DIR``, so that ``result.env`` and ``soak/summary.txt`` lie where the
runbook's own promotion gate looks for them (node contract, "Layout").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .. import files, times
from ..errors import AnyPath, BadInput, require_absolute
from ..node import Node

CANARY_DIR = "runtime/canary"
PROMOTIONS_DIR = "runtime/releases/promotions"

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[a-z0-9]{1,24})?", re.ASCII)


def check_id(rollout: str) -> str:
    """Return a rollout's id; raise :class:`BadInput` unless it has the form ``YYYYMMDDTHHMMSSZ[-word]``."""
    if not _ID.fullmatch(rollout) or times.of_id(rollout[:16]) is None:
        raise BadInput(
            f"{rollout[:60]!r} is no rollout id; it must be like 20260131T235959Z or 20260131T235959Z-word"
        )
    return rollout


def backup_name(rollout: str) -> str:
    """Return the name of the backup that a rollout owns on each node."""
    return f"rollout-{rollout.lower()}"


@dataclass(frozen=True)
class Folder:
    """The folder of one rollout on one node; it need not exist."""

    node: Node
    rollout: str
    path: Path

    @classmethod
    def of(cls, node: Node, rollout: str, canary_dir: AnyPath | None = None) -> Folder:
        """Return the folder of a rollout; ``canary_dir`` may be relative to the node's root."""
        base = require_absolute(node.root / (canary_dir or CANARY_DIR), "canary_dir")
        return cls(node, check_id(rollout), base / rollout)

    @property
    def record(self) -> Path:
        """Every transition of the node, one line each."""
        return self.path / "record.jsonl"

    @property
    def begun(self) -> Path:
        """What the rollout brings to the node, and what was there before."""
        return self.path / "rollout.json"

    @property
    def former_card(self) -> Path:
        """The OwnerCard that was in force before."""
        return self.path / "before" / "owner_card.yaml"

    @property
    def candidate_card(self) -> Path:
        """The OwnerCard that the rollout brings."""
        return self.path / "candidate" / "owner_card.yaml"

    @property
    def soak(self) -> Path:
        """The folder of the soak: its summary and its samples."""
        return self.path / "soak"

    @property
    def result(self) -> Path:
        """How it ended, as the runbook's own gate reads it."""
        return self.path / "result.env"

    @property
    def promotions(self) -> Path:
        """The folder of the node's promotion records."""
        return self.node.root / PROMOTIONS_DIR

    @property
    def lease(self) -> Path:
        """The file that says which rollout has the node: the same for all of them."""
        return self.node.runtime / "runbook.rollout.json"

    def make(self) -> None:
        """Create the folder, and those in it that others write to."""
        for folder in (self.path, self.former_card.parent, self.candidate_card.parent, self.soak):
            files.make_folder(folder, 0o750, self.node.owner())
