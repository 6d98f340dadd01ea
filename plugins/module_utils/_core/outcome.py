# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operation tells its caller, the same for modules and for the node's command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """``changed``, the ``actions`` taken in order, ``warnings``, a list of ``diff`` parts, and further facts.

    In check mode the same plan is told, with nothing done: ``actions`` are then what would be done.
    """

    changed: bool = False
    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def did(self, action: str) -> None:
        """Note an action that changes the node."""
        self.changed = True
        self.actions.append(action)
