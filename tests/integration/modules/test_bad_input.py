# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input: each gets one clear error that names file and reason, and nothing on the node changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import locks, node
from tests.integration.helpers import good, module, sqlite3, tree
from tests.simulator import database, fleet, owner_card

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

Damage = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node whose station is stopped, with one backup and a state that has moved on since."""
    where = tmp_path / "node"
    (where / "runtime/state").mkdir(parents=True)
    (where / "config").mkdir()
    database.create_database(where / "runtime/state/vvtv.db", 300_000, "delete", 1)
    (where / "config/owner_card.sample.yaml").write_text(owner_card.SAMPLE)
    good(module("backup", encrypt=False, root=where))
    sqlite3(where / "runtime/state/vvtv.db", "DELETE FROM plans WHERE rowid < 5")
    return where


def folder(root: Path) -> Path:
    """The backup that the node began with."""
    return min((root / "runtime/backups").glob("2*Z"))


def refused(root: Path, called: str, **params: Any) -> dict[str, Any]:
    """Run a module that must fail; return its error after making sure that it changed nothing."""
    before = tree(root)
    result = module(called, root=root, **params)
    assert result.get("failed"), result
    assert not result.get("changed")
    after = tree(root)
    after.pop("runtime/runbook.lock", None)
    before.pop("runtime/runbook.lock", None)
    assert after == before
    assert result["msg"][:1] == result["msg"][:1].lower() or result["msg"].startswith("OwnerCard")
    return {**result["error"], "msg": result["msg"]}


def edit_manifest(**changes: Any) -> Damage:
    def damage(backup: Path) -> None:
        document = json.loads((backup / "manifest.json").read_text())
        document.update(changes)
        (backup / "manifest.json").write_text(json.dumps(document))

    return damage


def cut_manifest(backup: Path) -> None:
    data = (backup / "manifest.json").read_bytes()
    (backup / "manifest.json").write_bytes(data[: len(data) // 2])


def link_database(backup: Path) -> None:
    shutil.move(backup / "state.db", backup.parents[1] / "elsewhere.db")
    (backup / "state.db").symlink_to(backup.parents[1] / "elsewhere.db")


def link_manifest(backup: Path) -> None:
    shutil.move(backup / "manifest.json", backup.parents[1] / "elsewhere.json")
    (backup / "manifest.json").symlink_to(backup.parents[1] / "elsewhere.json")


MANIFESTS: dict[str, tuple[Damage, str]] = {
    "missing": (lambda backup: (backup / "manifest.json").unlink(), "manifest.json"),
    "truncated": (cut_manifest, "is no JSON document"),
    "no JSON": (lambda backup: (backup / "manifest.json").write_text("status=PASS\n"), "is no JSON"),
    "another schema": (edit_manifest(schema_version=2), "schema_version is 2, not 1"),
    "a file above": (
        edit_manifest(state_db_file="../../state/vvtv.db"),
        "state_db_file is '../../state/vvtv.db'",
    ),
    "an absolute file": (edit_manifest(owner_card_file="/etc/passwd"), "owner_card_file is '/etc/passwd'"),
    "a linked database": (link_database, "is not a regular file"),
    "a linked manifest": (link_manifest, "symbolic link"),
    "a wrong hash": (edit_manifest(state_db_sha256="0" * 64), "the manifest says 000"),
    "no hash": (edit_manifest(owner_card_sha256="abc"), "owner_card_sha256 is 'abc'"),
    "a missing file": (lambda backup: (backup / "state.db").unlink(), "state.db"),
}


@pytest.mark.parametrize("called", ["backup_verify", "backup_restore"])
@pytest.mark.parametrize("case", MANIFESTS)
def test_a_bad_manifest_is_refused(root: Path, called: str, case: str) -> None:
    damage, reason = MANIFESTS[case]
    damage(folder(root))
    error = refused(root, called, id=folder(root).name)
    assert reason in error["msg"]
    assert str(folder(root)) in error["msg"]
    assert error["code"] == "damaged"


@pytest.mark.parametrize(
    "identifier", ["", "20260101", "../../etc", "20260101T000000Z/..", "latest ", "Z\n", "*", "ä"]
)
def test_an_id_with_odd_characters_is_refused(root: Path, identifier: str) -> None:
    assert refused(root, "backup_restore", id=identifier)["code"] == "bad_input"


@pytest.mark.parametrize("name", ["", "../x", "a b", "A", "-x", "x" * 65, "ä", "a\n"])
def test_a_name_with_odd_characters_is_refused(root: Path, name: str) -> None:
    assert refused(root, "backup", encrypt=False, name=name)["code"] == "bad_input"


def test_an_unknown_id_names_the_newest_usable_one(root: Path) -> None:
    error = refused(root, "backup_restore", id="20200101T000000Z")
    assert error["code"] == "not_found"
    assert folder(root).name in error["msg"]


def test_a_half_made_folder_is_refused_by_its_id_and_passed_over_as_latest(root: Path) -> None:
    half = root / "runtime/backups/20991231T000000Z"
    half.mkdir()
    shutil.copy(folder(root) / "state.db", half)
    assert "manifest.json" in refused(root, "backup_restore", id=half.name)["msg"]
    assert good(module("backup_verify", root=root, id="latest"))["backup"]["id"] == folder(root).name


STATES: dict[str, tuple[Damage, str]] = {
    "no database": (lambda path: path.write_text("SQLite is not in here\n" * 99), "not a database"),
    "an empty file": (lambda path: path.write_bytes(b""), "is empty"),
    "a truncated database": (lambda path: os.truncate(path, path.stat().st_size // 2), "malformed"),
    "missing": (lambda path: path.unlink(), "no state database"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("case", STATES)
def test_a_state_that_cannot_be_backed_up_is_refused(root: Path, case: str, check: bool) -> None:
    damage, reason = STATES[case]
    path = root / "runtime/state/vvtv.db"
    damage(path)
    error = refused(root, "backup", encrypt=False, check=check, force=not check)
    if (case, check) != ("a truncated database", True):
        assert reason in error["msg"]
    assert str(path) in error["msg"]


def test_a_database_of_somebody_else_is_refused(root: Path) -> None:
    path = root / "runtime/state/vvtv.db"
    path.unlink()
    sqlite3(path, "CREATE TABLE customers (id)")
    assert "none of its tables" in refused(root, "backup", encrypt=False)["msg"]


CARDS = {
    "no YAML": ("a: [1,\n", "is no YAML"),
    "a list": ("- 1\n", "must be a mapping"),
    "a text as number": (
        re.sub("buffer_target_minutes: .*", "buffer_target_minutes: sixty", owner_card.SAMPLE),
        "schedule_policy.buffer_target_minutes: must be a whole number",
    ),
    "critical above target": (
        re.sub("buffer_critical_minutes: .*", "buffer_critical_minutes: 9999", owner_card.SAMPLE),
        "must be below buffer_target_minutes",
    ),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("case", CARDS)
def test_an_invalid_owner_card_is_refused(root: Path, case: str, check: bool) -> None:
    text, reason = CARDS[case]
    assert text != owner_card.SAMPLE
    card = root / "config/owner_card.sample.yaml"
    card.write_text(text)
    error = refused(root, "backup", encrypt=False, check=check)
    assert reason in error["msg"]
    assert str(card) in error["msg"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a database from another process: reading the file in ours would drop the lock again."""
    with subprocess.Popen(
        ["sqlite3", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdin and shell.stdout
        shell.stdin.write("BEGIN EXCLUSIVE;\n.print held\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "held\n"
        yield
        shell.stdin.close()


def test_a_database_locked_longer_than_the_timeout_is_refused(root: Path) -> None:
    with locked(root / "runtime/state/vvtv.db"):
        for called, params in (
            ("backup", {"force": True, "encrypt": False}),
            ("backup_restore", {"id": "latest"}),
        ):
            error = refused(root, called, lock_timeout=0.3, **params)
            assert error["code"] == "busy"
            assert "vvtv.db" in error["msg"]
    assert good(module("backup", encrypt=False, root=root))["changed"]


def test_a_locked_node_is_refused_naming_the_holder(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path / "node", size="300K") as station:
        station.faults(pipeline="quiet")
        good(module("backup", encrypt=False, root=station.root))
        with locks.node_lock(node.Node.at(station.root), "a test of two operators", 1):
            error = module("backup", encrypt=False, root=station.root, force=True, lock_timeout=0.3)
        assert error["error"]["code"] == "busy"
        assert f"pid {os.getpid()}" in error["msg"]
        assert "a test of two operators" in error["msg"]
        assert good(module("backup", encrypt=False, root=station.root, force=True))["changed"]


@pytest.mark.parametrize("root_option", ["", "relative/path", "/nonexistent/node"])
def test_a_root_that_is_no_folder_is_refused(root_option: str) -> None:
    result = module("backup", encrypt=False, root=root_option)
    assert result["failed"]
    assert result["error"]["code"] in ("bad_input", "not_found")


def test_a_negative_timeout_is_refused(root: Path) -> None:
    assert refused(root, "backup", encrypt=False, lock_timeout=-1)["code"] == "bad_input"
