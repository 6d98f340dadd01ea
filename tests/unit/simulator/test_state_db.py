# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""state.db: sizes, the invariant, the pipeline's transactions, and what the API makes of a bad file."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.simulator import content, database, fleet
from tests.simulator.control import wait_for

from .http_helper import call, gauges_of

SHELL_CHECK = (
    "SELECT count(*) = (SELECT count(*) FROM assets) AND count(*) ="
    " (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
)
MADE_UP = {
    "vvtv_buffer_minutes": 60.0,
    "vvtv_plans_created": 42.0,
    "vvtv_plans_committed": 18.0,
    "vvtv_qa_pass_rate": 0.94,
    "vvtv_fallback_rate": 0.12,
    "vvtv_curator_actions": 3.0,
    "vvtv_stream_disruptions": 0.0,
}


def shell(path: Path, *sql: str) -> str:
    """What the sqlite3 command-line tool says: a reader that shares no code with the simulator."""
    args = ["sqlite3", "-cmd", ".timeout 5000", str(path), *sql]
    return subprocess.run(args, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("size", [1 << 18, 3_000_000, 6 << 20])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_size(tmp_path: Path, size: int, mode: str) -> None:
    path = tmp_path / "a.db"
    database.create_database(path, size, mode, seed=3)
    assert abs(path.stat().st_size - size) <= size * 0.05
    assert [one.name for one in tmp_path.iterdir()] == ["a.db"]
    assert shell(path, "PRAGMA journal_mode", "PRAGMA integrity_check", SHELL_CHECK) == f"{mode}\nok\n1\n"
    database.check_invariant(path)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        database.create_database(tmp_path / name, 1 << 19, seed=seed)
    first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_refused_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="journal mode 'off'"):
        database.create_database(tmp_path / "a.db", 0, "off")
    with pytest.raises(ValueError, match="negative"):
        database.create_database(tmp_path / "a.db", -1)
    assert list(tmp_path.iterdir()) == []


def test_payloads_are_json(tmp_path: Path) -> None:
    rows = content.Content(random.Random(1)).commit_rows(1)  # noqa: S311  # no secret
    payloads = [json.loads(text) for row in rows for text in row if text.startswith("{")]
    assert [len(one) for one in payloads] == [12, 7, 5, 7]
    assert len({key for key, *_rest in rows}) == 4


def test_invariant_notices_half_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database.create_database(path, 1 << 18)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("DELETE FROM assets WHERE rowid = 1")
        conn.commit()
        with pytest.raises(database.InvariantError, match="assets="):
            database.check_invariant(conn)
    assert shell(path, SHELL_CHECK) == "0\n"


