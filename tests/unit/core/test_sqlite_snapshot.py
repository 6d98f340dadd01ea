# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of a database that is being written, and when two databases have the same content."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    scratch,
    sqlite,
    sqlite_snapshot,
    still,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Busy,
    Damaged,
    DiskFull,
    NotFound,
    Unsupported,
    guarded,
)
from tests.simulator import database, fleet

from .conftest import ME, another, ask, journal_mode, sha256sum

COUNT = "SELECT count(*) FROM plans"
INSERT = "INSERT INTO plans VALUES ('new', '{}', '2026-01-01T00:00:00+00:00')"


def content(path: Path) -> str | None:
    return sqlite_snapshot.live_content(path, 1)


@pytest.mark.parametrize("method", ["auto", "pinned", "memory", "online", "vacuum"])
def test_a_copy_is_sound_complete_and_free_of_a_wal(live: Path, tmp_path: Path, method: str) -> None:
    copy = still.take(live, tmp_path / "copy.db", ME, method, 5)
    best = "pinned" if journal_mode(live) == "wal" else "memory"
    assert copy.method == (best if method == "auto" else method)
    assert copy.sha256 == sha256sum(tmp_path / "copy.db")
    assert copy.size == (tmp_path / "copy.db").stat().st_size
    assert (tmp_path / "copy.db").read_bytes()[18:20] == b"\1\1"
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    database.check_invariant(tmp_path / "copy.db")
    assert sqlite.digests_of(tmp_path / "copy.db") == (copy.sha256, copy.content_sha256)
    dumps = [ask(path, ".dump") for path in (live, tmp_path / "copy.db")]
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize("method", ["pinned", "memory", "online"])
def test_a_copy_has_the_content_digest_of_its_source(live: Path, tmp_path: Path, method: str) -> None:
    assert still.take(live, tmp_path / "copy.db", ME, method, 5).content_sha256 == content(live)


@pytest.mark.parametrize("journal", database.JOURNAL_MODES)
@pytest.mark.parametrize("method", ["pinned", "memory", "online", "vacuum"])
def test_copies_under_a_hammering_writer_are_states_that_were(
    tmp_path: Path, journal: str, method: str
) -> None:
    with fleet.start_node(tmp_path / "node", size="500K", journal_mode=journal, commit_interval=0) as node:
        for number in range(15):
            target = tmp_path / f"copy{number}.db"
            still.take(node.state_db, target, ME, method, 10)
            database.check_invariant(target)
            sqlite.check_still(target, "full")
        node.wait_commits(2)


def test_a_pin_holds_writers_with_a_rollback_journal_and_lets_them_go_on_in_wal_mode(live: Path) -> None:
    with sqlite_snapshot.pinned(live, 1) as pin:
        with another(live, INSERT) as said:
            assert said == ("done" if journal_mode(live) == "wal" else "database is locked")
        data = b"".join(sqlite_snapshot.read_pinned(pin))
    assert len(data) == pin.size
    assert b"'new'" not in data
    with another(live, "DELETE FROM plans WHERE plan_id = 'new'", INSERT) as said:
        assert said == "done"


def test_an_old_reader_of_the_wal_makes_the_copy_an_online_one(tmp_path: Path) -> None:
    live = tmp_path / "vvtv.db"
    database.create_database(live, 200_000, "wal", 1)
    reading = another(live, "BEGIN", "SELECT count(*) FROM plans")
    with another(live, INSERT), reading, another(live, "DELETE FROM plans WHERE plan_id = 'new'"):
        with pytest.raises(Unsupported, match="old reader"):
            still.take(live, tmp_path / "pinned.db", ME, "pinned", 0.2)
        copy = still.take(live, tmp_path / "copy.db", ME, "auto", 0.2)
        assert content(live) is None
    assert copy.method == "online"
    assert ask(tmp_path / "copy.db", "SELECT count(*) FROM plans WHERE plan_id = 'new'") == "0"


