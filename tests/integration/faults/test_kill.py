# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` at every step of a backup and of a restore, and at random instants under a writing station."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.integration.faults import killing
from tests.integration.faults.dying import KILLED
from tests.integration.helpers import sqlite3
from tests.simulator import database, fleet


def test_a_backup_killed_at_any_step_leaves_nothing_that_counts_but_is_not_good(tmp_path: Path) -> None:
    origin = killing.make_node(tmp_path / "origin")
    steps, status = 0, KILLED
    while status == KILLED:
        steps += 1
        root = killing.copy_of(origin, tmp_path / "node")
        status, errors = killing.run(root, "backup", steps)
        assert status in (0, KILLED), errors
        assert len(killing.good_backups(root)) <= 1
        assert sqlite3(root / killing.DB, "PRAGMA integrity_check") == "ok"
        before = len(killing.good_backups(root))
        assert killing.run(root, "backup") == (0, "")
        assert len(killing.good_backups(root)) == before + 1
        assert killing.litter(root) == []
    assert steps > 25


def damage_nothing(root: Path) -> None:
    """The database stays readable: restored through SQLite's backup API."""


def damage_header(root: Path) -> None:
    """The database is none any more: restored in place."""
    with (root / killing.DB).open("r+b") as file:
        file.write(os.urandom(9000))


def remove_database(root: Path) -> None:
    """There is no database: a copy is renamed to its place."""
    (root / killing.DB).unlink()


@pytest.mark.parametrize(
    ("journal", "damage", "then"),
    [
        pytest.param("delete", damage_nothing, "restore", marks=pytest.mark.thorough),
        pytest.param("delete", damage_nothing, "backup", marks=pytest.mark.thorough),
        ("wal", damage_nothing, "backup"),
        ("delete", damage_header, "restore"),
        pytest.param("delete", remove_database, "backup", marks=pytest.mark.thorough),
    ],
)
def test_a_restore_killed_at_any_step_leaves_one_state_or_the_other(
    tmp_path: Path, journal: str, damage: object, then: str
) -> None:
    origin = killing.make_node(tmp_path / "origin", journal)
    assert killing.run(origin, "backup") == (0, "")
    (backup,) = killing.good_backups(origin)
    killing.to_state_b(origin)
    assert callable(damage)
    damage(origin)
    before = killing.state(origin)[0]

    steps, status = 0, KILLED
    while status == KILLED:
        steps += 1
        root = killing.copy_of(origin, tmp_path / "node")
        status, errors = killing.run(root, backup.id, steps)
        assert status in (0, KILLED), errors
        after_kill = killing.state(root)
        assert after_kill[0] in (before, "A")
        assert after_kill[1] in ("A", "B")
        next_status, errors = killing.run(root, backup.id if then == "restore" else "backup")
        settled = killing.state(root)
        if then == "restore":
            assert (next_status, errors) == (0, "")
            assert settled == ("A", "A")
            assert_b_is_kept(root, before)
        else:
            # A node whose database is still damaged cannot be backed up, but it is not a mix either.
            assert settled in (("A", "A"), (before, "B"))
            assert (next_status == 0) == (settled[0] != "broken"), errors
        assert killing.litter(root) == []
    assert steps > 40


def assert_b_is_kept(root: Path, database_before: str) -> None:
    """What the restore replaced can be found again."""
    if database_before == "B":
        cards = [found.owner_card.read_text() for found in killing.good_backups(root)]
    else:
        cards = [
            path.read_text() for path in root.glob(f"runtime/backups/replaced/2*/{Path(killing.CARD).name}")
        ]
    assert killing.CARD_B in cards


@pytest.mark.parametrize("journal", ["delete", pytest.param("wal", marks=pytest.mark.thorough)])
def test_killed_at_random_under_a_writing_station(tmp_path: Path, journal: str) -> None:
    node = tmp_path / "node"
    with fleet.start_node(node, size="4M", journal_mode=journal, commit_interval=0.01) as station:
        assert killing.run(station.root, "backup") == (0, "")
        (first,) = killing.good_backups(station.root)
        started = time.monotonic()
        assert killing.run(station.root, first.id) == (0, "")
        duration = time.monotonic() - started
        for turn in range(24):
            child = killing.start(station.root, first.id if turn % 2 else "backup")
            time.sleep(random.uniform(0.0, duration))  # noqa: S311 - an instant, not a secret
            child.kill()
            child.communicate()
            database.check_invariant(station.state_db)
            killing.good_backups(station.root)
            station.wait_commits(1)
        assert killing.run(station.root, first.id) == (0, "")
        assert killing.run(station.root, "backup") == (0, "")
        station.wait_commits(3)
        database.check_invariant(station.state_db)
        assert sqlite3(station.state_db, "PRAGMA integrity_check") == "ok"
        assert killing.litter(station.root) == []