def test_invariant_of_a_missing_file_is_an_error_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        database.check_invariant(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_readers_never_see_half_a_transaction(each_mode: fleet.Node) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                database.check_invariant(each_mode.state_db)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test must see it
            errors.append(error)

    readers = [threading.Thread(target=read) for _unused in range(2)]
    for reader in readers:
        reader.start()
    for _unused in range(5):
        assert shell(each_mode.state_db, SHELL_CHECK) == "1\n"
        each_mode.wait_commits(5)
    done.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert each_mode.state.errors == 0


def tables(path: Path, lock: bool) -> str:
    """The content of every table but scheduler_locks, or of that one."""
    names = ["scheduler_locks"] if lock else []
    if not lock:
        names = [
            name
            for name in shell(path, "SELECT name FROM sqlite_schema WHERE type = 'table'").split()
            if name != "scheduler_locks"
        ]
    return "".join(shell(path, f"SELECT * FROM {name}") for name in names)  # noqa: S608  # its own tables


def test_quiet_changes_only_the_lease(each_mode: fleet.Node) -> None:
    each_mode.faults(pipeline="quiet")
    rest, lease, count = (
        tables(each_mode.state_db, False),
        tables(each_mode.state_db, True),
        each_mode.state.renewals,
    )
    wait_for(each_mode.root, lambda state: state.renewals >= count + 3)
    after = tables(each_mode.state_db, True)
    assert tables(each_mode.state_db, False) == rest
    assert after != lease
    assert after.count("\n") == lease.count("\n") == 1
    assert after.split("|")[:3] == lease.split("|")[:3]  # name, owner and beginning stay
    each_mode.faults()
    each_mode.wait_commits()


def test_frozen_changes_nothing(each_mode: fleet.Node) -> None:
    each_mode.faults(pipeline="frozen")
    before = each_mode.state_db.read_bytes(), each_mode.state.renewals, each_mode.state.commits
    time.sleep(0.5)  # two and a half renewals would have come
    assert (each_mode.state_db.read_bytes(), each_mode.state.renewals, each_mode.state.commits) == before
    assert call(each_mode, "/v1/status").status == 200


def test_the_lease_lives(node: fleet.Node) -> None:
    name, owner, acquired, expires = shell(node.state_db, "SELECT * FROM scheduler_locks").strip().split("|")
    assert name == "scheduler-main"
    assert owner
    assert acquired[:10] <= expires[:10]
    assert expires.endswith("+00:00")
    left = shell(node.state_db, "SELECT unixepoch(expires_at) - unixepoch('now') FROM scheduler_locks")
    assert 13 <= int(left) <= 30


def restore(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as good, closing(sqlite3.connect(target, timeout=5)) as live:
        good.backup(live)


def test_writer_goes_on_after_a_restore(each_mode: fleet.Node, tmp_path: Path) -> None:
    saved = tmp_path / "saved.db"
    shell(each_mode.state_db, f"VACUUM INTO '{saved}'")
    each_mode.wait_commits(5)
    with_more = int(shell(each_mode.state_db, "SELECT count(*) FROM plans"))
    each_mode.faults(pipeline="quiet")
    restore(saved, each_mode.state_db)
    restored = int(shell(each_mode.state_db, "SELECT count(*) FROM plans"))
    assert restored < with_more
    each_mode.faults()
    each_mode.wait_commits(3)
    assert int(shell(each_mode.state_db, "SELECT count(*) FROM plans")) >= restored + 3
    assert shell(each_mode.state_db, SHELL_CHECK, "PRAGMA integrity_check") == "1\nok\n"
    assert each_mode.alive()


def test_writer_survives_corruption(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K", commit_interval=0.01) as node:
        saved = tmp_path / "saved.db"
        shell(node.state_db, f"VACUUM INTO '{saved}'")
        node.faults(pipeline="frozen")
        with node.state_db.open("r+b") as file:
            file.write(b"garbage!" * 2048)
        node.faults()
        wait_for(node.root, lambda state: state.errors > 2)
        assert "not a database" in node.state.last_error or "malformed" in node.state.last_error
        assert gauges_of(node) == MADE_UP
        assert call(node, "/v1/alerts").json == {"alerts": [], "count": 0}
        # In place, as a restore into the file that the writer holds open does it.
        node.faults(pipeline="frozen")
        with node.state_db.open("r+b") as file:
            file.write(saved.read_bytes())
            file.truncate()
        node.faults()
        node.wait_commits(3)
        assert shell(node.state_db, SHELL_CHECK, "PRAGMA integrity_check") == "1\nok\n"
        log = (node.root / "runtime" / "sim" / "node.log").read_text()
        assert len(log.splitlines()) < 50


@pytest.mark.parametrize("mode", database.JOURNAL_MODES)
def test_writer_does_not_follow_a_renamed_file(tmp_path: Path, mode: str) -> None:
    """The third mistake of the shell runbook: the new file lies there, and nobody writes to it."""
    saved = tmp_path / "saved.db"
    with fleet.start_node(tmp_path, size="256K", journal_mode=mode, commit_interval=0.01) as node:
        node.faults(pipeline="frozen")
        shell(node.state_db, f"VACUUM INTO '{saved}'")
        saved.replace(node.state_db)
        before = node.state_db.read_bytes()
        node.faults()
        state = node.state
        wait_for(node.root, lambda now: now.errors + now.commits > state.errors + state.commits + 3)
        assert node.state_db.read_bytes() == before


def test_writer_waits_for_a_lock_and_goes_on(each_mode: fleet.Node) -> None:
    errors = each_mode.state.errors
    with closing(sqlite3.connect(each_mode.state_db, isolation_level=None, timeout=5)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        before = each_mode.state.commits
        assert each_mode.state.commits == before
        conn.execute("ROLLBACK")
    each_mode.wait_commits(2)
    assert each_mode.state.errors == errors


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[fleet.Node]:
    """A node whose API runs and whose pipeline has never touched the database."""
    with fleet.start_node(tmp_path, size="256K", with_faults={"pipeline": "frozen"}) as started:
        yield started


def test_api_without_a_readable_database(frozen: fleet.Node) -> None:
    assert gauges_of(frozen) != MADE_UP

    frozen.state_db.unlink()
    assert gauges_of(frozen) == MADE_UP
    assert shell(frozen.state_db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'") == "8\n"

    frozen.state_db.write_bytes(b"")
    assert gauges_of(frozen) == MADE_UP
    assert call(frozen, "/v1/alerts").json == {"alerts": [], "count": 0}

    frozen.state_db.write_bytes(b"not a database at all" * 1000)
    assert gauges_of(frozen) == MADE_UP
    assert call(frozen, "/v1/alerts").json == {"alerts": [], "count": 0}

    frozen.state_db.unlink()
    frozen.state_db.mkdir()  # unreadable for every user
    assert gauges_of(frozen) == MADE_UP
    assert call(frozen, "/v1/alerts").json == {"alerts": [], "count": 0}


def test_no_data_looks_like_all_bad(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="0", sample_every=1000) as node:
        assert gauges_of(node)["vvtv_qa_pass_rate"] == 0.0


def test_samples_come_with_commits_only(node: fleet.Node) -> None:
    node.faults(pipeline="quiet")
    before = gauges_of(node)
    assert all(gauges_of(node) == before for _unused in range(3))
    samples = node.state.samples
    node.faults()
    wait_for(node.root, lambda state: state.samples > samples)
