# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restoring into databases that are in use, damaged or missing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import sqlite_restore, sqlite_snapshot, still
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Busy, Unsupported
from tests.simulator import database

from .conftest import ME, another, ask, journal_mode

COUNT = "SELECT count(*) FROM plans"


@pytest.fixture
def source(live: Path, tmp_path: Path) -> Path:
    """A copy of the live database, whose plans are gone since."""
    still.take(live, tmp_path / "source.db", ME, "auto", 1)
    ask(live, "DELETE FROM plans")
    return tmp_path / "source.db"


def test_an_open_connection_sees_the_restored_data_and_goes_on(live: Path, source: Path) -> None:
    mode = journal_mode(live)
    with closing(sqlite3.connect(live, isolation_level=None)) as station:
        assert station.execute(COUNT).fetchone() == (0,)
        with sqlite_restore.held(live, 1) as hold:
            hold.restore(source)
        restored = int(ask(source, COUNT))
        assert station.execute(COUNT).fetchone() == (restored,)
        station.execute("INSERT INTO plans VALUES ('after', '{}', '')")
        assert ask(live, COUNT) == str(restored + 1)
    assert journal_mode(live) == mode
    assert ask(live, "PRAGMA integrity_check") == "ok"


def test_nobody_commits_while_it_is_held_and_readers_go_on(live: Path, source: Path) -> None:
    with sqlite_restore.held(live, 1):
        with another(live, "DELETE FROM assets") as said:
            assert said == "database is locked"
        with another(live, COUNT) as said:
            assert said == "done"
    with another(live, "DELETE FROM assets") as said:
        assert said == "done"


def test_with_a_rollback_journal_nobody_gets_between_restore_and_proof(live: Path, source: Path) -> None:
    with sqlite_restore.held(live, 1) as hold:
        hold.restore(source)
        with another(live, "DELETE FROM assets") as said:
            assert said == ("done" if hold.wal else "database is locked")
        expected = None if hold.wal else sqlite_snapshot.live_content(source, 1)
        assert hold.content() == expected


def test_a_restore_raises_the_schema_version_by_one(live: Path, source: Path) -> None:
    before = sqlite_restore.schema_version(live, 1)
    with sqlite_restore.held(live, 1) as hold:
        hold.restore(source)
    assert sqlite_restore.schema_version(live, 1) == before + 1


def test_a_reader_that_stays_makes_a_restore_busy_and_changes_nothing(tmp_path: Path) -> None:
    live = tmp_path / "vvtv.db"
    database.create_database(live, 100_000, "delete", 1)
    still.take(live, tmp_path / "source.db", ME, "auto", 1)
    ask(live, "DELETE FROM plans")
    busy = pytest.raises(Busy, match="no gap")
    with another(live, "BEGIN", COUNT), busy, sqlite_restore.held(live, 0.3) as hold:
        hold.restore(tmp_path / "source.db")
    assert ask(live, COUNT) == "0"
    assert ask(live, "PRAGMA integrity_check") == "ok"


def test_another_page_size_is_restored_or_refused(live: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    ask(source, "PRAGMA page_size=8192; CREATE TABLE plans (a); INSERT INTO plans VALUES (1)")
    if journal_mode(live) == "wal":
        with pytest.raises(Unsupported, match="pages of 4096 bytes"), sqlite_restore.held(live, 1) as hold:
            hold.restore(source)
        database.check_invariant(live)
    else:
        with sqlite_restore.held(live, 1) as hold:
            hold.restore(source)
        assert ask(live, COUNT) == "1"


def test_the_way_into_a_database_follows_its_header(live: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database at all\n" * 50)
    ways = {
        name: sqlite_restore.way_into(tmp_path / name, 1)
        for name in ("vvtv.db", "empty.db", "text.db", "none")
    }
    assert ways == {"vvtv.db": "live", "empty.db": "live", "text.db": "overwrite", "none": "create"}


def test_a_garbage_header_is_overwritten_for_who_holds_it_open(tmp_path: Path) -> None:
    live, source = tmp_path / "vvtv.db", tmp_path / "source.db"
    database.create_database(live, 100_000, "delete", 1)
    still.take(live, source, ME, "auto", 1)
    with closing(sqlite3.connect(live, isolation_level=None)) as station:
        before = station.execute(COUNT).fetchone()
        station.execute("INSERT INTO plans VALUES ('lost', '{}', '')")
        with live.open("r+b") as file:
            file.write(os.urandom(30_000))
        (tmp_path / "vvtv.db-journal").write_bytes(os.urandom(500))
        assert sqlite_restore.way_into(live, 1) == "overwrite"
        sqlite_restore.overwrite(source, live, 1)
        assert not (tmp_path / "vvtv.db-journal").exists()
        assert station.execute(COUNT).fetchone() == before
        station.execute("INSERT INTO plans VALUES ('after', '{}', '')")
    assert ask(live, "PRAGMA integrity_check") == "ok"
    assert sqlite_restore.way_into(live, 1) == "live"


def test_overwriting_waits_for_who_has_it_locked(tmp_path: Path) -> None:
    live, source = tmp_path / "vvtv.db", tmp_path / "source.db"
    database.create_database(live, 100_000, "delete", 1)
    still.take(live, source, ME, "auto", 1)
    with another(live, "BEGIN EXCLUSIVE"), pytest.raises(Busy, match="somebody keeps it locked"):
        sqlite_restore.overwrite(source, live, 0.2)
    database.check_invariant(live)


def test_a_missing_database_loses_its_old_sidecars(live: Path, source: Path) -> None:
    live.unlink()
    for suffix in ("-wal", "-journal", "-shm"):
        (live.parent / f"{live.name}{suffix}").write_bytes(os.urandom(100))
    staged = sqlite_restore.create(source, live, ME)
    staged.replace(live)
    assert ask(live, COUNT) == ask(source, COUNT)
    assert ask(live, "PRAGMA integrity_check") == "ok"


def test_who_holds_a_deleted_database_is_named(live: Path) -> None:
    with another(live, COUNT):
        assert any("(pid " in holder for holder in sqlite_restore.holders(live))
        assert sqlite_restore.holders(live, deleted=True) == []
        live.unlink()
        assert any("(pid " in holder for holder in sqlite_restore.holders(live, deleted=True))
