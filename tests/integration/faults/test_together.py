# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two operators at once: one waits for the other, or fails naming who holds the node."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core import locks
from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.helpers import good, module, sqlite3
from tests.simulator import database, fleet


def call(name: str, root: Path, **params: Any) -> dict[str, Any]:
    """Describe a run of a module."""
    return {"called": name, "root": root, **params}


def run_all(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run modules together, each in a process of its own."""
    with ThreadPoolExecutor(len(calls)) as together:
        return list(together.map(lambda params: module(params.pop("called"), **params), calls))


def test_ten_backups_at_once_are_ten_good_backups(station: fleet.Node) -> None:
    calls = [call("backup", station.root, encrypt=False, force=True) for _number in range(10)]
    results = [good(result) for result in run_all(calls)]
    assert len({result["backup"]["id"] for result in results}) == 10
    assert len(killing.good_backups(station.root)) == 10


def test_a_backup_and_a_restore_at_once_both_succeed(station: fleet.Node) -> None:
    first = good(module("backup", encrypt=False, root=station.root))["backup"]["id"]
    for _turn in range(3):
        station.wait_commits(2)
        calls = [
            call("backup", station.root, encrypt=False, force=True),
            call("backup_restore", station.root, id=first),
            call("backup_restore", station.root, id=first),
        ]
        for result in run_all(calls):
            good(result)
        database.check_invariant(station.state_db)
    assert sqlite3(station.state_db, "PRAGMA integrity_check") == "ok"
    station.wait_commits(2)
    killing.good_backups(station.root)
    assert killing.litter(station.root) == []


def test_who_waits_too_long_is_told_who_holds_the_node(tmp_path: Path) -> None:
    root = killing.make_node(tmp_path / "node")
    with locks.node_lock(killing.at(root), "restore 20260101T000000Z", 1):
        for name, params in (("backup", {"encrypt": False}), ("backup_restore", {"id": "latest"})):
            result = module(name, root=root, lock_timeout=0.2, **params)
            assert result["error"]["code"] == "busy"
            assert f"pid {os.getpid()} " in result["msg"]
            assert "for 'restore 20260101T000000Z' since 20" in result["msg"]
    good(module("backup", encrypt=False, root=root))


def test_who_waits_long_enough_gets_the_node(tmp_path: Path) -> None:
    root = killing.make_node(tmp_path / "node")
    with ThreadPoolExecutor() as aside:
        with locks.node_lock(killing.at(root), "something short", 1):
            waiting = aside.submit(module, "backup", encrypt=False, root=root, lock_timeout=20)
            time.sleep(0.5)
            assert not waiting.done()
        assert good(waiting.result())["changed"]


def test_a_holder_that_is_killed_leaves_the_node_free_at_once(tmp_path: Path) -> None:
    root = killing.make_node(tmp_path / "node", "delete")
    with subprocess.Popen(["flock", root / "runtime/runbook.lock", "sleep", "60"]) as holder:
        while not (root / "runtime/runbook.lock").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert module("backup", encrypt=False, root=root, lock_timeout=0.2)["error"]["code"] == "busy"
        subprocess.run(["pkill", "-KILL", "-P", str(holder.pid)], check=True)
        holder.send_signal(signal.SIGKILL)
    assert good(module("backup", encrypt=False, root=root, lock_timeout=1))["changed"]


def test_a_deleted_database_is_restored_and_its_holder_is_named(station: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=station.root))
    station.state_db.unlink()
    restored = good(module("backup_restore", root=station.root, id="latest"))
    assert any(f"(pid {station.pid})" in warning for warning in restored["warnings"])
    assert sqlite3(station.state_db, "PRAGMA integrity_check") == "ok"


def test_a_garbage_header_under_a_running_station(station: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=station.root))
    station.faults(pipeline="frozen")
    if station.state.journal_mode == "wal":
        sqlite3(station.state_db, "PRAGMA wal_checkpoint(TRUNCATE)")  # or the header is in the WAL as well
    with station.state_db.open("r+b") as file:
        file.write(os.urandom(100))
    result = module("backup_restore", root=station.root, id="latest", lock_timeout=5)
    if station.state.journal_mode == "wal":
        assert result["error"]["code"] == "unsupported"
        assert "stop the station" in result["msg"]
        station.stop()
        good(module("backup_restore", root=station.root, id="latest"))
    else:
        good(result)
        station.faults()
        station.wait_commits(2)
    database.check_invariant(station.state_db)
    assert sqlite3(station.state_db, "PRAGMA integrity_check") == "ok"


def test_two_rotations_at_once_are_two_keys_and_neither_is_lost(tmp_path: Path) -> None:
    root = killing.make_node(tmp_path / "node")
    first = good(module("backup_key", root=root))["key"]["id"]
    calls = [call("backup_key", root, state="rotated") for _number in range(6)]
    made = [good(result)["key"]["id"] for result in run_all(calls)]
    known = good(module("backup_key_info", root=root))
    assert sorted(key["id"] for key in known["keyring"]) == sorted([first, *made])
    assert len(set(made)) == 6
    assert (root / "runtime/keys/current.key.id").read_text().strip() == known["key"]["id"]


def test_two_bastions_that_name_the_same_instant_rotate_once(tmp_path: Path) -> None:
    root = killing.make_node(tmp_path / "node")
    good(module("backup_key", root=root))
    instant = stock.run("date", "-u", "+%Y-%m-%dT%H:%M:%S.%6NZ").decode().strip()
    results = run_all([call("backup_key", root, not_before=instant) for _number in range(4)])
    assert sorted(good(result)["changed"] for result in results) == [False, False, False, True]


def test_rotation_rewrap_and_prune_during_backups_and_verifies(station: fleet.Node) -> None:
    good(module("backup_key", root=station.root))
    good(module("backup", root=station.root))
    for _turn in range(2):
        calls = [
            call("backup", station.root, force=True),
            call("backup_key", station.root, state="rotated", rewrap=True),
            call("backup_verify", station.root, id="all"),
            call("backup_key", station.root, state="pruned", retention=0),
            call("backup_verify", station.root),
        ]
        for result in run_all(calls):
            good(result)
    assert len(good(module("backup_verify", root=station.root, id="all"))["backups"]) == 3
    assert killing.litter(station.root) == []
