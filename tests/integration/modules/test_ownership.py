# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who owns what is made: the owner of the node's root, also when root operates the node."""

from __future__ import annotations

import os
from pathlib import Path

from tests.integration.helpers import good, module, sqlite3
from tests.simulator import fleet

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

SERVICE_USER = 12345 if os.geteuid() == 0 else os.geteuid()


def hand_over(root: Path) -> None:
    """Give the whole node to the service user; only root can make it another user than itself."""
    for path in (root, *root.rglob("*")):
        os.lchown(path, SERVICE_USER, -1)


def foreign(root: Path) -> list[str]:
    """What does not belong to the service user."""
    return [str(path) for path in root.rglob("*") if path.lstat().st_uid != SERVICE_USER]


def test_everything_made_belongs_to_the_owner_of_the_root(quiet: fleet.Node) -> None:
    quiet.stop()
    hand_over(quiet.root)
    good(module("backup", encrypt=False, root=quiet.root))
    assert foreign(quiet.root) == []

    sqlite3(quiet.state_db, "DELETE FROM plans")
    quiet.owner_card.write_text("broken: card\n")
    good(module("backup_restore", root=quiet.root, id="latest"))
    assert foreign(quiet.root) == []

    for path in (*quiet.state_db.parent.glob("vvtv.db*"), quiet.owner_card):
        path.unlink()
    good(module("backup_restore", root=quiet.root, id="latest"))
    assert foreign(quiet.root) == []


def test_a_linked_owner_card_is_replaced_where_it_lies(quiet: fleet.Node) -> None:
    real = quiet.root / "elsewhere.yaml"
    quiet.owner_card.rename(real)
    quiet.owner_card.symlink_to(real)
    card = real.read_bytes()
    good(module("backup", encrypt=False, root=quiet.root))
    real.write_bytes(card + b"# more\n")
    good(module("backup_restore", root=quiet.root, id="latest"))
    assert quiet.owner_card.is_symlink()
    assert real.read_bytes() == card
