# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A full disk, a read-only disk and files that cannot be read: one clear error, and nothing has changed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.faults import killing
from tests.integration.helpers import good, module, tree

KIB = 1024
NOBODY = 65534


@contextmanager
def small_disk(where: Path, kib: int) -> Iterator[None]:
    """Put a file system of ``kib`` KiB over a folder, with what the folder holds. Needs root, as CI has."""
    assert os.geteuid() == 0, "tests of a full disk mount a small tmpfs: run them as root"
    held = {path.relative_to(where): path.read_bytes() for path in where.rglob("*") if path.is_file()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", where], check=True)
    try:
        for path, data in held.items():
            (where / path).parent.mkdir(parents=True, exist_ok=True)
            (where / path).write_bytes(data)
        yield
    finally:
        subprocess.run(["umount", where], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node whose station is stopped."""
    return killing.make_node(tmp_path / "node")


def without_lock(root: Path) -> dict[str, str]:
    """Everything of the node but its lock's file."""
    found = tree(root)
    found.pop("runtime/runbook.lock", None)
    return found


@pytest.mark.parametrize("precheck", [True, False])
def test_a_backup_onto_a_full_disk_fails_at_any_size_and_leaves_nothing(root: Path, precheck: bool) -> None:
    backup_dir = root / "runtime/backups"
    backup_dir.mkdir()
    needed = (root / killing.DB).stat().st_size // KIB
    failures = 0
    for kib in (8, 16, 64, needed - 20, needed, needed + 4, needed + 2000):
        with small_disk(backup_dir, kib):
            before = without_lock(root)
            status, errors = killing.run(root, "backup", 0, *([] if precheck else ["no-precheck"]))
            if status:
                failures += 1
                assert "DiskFull" in errors.splitlines()[-1]
                assert str(backup_dir) in errors.splitlines()[-1]
                assert without_lock(root) == before
            else:
                assert len(killing.good_backups(root)) == 1
    assert failures >= 5
    assert killing.run(root, "backup") == (0, "")


def test_a_full_disk_is_said_by_the_module(root: Path) -> None:
    (root / "runtime/backups").mkdir()
    with small_disk(root / "runtime/backups", 64):
        result = module("backup", encrypt=False, root=root)
    assert result["failed"]
    assert result["error"]["code"] == "disk_full"
    assert "free some space" in result["msg"]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_restore_with_no_room_for_it_leaves_the_old_state(tmp_path: Path, journal: str) -> None:
    root = killing.make_node(tmp_path / "node", journal)
    assert killing.run(root, "backup") == (0, "")
    (backup,) = killing.good_backups(root)
    killing.to_state_b(root)
    size = (root / killing.DB).stat().st_size // KIB
    failures = 0
    for more in (4, 24, 60, 120, 400):
        with small_disk(root / "runtime/state", size + more):
            status, errors = killing.run(root, backup.id)
            if status:
                failures += 1
                assert "DiskFull" in errors.splitlines()[-1]
                subprocess.run(["mount", "-o", "remount,size=9m", root / "runtime/state"], check=True)
                assert killing.state(root) == ("B", "B")
            else:
                assert killing.state(root) == ("A", "A")
            assert killing.litter(root) == []
        (root / killing.CARD).write_text(killing.CARD_B)
    assert failures >= 2
    assert killing.run(root, backup.id) == (0, "")
    assert killing.state(root) == ("A", "A")


@pytest.mark.parametrize("folder", ["runtime/backups", "runtime/state", "config"])
def test_a_read_only_disk_is_refused_with_nothing_changed(root: Path, folder: str) -> None:
    good(module("backup", encrypt=False, root=root))
    killing.to_state_b(root)
    with small_disk(root / folder, 4000):
        subprocess.run(["mount", "-o", "remount,ro", root / folder], check=True)
        state = (root / killing.DB).read_bytes(), (root / killing.CARD).read_bytes()
        result = module("backup_restore", root=root, id="latest", lock_timeout=2)
        assert result["failed"]
        assert folder.split("/")[-1] in result["msg"]
        assert ((root / killing.DB).read_bytes(), (root / killing.CARD).read_bytes()) == state
    assert killing.litter(root) == []


@pytest.mark.parametrize("hidden", ["runtime/state/vvtv.db", "config/owner_card.sample.yaml", ""])
def test_what_the_user_cannot_read_is_named(hidden: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = killing.make_node(Path(folder) / "node")
        os.chown(root / "runtime", NOBODY, NOBODY)
        (root / hidden).chmod(0o600)
        status, errors = killing.run(root, "backup", 0, "as-nobody")
        assert status == 1
        assert "Denied" in errors.splitlines()[-1]
        assert "become" in errors.splitlines()[-1]
        assert str(root / hidden) in errors.splitlines()[-1]
        assert killing.litter(root) == []
