# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` at random steps of encrypted backup, restore, rotation, rewrap, rekey and prune.

After each: no key is lost or under a wrong id, every backup opens with a key of the node, no folder holds
plaintext, and the next run succeeds and leaves nothing behind.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.faults.dying import KILLED
from tests.integration.helpers import good, module, sqlite3
from tests.simulator import fleet

KILLS = 8  # of each operation in each run of the tests; over many runs every step has its turn
MARKER = "PLAINTEXT-MARKER-7f3a"
KEYS = Path("runtime/keys")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A node with a marker in its database, three keys, and a backup under each of the first two."""
    root = killing.make_node(tmp_path / "origin")
    sqlite3(root / killing.DB, f"UPDATE plans SET payload_json = '{MARKER}' || payload_json WHERE rowid = 1")
    for turn in range(3):
        good(module("backup_key", root=root, state="rotated"))
        if turn < 2:
            good(module("backup", root=root, force=True))
    return root


def killed_anywhere(
    origin: Path, where: Path, operation: str, *options: str
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Kill an operation at its last steps and at random other ones; yield what each kill left."""
    steps = killing.count_steps(killing.copy_of(origin, where), operation, *options)
    assert steps > 10
    chosen = {steps, steps - 1, *random.SystemRandom().sample(range(1, steps), KILLS)}
    for step in sorted(chosen):
        root = killing.copy_of(origin, where)
        status, errors = killing.run(root, operation, step, *options)
        assert status in (0, KILLED), errors
        sys.stderr.write(f"{operation} was killed at step {step} of {steps}\n")  # shown if something fails
        yield root, recipients(origin)


def recipients(root: Path) -> dict[str, str]:
    """The public half of every archived key by the name of its file, as age-keygen tells it."""
    return {
        path.stem: stock.run("age-keygen", "-y", path).decode().strip()
        for path in sorted((root / KEYS / "archive").glob("[0-9]*.key"))
    }


def assert_whole(root: Path) -> None:
    """What has to hold after a kill at any instant."""
    known = recipients(root)
    current = stock.run("age-keygen", "-y", root / KEYS / "current.key").decode().strip()
    assert current in known.values()
    for key_id in known:
        assert f"# vvtv.runbook key {key_id}\n" in (root / KEYS / f"archive/{key_id}.key").read_text()
    for archive in root.glob("runtime/backups/2*Z*/backup.tar.*.age"):
        identities = [root / KEYS / f"archive/{key_id}.key" for key_id in known]
        assert any(stock.opens(archive, identity) for identity in identities), archive
    assert plaintext(root) == []


def plaintext(root: Path) -> list[str]:
    """Every file but the database's own that holds the marker."""
    command = ["grep", "-rlaF", MARKER, root]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [path for path in found if not path.startswith(f"{root}/{killing.DB}")]


def settled(root: Path) -> dict[str, Any]:
    """What the next run tells, after making sure that it leaves nothing behind."""
    result = good(module("backup_key", root=root))
    assert killing.litter(root) == []
    assert not good(module("backup_key", root=root))["changed"]
    return result


def test_an_encrypted_backup(origin: Path, tmp_path: Path) -> None:
    for root, _known in killed_anywhere(origin, tmp_path / "node", "backup", "encrypt"):
        assert_whole(root)
        before = len(killing.good_backups(root))
        assert before in (2, 3)
        good(module("backup", root=root, force=True))
        assert len(killing.good_backups(root)) == before + 1
        assert killing.litter(root) == []


@pytest.mark.parametrize("lost", [False, True])
def test_a_restore_of_an_archive(origin: Path, tmp_path: Path, lost: bool) -> None:
    backup = good(module("backup", root=origin))["backup"]["id"]
    plans = sqlite3(origin / killing.DB, killing.PLANS)
    killing.to_state_b(origin)
    if lost:
        (origin / killing.DB).unlink()
    for root, _known in killed_anywhere(origin, tmp_path / "node", backup):
        good(module("backup_restore", root=root, id=backup))
        assert sqlite3(root / killing.DB, killing.PLANS) == plans
        assert (root / killing.CARD).read_text() == killing.CARD_A
        assert killing.litter(root) == []
        assert plaintext(root) == []


def test_a_rotation(origin: Path, tmp_path: Path) -> None:
    for root, known in killed_anywhere(origin, tmp_path / "node", "rotate"):
        assert_whole(root)
        assert known.items() <= recipients(root).items()
        result = settled(root)
        assert len(recipients(root)) <= len(known) + 1
        newest = max(result["keyring"], key=lambda key: str(key["created_at"]))
        assert newest["id"] == result["key"]["id"]
        assert (root / KEYS / "current.key.id").read_text().strip() == result["key"]["id"]


@pytest.mark.parametrize("operation", ["rewrap", "rekey"])
def test_a_rewrap_and_a_rekey(origin: Path, tmp_path: Path, operation: str) -> None:
    for root, _known in killed_anywhere(origin, tmp_path / "node", operation):
        assert_whole(root)
        assert len(killing.good_backups(root)) == 2
        good(module("backup_key", root=root, **{operation: True}))
        assert killing.litter(root) == []
        assert not good(module("backup_key", root=root, **{operation: True}))["changed"]
        for backup in killing.good_backups(root):
            assert stock.opens(backup.archive, root / KEYS / "current.key")
            facts = json.loads((backup.path / "backup.json").read_text())
            assert facts["archive_sha256"] == stock.run("sha256sum", backup.archive).decode().split()[0]
        pruned = good(module("backup_key", root=root, state="pruned", retention=0))
        assert len(pruned["pruned"]) == 2


def test_a_prune(origin: Path, tmp_path: Path) -> None:
    good(module("backup_key", root=origin, rewrap=True))
    for root, _known in killed_anywhere(origin, tmp_path / "node", "prune"):
        assert_whole(root)
        good(module("backup_key", root=root, state="pruned", retention=0))
        assert len(recipients(root)) == 1
        assert len(killing.good_backups(root)) == 2


@pytest.mark.thorough
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_killed_at_random_under_a_writing_station(tmp_path: Path, journal: str) -> None:
    with fleet.start_node(
        tmp_path / "node", size="4M", journal_mode=journal, commit_interval=0.01
    ) as station:
        good(module("backup_key", root=station.root))
        for turn in range(8):
            operation = ("backup", "rotate", "rewrap", "rekey")[turn % 4]
            child = killing.start(station.root, operation, 0, "encrypt")
            station.wait_commits(1 + turn)
            child.kill()
            child.communicate()
            station.wait_commits(2)
            assert_whole(station.root)
        good(module("backup", root=station.root))
        good(module("backup_key", root=station.root, rewrap=True))
        killing.good_backups(station.root)
        assert killing.litter(station.root) == []
