# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keyrings and archives of the shell runbook: read for ever, never written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.helpers import good, module, sha256sum, sqlite3, tree

KEY_ID = "20250101T000000Z"
BACKUP_ID = "20250102T000000Z"
PLANS = "SELECT count(*) FROM plans"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node as the shell runbook left it: its keyring, and one archive of state A."""
    node = killing.make_node(tmp_path / "node")
    stock.legacy_backup(node, stock.legacy_keyring(node, KEY_ID), KEY_ID, BACKUP_ID)
    return node


def test_an_archive_is_listed_verified_and_restored_with_a_warning(root: Path) -> None:
    listed = good(module("backup_info", root=root))["newest"]
    archive = Path(listed["path"]) / "backup.tar.gz.enc"
    assert (listed["id"], listed["kind"], listed["key_ids"]) == (BACKUP_ID, "legacy", [KEY_ID])
    assert listed["sha256"] == sha256sum(archive)
    for integrity in ("quick", "full"):
        checks = good(module("backup_verify", root=root, integrity=integrity))["checks"]
        assert "carries no authentication" in checks[0]
        assert any(f"SQLite finds it sound ({integrity} check)" in check for check in checks)
    plans = sqlite3(root / killing.DB, PLANS)
    killing.to_state_b(root)
    done = good(module("backup_restore", root=root, id=BACKUP_ID))
    assert any("carries no authentication" in warning for warning in done["warnings"])
    assert (done["changed"], done["exact"], sqlite3(root / killing.DB, PLANS)) == (True, True, plans)
    assert not good(module("backup_restore", root=root, id=BACKUP_ID))["changed"]


def test_a_keyring_is_adopted_and_goes_on_opening_its_archives(root: Path) -> None:
    before = tree(root)
    foretold = good(module("backup_key", root=root, check=True))
    assert (foretold["changed"], tree(root)) == (True, before)
    adopted = good(module("backup_key", root=root))
    assert "is a key of the shell runbook" in adopted["reason"]
    assert [(key["kind"], key["opens"]) for key in adopted["keyring"]] == [
        ("age", []),
        ("legacy", [BACKUP_ID]),
    ]
    assert adopted["keyring"][1]["id"] == KEY_ID
    assert (root / "runtime/keys/current.key.id").read_text().strip() == adopted["key"]["id"]
    assert not good(module("backup_key", root=root))["changed"]
    assert good(module("backup_verify", root=root, id=BACKUP_ID))["checks"]
    good(module("backup", root=root))
    assert len(good(module("backup_verify", root=root, id="all"))["backups"]) == 2


def test_an_archive_under_a_wrong_key_id_is_opened_with_the_key_that_fits(root: Path) -> None:
    (root / "runtime/backups" / BACKUP_ID / "key_id.txt").write_text("20240101T000000Z\n")
    for number in range(3):
        other = root / f"runtime/keys/archive/2024010{number + 1}T000000Z.key"
        other.write_bytes(stock.run("openssl", "rand", "-base64", "36"))
        other.chmod(0o600)
    assert good(module("backup_verify", root=root, id=BACKUP_ID))["checks"]


def test_without_its_key_an_archive_says_which_one_it_wants(root: Path) -> None:
    (root / "runtime/keys/current.key").unlink()
    good(module("backup_key", root=root))
    refused = module("backup_verify", root=root)
    assert refused["error"]["code"] == "missing_key"
    assert KEY_ID in refused["msg"]
    assert str(root / "runtime/keys") in refused["msg"]


def test_a_key_that_an_archive_needs_is_not_pruned(root: Path) -> None:
    good(module("backup_key", root=root))
    pruned = good(module("backup_key", root=root, state="pruned", retention=0))
    assert (pruned["changed"], pruned["pruned"]) == (False, [])
    assert pruned["kept"] == [{"id": KEY_ID, "needed_by": [BACKUP_ID]}]


@pytest.mark.parametrize("place", [0, 9, 20, 40, 700, -20, -1])
def test_a_flipped_bit_is_refused_and_nothing_is_restored(root: Path, place: int) -> None:
    archive = root / "runtime/backups" / BACKUP_ID / "backup.tar.gz.enc"
    data = bytearray(archive.read_bytes())
    data[place] ^= 1
    archive.write_bytes(data)
    (archive.parent / "backup.tar.gz.enc.sha256").unlink()
    killing.to_state_b(root)
    state = (root / killing.DB).read_bytes()
    refused = module("backup_restore", root=root, id=BACKUP_ID)
    assert refused["error"]["code"] in ("damaged", "missing_key")
    assert (root / killing.DB).read_bytes() == state
    assert killing.litter(root) == []


def test_an_archive_that_is_not_the_one_its_hash_says_is_refused(root: Path) -> None:
    (root / "runtime/backups" / BACKUP_ID / "backup.tar.gz.enc.sha256").write_text("0" * 64)
    refused = module("backup_verify", root=root)
    assert refused["error"]["code"] == "damaged"
    assert "backup.tar.gz.enc.sha256 says 0000" in refused["msg"]
