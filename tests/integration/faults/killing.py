# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the engine in a child that is killed, and nodes whose two states can be told apart.

State A is what the backup holds, state B the node's present one; they differ in the number of plans and in
the OwnerCard.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    backup,
    catalogue,
    files,
    key_states,
    node,
    opening,
    restore,
    verify,
)
from tests.integration.faults.dying import Child
from tests.integration.helpers import sqlite3
from tests.simulator import database, owner_card

DB = "runtime/state/vvtv.db"
CARD = "config/owner_card.sample.yaml"
CARD_A = owner_card.SAMPLE
CARD_B = owner_card.SAMPLE + "# state B\n"
PLANS = "SELECT count(*) FROM plans"

_KEYS: dict[str, dict[str, Any]] = {
    "rotate": {"state": "rotated"},
    "prune": {"state": "pruned", "retention": 0},
    "rewrap": {"rewrap": True},
    "rekey": {"rekey": True},
    "present": {},
}


def _operate(root: Path, operation: str, options: tuple[str, ...]) -> None:
    if "no-precheck" in options:
        files.require_room = lambda folder, needed: None
    if "as-nobody" in options:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    if operation in _KEYS:
        key_states.bring_about(at(root), key_states.Request(timeout=10, **_KEYS[operation]))
    elif operation == "backup":
        request = backup.Request(force=True, timeout=10, encrypt="encrypt" in options)
        backup.back_up(at(root), request)
    else:
        restore.restore(at(root), restore.Request(operation, timeout=10))


def start(root: Path, operation: str, kill_at: int = 0, *options: str) -> Child:
    """Start ``backup``, a state of the keys, or the restore of an id; it dies at its ``kill_at``-th step."""
    return Child(lambda: _operate(root, operation, options), kill_at)


def run(root: Path, operation: str, kill_at: int = 0, *options: str) -> tuple[int, str]:
    """The same to its end; return exit status and standard error."""
    child = start(root, operation, kill_at, *options)
    _out, errors = child.communicate()
    assert child.returncode is not None
    return child.returncode, errors


def count_steps(root: Path, operation: str, *options: str) -> int:
    """Run it to its end and return at how many steps it could have been killed."""
    return start(root, operation, 0, *options).steps


def make_node(root: Path, journal: str = "delete") -> Path:
    """Make a node in state A with a stopped station."""
    (root / DB).parent.mkdir(parents=True)
    (root / CARD).parent.mkdir(parents=True)
    database.create_database(root / DB, 150_000, journal, 1)
    (root / CARD).write_text(CARD_A)
    return root


def to_state_b(root: Path) -> None:
    """Move a node on from state A."""
    sqlite3(root / DB, "DELETE FROM plans WHERE rowid <= 5")
    (root / CARD).write_text(CARD_B)


def copy_of(root: Path, where: Path) -> Path:
    """Return a fresh copy of a node."""
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(root, where, symlinks=True)
    return where


def good_backups(root: Path) -> list[catalogue.Backup]:
    """Return the backups that count, after proving every one of them good."""
    usable = [found for found in catalogue.list_backups(root / "runtime/backups") if found.problem is None]
    for found in usable:
        verify.verify(found, opening.Keys(at(root)), "full")
    return usable


def state(root: Path) -> tuple[str, str]:
    """Return which state the database and the card are in; a database that is none says ``broken``."""
    try:
        plans = sqlite3(root / DB, PLANS) if (root / DB).exists() else "broken"
        sound = plans if plans == "broken" else sqlite3(root / DB, "PRAGMA integrity_check")
    except subprocess.CalledProcessError:
        plans = sound = "broken"
    assert sound in ("ok", "broken")
    total = int(sqlite3(min((root / "runtime/backups").glob("2*Z")) / "state.db", PLANS))
    known = {str(total): "A", str(total - 5): "B", "broken": "broken"}
    cards = {CARD_A: "A", CARD_B: "B"}
    return known[plans], cards[(root / CARD).read_text()] if (root / CARD).exists() else "broken"


def litter(root: Path) -> list[str]:
    """Return what a killed run left and nobody removed."""
    patterns = (".staging-*", "*.vvtv-new", "runbook.restore.json")
    return [str(path.relative_to(root)) for pattern in patterns for path in root.rglob(pattern)]


def at(root: Path) -> node.Node:
    """Return the engine's node."""
    return node.Node.at(root)