@contextmanager
def checkpointing(path: Path) -> Iterator[None]:
    """Let another process be in the midst of a checkpoint: hold the byte that SQLite locks for one."""
    hold = f"""
import fcntl, sys
with open({os.fspath(path) + "-shm"!r}, "r+b") as shm:
    fcntl.lockf(shm, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 121)
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout and process.stdout.readline() == "held\n"
        yield
        process.stdin.close()


def test_a_checkpoint_of_somebody_else_is_waited_for_and_never_read_halfway(tmp_path: Path) -> None:
    live = tmp_path / "vvtv.db"
    database.create_database(live, 200_000, "wal", 1)
    with another(live, "PRAGMA wal_autocheckpoint=0", INSERT):
        with checkpointing(live):
            with pytest.raises(Unsupported, match="somebody else's checkpoint"):
                still.take(live, tmp_path / "pinned.db", ME, "pinned", 0.2)
            assert still.take(live, tmp_path / "auto.db", ME, "auto", 0.2).method == "online"
        assert still.take(live, tmp_path / "after.db", ME, "auto", 0.2).method == "pinned"
    for copy in ("auto.db", "after.db"):
        assert ask(tmp_path / copy, "SELECT count(*) FROM plans WHERE plan_id = 'new'") == "1"


def test_a_renewed_lease_is_no_content_and_everything_else_is(live: Path) -> None:
    ask(live, "INSERT OR REPLACE INTO scheduler_locks VALUES ('scheduler-main', 'a', 'x', 'y')")
    before = content(live)
    ask(live, "UPDATE scheduler_locks SET owner_id = 'b', expires_at = 'later'")
    assert content(live) == before
    ask(live, "UPDATE assets SET updated_at = updated_at || 'x' WHERE rowid = 1")
    assert content(live) != before


def test_a_lease_that_has_grown_is_content(live: Path) -> None:
    ask(live, "INSERT INTO scheduler_locks SELECT 'x' || plan_id, payload_json, '', '' FROM plans")
    before = content(live)
    ask(live, "UPDATE scheduler_locks SET owner_id = owner_id || 'y'")
    assert content(live) != before


def test_any_new_row_in_any_table_is_content(live: Path) -> None:
    rows = {
        "plans": "'n', '{}', ''",
        "assets": "'n', '{}', ''",
        "queue_entries": "'n', '', '{}'",
        "audit_events": "'n', '', '{}'",
        "metric_samples": "'', '{}'",
        "alert_states": "'n', 0, NULL, ''",
    }
    seen = {content(live)}
    for number, (table, values) in enumerate(rows.items()):
        ask(live, f"INSERT INTO {table} VALUES ({values})")
        seen.add(content(live))
        assert len(seen) == number + 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_the_content_digest_does_not_depend_on_the_chunks(tmp_path: Path, cuts: list[int]) -> None:
    data = bytes(range(256)) * 16 * 12
    whole = sqlite.ContentDigest(4096, [3, 7])
    whole.update(data)
    parts, offset = sqlite.ContentDigest(4096, [3, 7]), 0
    for pages in cuts:
        parts.update(data[offset : offset + pages * 4096])
        offset += pages * 4096
    parts.update(data[offset:])
    assert parts.hexdigest() == whole.hexdigest()


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
def test_every_page_size_is_copied(tmp_path: Path, page_size: int) -> None:
    live = tmp_path / "vvtv.db"
    ask(
        live,
        f"PRAGMA page_size={page_size}; CREATE TABLE plans (a); INSERT INTO plans VALUES (randomblob(90000))",
    )
    copy = still.take(live, tmp_path / "copy.db", ME, "pinned", 1)
    assert copy.sha256 == sha256sum(tmp_path / "copy.db") == sha256sum(live)


def test_a_locked_database_is_busy_after_the_timeout(live: Path, tmp_path: Path) -> None:
    # Readers of a WAL need not wait for its writer.
    methods = ["pinned"] if journal_mode(live) == "wal" else ["pinned", "memory", "online", "vacuum"]
    with another(live, "BEGIN EXCLUSIVE"):
        for method in methods:
            with pytest.raises(Busy, match="locked"):
                still.take(live, tmp_path / f"{method}.db", ME, method, 0.2)


@pytest.mark.parametrize("method", ["pinned", "memory", "online", "vacuum"])
def test_sqlite_checks_the_very_state_that_is_read(live: Path, tmp_path: Path, method: str) -> None:
    with still.opened(live, method, 1, tmp_path) as opened:
        opened.check("full")
        assert opened.connection.execute("SELECT count(*) FROM plans").fetchone()[0] == int(ask(live, COUNT))
        copied = b"".join(opened.chunks)
        opened.check("full")
    (tmp_path / "copied.db").write_bytes(copied)
    assert ask(tmp_path / "copied.db", "PRAGMA integrity_check") == "ok"
    assert list(tmp_path.glob("*vacuumed*")) == []


@pytest.mark.parametrize("method", ["pinned", "memory"])
def test_damage_inside_the_database_is_found_as_it_is_copied(tmp_path: Path, method: str) -> None:
    live = tmp_path / "vvtv.db"
    ask(live, "CREATE TABLE plans (a); INSERT INTO plans SELECT randomblob(9000) FROM generate_series(1, 9)")
    with live.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with (
        still.opened(live, method, 1, tmp_path) as opened,
        pytest.raises(Damaged, match=r"quick_check found|malformed"),
    ):
        opened.check("quick")


def test_without_room_in_memory_the_next_way_is_taken(
    live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_available", lambda: 0)
    for method in ("memory", "online"):
        with pytest.raises(Unsupported, match="no room in memory"):
            still.take(live, tmp_path / f"{method}.db", ME, method, 1)
    assert still.take(live, tmp_path / "copy.db", ME, "auto", 1).method == "pinned"
    if journal_mode(live) == "wal":
        reading = another(live, "BEGIN", "SELECT count(*) FROM plans")
        with another(live, INSERT), reading, another(live, "DELETE FROM plans WHERE plan_id = 'new'"):
            assert still.take(live, tmp_path / "second.db", ME, "auto", 0.2).method == "vacuum"


def test_when_somebody_else_takes_the_memory_meanwhile_the_database_is_read_where_it_lies(
    live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: scratch.Scratch, _database: Path, _size: int) -> None:
        raise DiskFull("cannot use memory: No space left on device", path=scratch.FOLDER)

    monkeypatch.setattr(scratch.Scratch, "fill", full)
    with pytest.raises(DiskFull):
        still.take(live, tmp_path / "memory.db", ME, "memory", 1)
    copy = still.take(live, tmp_path / "copy.db", ME, "auto", 1)
    assert (copy.method, copy.sha256) == ("pinned", sha256sum(tmp_path / "copy.db"))


def test_a_full_disk_is_never_told_as_a_lack_of_memory() -> None:
    full = pytest.raises(DiskFull, match="/dev/full: cannot write")
    with full, guarded("write", "/dev/full"), scratch.scratch(1 << 20):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database\n" * 100)
    (tmp_path / "folder").mkdir()
    ask(tmp_path / "other.db", "CREATE TABLE customers (a)")
    for name, error in (("text", Damaged), ("folder", Damaged), ("other.db", Damaged), ("none", NotFound)):
        with pytest.raises(error) as caught:
            still.take(tmp_path / name, tmp_path / "copy.db", ME, "auto", 0.2)
        assert str(tmp_path / name) in str(caught.value)
        (tmp_path / "copy.db").unlink()


def test_an_unknown_method_is_refused(live: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="method must be one of"):
        still.take(live, tmp_path / "copy.db", ME, "cp", 1)
