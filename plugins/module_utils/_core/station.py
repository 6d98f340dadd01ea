# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restarting the station, so that a restart that is owed outlives whoever owes it.

That one is owed is said on disk before what the station reads at its start is changed; a run that is killed
in between is finished by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from . import card_change, files, programs, times
from .errors import RunbookError
from .node import Node
from .rollout.begun import Restart

SECONDS = 300.0


class NotRestarted(RunbookError):
    """The station was not restarted, or nobody can tell; the restart stays owed."""

    code: ClassVar[str] = "not_restarted"


def owed_marker(node: Node) -> Path:
    """Return the file whose presence means: the station may run something else than what is in place."""
    return node.runtime / "runbook.restart.json"


def owes(node: Node) -> bool:
    """Whether a restart is owed."""
    return owed_marker(node).exists()


def owe(node: Node, facts: Mapping[str, Any]) -> None:
    """Say on disk that the station has to be restarted, and why."""
    said = {**facts, "since": times.to_text(times.now())}
    files.make_folder(node.runtime, 0o755, node.owner())
    files.replace(owed_marker(node), (json.dumps(said) + "\n").encode(), 0o644, node.owner())


def restart(node: Node, how: Restart, seconds: float = SECONDS) -> bool:
    """Restart the station and settle what was owed; return whether there is a way to restart it at all.

    A station that starts reads its OwnerCard as well, so a reload that was owed is settled too. Raise
    :class:`NotRestarted` when the command fails or is not over after ``seconds``.
    """
    if how.argv:
        if how.units:  # a release that did not start may have used up the unit's starts
            programs.run(("systemctl", "reset-failed", *how.units), seconds)
        try:
            programs.require(how.argv, seconds)
        except RunbookError as exc:
            raise NotRestarted(f"the station was not restarted: {exc.msg}", hint=exc.hint) from exc
        files.remove(card_change.owed_marker(node))
    settle(node)
    return bool(how.argv)


def settle(node: Node) -> None:
    """Forget an owed restart; a name that comes back after a power cut costs one restart too many."""
    files.remove(owed_marker(node))
