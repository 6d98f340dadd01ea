# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading state.db beside a station: bounded, quick, nothing made, and every trouble told apart."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import state_db, state_history
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Busy,
    Damaged,
    NotFound,
    RunbookError,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.state_history import (
    History,
    Integrity,
    Scope,
    read,
)
from tests.simulator import database, gauges

from .conftest import another, ask, journal_mode, sha256sum

END = datetime(2026, 1, 1, tzinfo=timezone.utc)  # when a made database's history ends
HOUR = timedelta(hours=1)
PAYLOAD = gauges.dump(gauges.MADE_UP)


def node_of(path: Path) -> Node:
    return Node.at(path.parent, state_db=path)


def look(path: Path, timeout: float = 1, integrity: str = "light", **scope: Any) -> History:
    return read(node_of(path), timeout, integrity, Scope(**scope), END)


def insert(path: Path, table: str, *rows: tuple[object, ...]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        marks = ", ".join("?" for _column in rows[0])
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.commit()


# --- a database in order ---


def test_a_stopped_stations_database_is_read_and_left_as_it_was(live: Path) -> None:
    before = {path.name: sha256sum(path) for path in live.parent.iterdir()}
    for integrity in state_history.INTEGRITY:
        history = look(live, integrity=integrity)
        for part in ("integrity", "failures", "assets", "lease", "samples"):
            assert getattr(history, part).ok, part
        assert history.integrity.value == Integrity(integrity, integrity)
    assert history.lease.value is None
    assert history.assets.value is True
    assert history.failures.value is not None
    assert history.failures.value.domains == ()
    found = history.samples.value
    assert found is not None
    assert [one.at for one in found.newest] == [END - number * HOUR / 2 for number in range(16)]
    assert found.newest[0].gauges == gauges.parse(
        ask(live, "SELECT payload_json FROM metric_samples ORDER BY ts DESC LIMIT 1")
    )
    assert {path.name: sha256sum(path) for path in live.parent.iterdir()} == before


def test_a_killed_stations_wal_is_read(tmp_path: Path) -> None:
    live, left = tmp_path / "live.db", tmp_path / "left.db"
    database.create_database(live, 200_000, "wal", 1)
    with another(
        live,
        "PRAGMA wal_autocheckpoint=0",
        f"INSERT INTO metric_samples VALUES ('2026-01-02T00:00:00Z', '{PAYLOAD}')",
    ):
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{live}{suffix}", f"{left}{suffix}")
    found = look(left).samples.value
    assert found is not None
    assert found.newest[0].at == END + 24 * HOUR


def test_a_reader_of_a_writing_station_is_in_nobodys_way(live: Path) -> None:
    with another(live, "BEGIN IMMEDIATE", "DELETE FROM plans") as said:
        assert said == "done"
        assert look(live, 5).samples.ok
    with another(live, "BEGIN", "SELECT count(*) FROM plans"):
        assert look(live, 5, "quick").integrity.value == Integrity("quick", "quick")


def test_the_lease_is_read_to_the_nanosecond_and_only_the_schedulers(live: Path) -> None:
    insert(live, "scheduler_locks", ("other", "x", "y", "z"))
    assert look(live).lease.value is None
    insert(live, "scheduler_locks", ("scheduler-main", "me\n", "", "2026-01-01T00:00:30.123456789+00:00"))
    held = look(live).lease.value
    assert held is not None
    assert (held.owner, held.expires_at) == ("me", END + timedelta(seconds=30, microseconds=123456))


def test_a_lease_without_an_instant_is_damage_of_that_part_alone(live: Path) -> None:
    insert(live, "scheduler_locks", ("scheduler-main", "me", "", "soon"))
    history = look(live)
    assert history.lease.error is not None
    assert history.lease.error.reason == "damaged"
    assert "soon" in history.lease.error.msg
    assert history.samples.ok


# --- nothing to read, and why ---


def _text(path: Path) -> None:
    path.write_text("no database\n" * 1000)


def _foreign(path: Path) -> None:
    ask(path, "CREATE TABLE customers (a); INSERT INTO customers VALUES (1)")


def _cut(path: Path) -> None:
    database.create_database(path, 200_000, "delete", 1)
    os.truncate(path, 100 * 1024)


def _headless(path: Path) -> None:
    database.create_database(path, 200_000, "delete", 1)
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "not_found"),
    "no folder": (lambda path: path.parent.rmdir(), "not_found"),
    "empty": (lambda path: path.touch(), "empty"),
    "a folder": (lambda path: path.mkdir(), "damaged"),
    "a text": (_text, "damaged"),
    "a foreign database": (_foreign, "foreign"),
    "cut off": (_cut, "damaged"),
    "without a header": (_headless, "damaged"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_database_that_cannot_be_read_is_told_and_nothing_is_made(tmp_path: Path, case: str) -> None:
    prepare, code = UNREADABLE[case]
    path = tmp_path / "state" / "vvtv.db"
    path.parent.mkdir()
    prepare(path)
    node = Node.at(tmp_path, state_db=path)
    before = sorted((str(found), found.stat().st_size) for found in tmp_path.rglob("*"))
    with pytest.raises(RunbookError) as caught:
        read(node, 1)
    assert caught.value.code == code
    assert str(path) in str(caught.value)
    assert sorted((str(found), found.stat().st_size) for found in tmp_path.rglob("*")) == before


def test_a_wal_database_that_is_cut_off_is_found(tmp_path: Path) -> None:
    path = tmp_path / "vvtv.db"
    database.create_database(path, 200_000, "wal", 1)
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(Damaged):
        look(path)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child runs no thread
def test_a_database_that_this_user_may_not_read_is_denied(tmp_path: Path) -> None:
    path = tmp_path / "vvtv.db"
    database.create_database(path, 200_000, "delete", 1)
    path.chmod(0o000)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # root may read everything, so somebody else has to try
        told = "read"
        try:
            if os.getuid() == 0:
                tmp_path.chmod(0o755)
                os.setgroups([])
                os.setresuid(12345, 12345, 12345)
            state_history.newest_samples(Node(path.parent, path, path, path, path), 1)
        except RunbookError as exc:
            told = exc.code
        finally:
            os.write(writer, told.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "denied"


@pytest.mark.parametrize("statement", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_lock_that_lasts_is_busy_and_not_damage(live: Path, statement: str) -> None:
    readers_go_on = statement == "BEGIN IMMEDIATE" or journal_mode(live) == "wal"
    with another(live, statement):
        begin = time.monotonic()
        if readers_go_on:
            assert look(live, 0.3).samples.ok
        else:
            with pytest.raises(Busy):
                look(live, 0.3)
            assert 0.25 < time.monotonic() - begin < 3


def test_a_lock_that_comes_in_the_middle_is_waited_for_once(live: Path) -> None:
    with state_db.opened(live, 0.4, "light") as state, another(live, "BEGIN EXCLUSIVE"):
        begin = time.monotonic()
        parts = [state.ask("read", lambda at: at.rows("SELECT count(*) FROM plans")) for _turn in range(5)]
        assert time.monotonic() - begin < 1.5
    wal = journal_mode(live) == "wal"
    assert {part.error and part.error.reason for part in parts} == ({None} if wal else {"busy"})


# --- parts that fail alone ---


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("audit_events", "failures"),
        ("assets", "assets"),
        ("scheduler_locks", "lease"),
        ("metric_samples", "samples"),
    ],
)
@pytest.mark.parametrize("damage", ["DROP TABLE {0}", "DROP TABLE {0}; CREATE TABLE {0} (wrong)"])
def test_a_broken_table_hides_nothing_else(live: Path, table: str, part: str, damage: str) -> None:
    ask(live, damage.format(table))
    history = look(live)
    bad = [name for name in ("failures", "assets", "lease", "samples") if not getattr(history, name).ok]
    # An assets table of another shape still says whether there is any.
    assert bad == ([] if table == "assets" and "CREATE" in damage else [part])


def test_damage_inside_is_found_by_the_check_and_the_rest_is_read(live: Path) -> None:
    page = int(ask(live, "SELECT rootpage FROM sqlite_master WHERE name = 'plans'"))
    with live.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    assert look(live).integrity.ok  # too light to see it
    for level in ("quick", "full"):
        history = look(live, integrity=level)
        assert history.integrity.error is not None
        assert history.integrity.error.reason == "damaged"
        assert history.samples.ok
        assert history.failures.ok


def test_what_takes_too_long_is_given_up(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_db, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(state_db, "QUERY_SECONDS", 0.0)
    assert look(live, 0, integrity="full").integrity.value == Integrity("full", "light")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with state_db.opened(live, 0.2, "light") as state:
        begin = time.monotonic()
        answer = state.ask("count for ever", lambda at: at.rows(endless))
        assert time.monotonic() - begin < 2
        assert answer.error is not None
        assert answer.error.reason == "slow"
        # The next question has a time of its own.
        monkeypatch.setattr(state_db, "QUERY_SECONDS", 5.0)
        assert state.ask("count", lambda at: at.rows("SELECT 1")).value == [(1,)]


def test_bad_wishes_are_refused(live: Path) -> None:
    with pytest.raises(BadInput, match="integrity must be one of none, light, quick, full"):
        look(live, integrity="deep")
    for name, value in (
        ("discovery_window_hours", 0),
        ("qa_history_hours", 1e9),
        ("newest", 1),
        ("newest", 101),
    ):
        with pytest.raises(BadInput, match=name):
            Scope(**{name: value})


def test_missing_is_an_error_of_its_own_for_the_samples_alone(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="restore a backup, or check the option state_db"):
        state_history.newest_samples(node_of(tmp_path / "vvtv.db"), 1)
