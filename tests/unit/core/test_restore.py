# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores as a whole: what an interrupted one comes to, and that no commit is lost in between."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    backup,
    files,
    restore,
    restore_recovery,
    sqlite_restore,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from tests.simulator import database, owner_card

from .conftest import ME, ask

NEW_CARD = owner_card.SAMPLE + "# restored\n"

# Commits ids one after the other without a pause, and says each only after its commit.
_WRITER = """
import sqlite3, sys
at = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
number = 0
while True:
    number += 1
    at.execute("INSERT OR REPLACE INTO plans VALUES (?, '{}', '')", (f"ledger-{number}",))
    print(number, flush=True)
"""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node of a stopped station with a rollback journal."""
    (tmp_path / "runtime/state").mkdir(parents=True)
    (tmp_path / "config").mkdir()
    database.create_database(tmp_path / "runtime/state/vvtv.db", 150_000, "delete", 1)
    (tmp_path / "config/owner_card.sample.yaml").write_text(owner_card.SAMPLE)
    return Node.at(tmp_path)


def interrupted(node: Node, way: str, schema_version: int) -> None:
    """Leave what a restore leaves that is killed after it declared its intent."""
    moves = ((files.stage(node.owner_card, NEW_CARD.encode(), 0o644, ME), node.owner_card),)
    facts = {"backup": "20260101T000000Z", "way": way, "schema_version": schema_version}
    files.declare(files.Intent(node.restore_intent, moves, facts), ME)


@pytest.mark.parametrize("raised_by", [0, 1])
def test_the_card_follows_if_and_only_if_the_database_was_restored(node: Node, raised_by: int) -> None:
    interrupted(node, "live", sqlite_restore.schema_version(node.state_db, 1) - raised_by)
    outcome = Outcome()
    restore_recovery.finish_interrupted(node, 1, outcome)
    assert node.owner_card.read_text() == (NEW_CARD if raised_by else owner_card.SAMPLE)
    assert not node.restore_intent.exists()
    assert not files.staged_path(node.owner_card).exists()
    assert "20260101T000000Z" in outcome.actions[0]


def test_the_card_follows_a_database_that_was_overwritten(node: Node) -> None:
    interrupted(node, "overwrite", 0)
    restore_recovery.finish_interrupted(node, 1, Outcome())
    assert node.owner_card.read_text() == NEW_CARD


def test_the_card_stays_when_the_overwritten_database_is_none_yet(node: Node) -> None:
    node.state_db.write_bytes(b"\0" * 9000)
    interrupted(node, "overwrite", 0)
    restore_recovery.finish_interrupted(node, 1, Outcome())
    assert node.owner_card.read_text() == owner_card.SAMPLE


def test_a_backup_settles_an_interrupted_restore_first_and_check_mode_says_so(node: Node) -> None:
    interrupted(node, "live", sqlite_restore.schema_version(node.state_db, 1) - 1)
    foretold = backup.back_up(node, backup.Request(encrypt=False), check=True)
    assert foretold.actions[0].startswith("settle the restore of 20260101T000000Z")
    assert node.restore_intent.exists()
    done = backup.back_up(node, backup.Request(encrypt=False))
    assert done.actions[0].startswith("finished the restore of 20260101T000000Z")
    assert (Path(done.facts["backup"]["path"]) / "owner_card.yaml").read_text() == NEW_CARD


def test_an_intent_that_names_other_files_is_refused(node: Node) -> None:
    node.restore_intent.write_text('{"moves": [["/etc/passwd", "/etc/shadow"]], "facts": {}}')
    with pytest.raises(Damaged, match="may not move"):
        backup.back_up(node, backup.Request(encrypt=False))
    warned = backup.back_up(node, backup.Request(encrypt=False), check=True)
    assert "may not move" in warned.warnings[0]


@pytest.mark.one_python
def test_no_commit_is_lost_between_keeping_the_present_state_and_restoring(node: Node) -> None:
    first = backup.back_up(node, backup.Request(encrypt=False)).facts["backup"]["id"]
    command = [sys.executable, "-c", _WRITER, str(node.state_db)]
    # A file, since a pipe that nobody empties would stop the writer.
    ledger = node.root / "ledger"
    kept = []
    with ledger.open("w") as out, subprocess.Popen(command, stdout=out) as writer:
        for _turn in range(2):
            time.sleep(0.3)
            safety = restore.restore(node, restore.Request(first)).facts["safety"]
            kept.append(Path(safety["path"]) / "state.db")
        time.sleep(0.1)
        writer.kill()
    said = {f"ledger-{number}" for number in ledger.read_text().split()}
    found: set[str] = set()
    for path in (*kept, node.state_db):
        found |= set(ask(path, "SELECT plan_id FROM plans WHERE plan_id LIKE 'ledger-%'").split())
    assert len(said) > 20
    assert said - found == set()
