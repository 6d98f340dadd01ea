# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted backups: four steps, stock tools as readers, recovery recipients, lost keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.helpers import good, module, sha256sum, sqlite3, tree
from tests.simulator import fleet

PLANS = "SELECT count(*) FROM plans"
CURRENT = "runtime/keys/current.key"


def archive_of(result: dict[str, object]) -> Path:
    """The archive of a backup in a module's result."""
    backup = result["backup"]
    assert isinstance(backup, dict)
    (found,) = Path(backup["path"]).glob("backup.tar.*.age")
    return found


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_check_run_run_check(quiet: fleet.Node, tmp_path: Path, compression: str) -> None:
    root = quiet.root
    key = good(module("backup_key", root=root))["key"]
    before = tree(root)
    foretold = good(module("backup", root=root, compression=compression, check=True))
    assert foretold["changed"]
    assert tree(root) == before

    made = good(module("backup", root=root, compression=compression))
    assert (made["changed"], made["backup"]["kind"]) == (True, "encrypted")
    archive = archive_of(made)
    assert archive.name == f"backup.tar.{'zst' if compression == 'zstd' else 'gz'}.age"
    assert sha256sum(archive) == made["backup"]["sha256"]
    assert made["backup"]["key_ids"] == [key["id"]]
    assert made["backup"]["recipients"] == [key["recipient"]]
    inside = stock.unpack(archive, root / CURRENT, tmp_path / "inside")
    assert sqlite3(inside / "state.db", PLANS) == sqlite3(quiet.state_db, PLANS)
    assert (inside / "owner_card.yaml").read_bytes() == quiet.owner_card.read_bytes()
    assert {path.name for path in archive.parent.iterdir()} == {archive.name, "backup.json"}

    again = good(module("backup", root=root, compression=compression))
    assert (again["changed"], again["backup"]) == (False, made["backup"])
    assert not good(module("backup", root=root, compression=compression, check=True))["changed"]


@pytest.mark.parametrize("method", ["pinned", "memory", "online", "vacuum"])
def test_each_method_makes_a_sound_archive_under_a_writing_station(
    station: fleet.Node, tmp_path: Path, method: str
) -> None:
    good(module("backup_key", root=station.root))
    made = good(module("backup", root=station.root, method=method))
    assert made["backup"]["method"] == method
    stock.unpack(archive_of(made), station.root / CURRENT, tmp_path / "inside")
    assert killing.litter(station.root) == []


def test_the_facts_beside_the_archive_are_public_and_right(quiet: fleet.Node) -> None:
    good(module("backup_key", root=quiet.root))
    made = good(module("backup", root=quiet.root, name="before-change"))
    facts = json.loads((Path(made["backup"]["path"]) / "backup.json").read_text())
    archive = archive_of(made)
    assert facts["format_version"] == 1
    assert (facts["id"], facts["name"]) == (made["backup"]["id"], "before-change")
    assert (facts["archive_sha256"], facts["archive_size"]) == (sha256sum(archive), archive.stat().st_size)
    assert "AGE-SECRET-KEY" not in json.dumps(facts)
    listed = good(module("backup_info", root=quiet.root))["newest"]
    assert listed == made["backup"]


def test_a_restore_shows_does_and_has_nothing_to_do(quiet: fleet.Node) -> None:
    root = quiet.root
    good(module("backup_key", root=root))
    made = good(module("backup", root=root))["backup"]
    plans = sqlite3(quiet.state_db, PLANS)
    sqlite3(quiet.state_db, "DELETE FROM plans")
    before = tree(root / "runtime/backups")
    shown = good(module("backup_restore", root=root, id=made["id"], check=True))
    assert "plans: 0 rows" in shown["diff"][0]["before"]
    assert f"plans: {plans} rows" in shown["diff"][0]["after"]
    assert tree(root / "runtime/backups") == before
    assert sqlite3(quiet.state_db, PLANS) == "0"

    done = good(module("backup_restore", root=root, id=made["id"]))
    assert (done["changed"], done["exact"], done["safety"]["kind"]) == (True, True, "encrypted")
    assert sqlite3(quiet.state_db, PLANS) == plans
    again = good(module("backup_restore", root=root, id=made["id"]))
    assert (again["changed"], again["actions"]) == (False, [])
    assert not good(module("backup_restore", root=root, id=made["id"], check=True))["changed"]
    undone = good(module("backup_restore", root=root, id=done["safety"]["id"]))
    assert (undone["changed"], sqlite3(quiet.state_db, PLANS)) == (True, "0")
    assert killing.litter(root) == []


@pytest.mark.parametrize("lost", ["nothing", "header", "everything"])
def test_an_archive_is_restored_whatever_is_left_of_the_database(tmp_path: Path, lost: str) -> None:
    root = killing.make_node(tmp_path / "node")
    good(module("backup_key", root=root))
    good(module("backup", root=root))
    plans = sqlite3(root / killing.DB, PLANS)
    if lost == "everything":
        (root / killing.DB).unlink()
    elif lost == "header":
        (root / killing.DB).write_bytes(b"no database" * 1000)
    else:
        sqlite3(root / killing.DB, "DELETE FROM plans")
    done = good(module("backup_restore", root=root, id="latest"))
    assert (done["changed"], done["exact"]) == (True, True)
    assert sqlite3(root / killing.DB, PLANS) == plans
    assert sqlite3(root / killing.DB, "PRAGMA integrity_check") == "ok"
    assert killing.litter(root) == []


def test_a_backup_from_before_a_rotation_verifies_and_restores(quiet: fleet.Node) -> None:
    root = quiet.root
    good(module("backup_key", root=root))
    made = good(module("backup", root=root))["backup"]
    for _turn in range(3):
        good(module("backup_key", root=root, state="rotated"))
    assert good(module("backup_verify", root=root, id=made["id"]))["checks"]
    plans = sqlite3(quiet.state_db, PLANS)
    sqlite3(quiet.state_db, "DELETE FROM plans")
    good(module("backup_restore", root=root, id=made["id"]))
    assert sqlite3(quiet.state_db, PLANS) == plans


def test_with_the_keyring_gone_the_recovery_identity_restores(quiet: fleet.Node, tmp_path: Path) -> None:
    root, offline = quiet.root, tmp_path / "recovery.key"
    recipient = stock.recovery_identity(offline)
    good(module("backup_key", root=root))
    made = good(module("backup", root=root, recovery_recipients=[recipient]))
    assert made["backup"]["recipients"][1] == recipient
    assert made["warnings"] == []
    plans = sqlite3(quiet.state_db, PLANS)
    shutil.rmtree(root / "runtime/keys")
    sqlite3(quiet.state_db, "DELETE FROM plans")

    refused = module("backup_restore", root=root, id="latest")
    assert refused["error"]["code"] == "missing_key"
    for told in (made["backup"]["key_ids"][0], str(root / "runtime/keys"), "it holds none", "identity_file"):
        assert told in refused["msg"]
    assert sqlite3(quiet.state_db, PLANS) == "0"
    done = good(module("backup_restore", root=root, id="latest", identity_file=offline))
    assert (sqlite3(quiet.state_db, PLANS), done["safety"]["kind"]) == (plans, "plain")
    assert good(module("backup_verify", root=root, id=made["backup"]["id"], identity_file=offline))["checks"]
    stock.unpack(archive_of(made), offline, tmp_path / "inside")


def test_an_identity_file_that_others_can_read_is_refused(quiet: fleet.Node, tmp_path: Path) -> None:
    stock.recovery_identity(tmp_path / "recovery.key")
    good(module("backup_key", root=quiet.root))
    good(module("backup", root=quiet.root))
    (tmp_path / "recovery.key").chmod(0o644)
    refused = module("backup_verify", root=quiet.root, identity_file=tmp_path / "recovery.key")
    assert refused["error"]["code"] == "unsafe"
    assert "run: chmod 600" in refused["msg"]


def test_without_recovery_recipients_there_is_one_clear_warning(quiet: fleet.Node) -> None:
    good(module("backup_key", root=quiet.root))
    (warning,) = good(module("backup", root=quiet.root))["warnings"]
    assert "no recovery recipient is set" in warning


BAD_RECIPIENTS = {
    "age1short": "entry 2: a recipient",
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX": "entry 2: ",
    "": "entry 2: a recipient",
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("bad", BAD_RECIPIENTS)
def test_a_bad_recovery_recipient_is_named_by_its_place_and_never_quoted(
    tmp_path: Path, bad: str, check: bool
) -> None:
    root = killing.make_node(tmp_path / "node")
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    good(module("backup_key", root=root))
    refused = module("backup", root=root, recovery_recipients=[recipient, bad], check=check)
    assert refused["error"]["code"] == "age_key"
    assert BAD_RECIPIENTS[bad] in refused["msg"]
    assert "SECRET" not in refused["msg"]
    assert not list((root / "runtime").glob("backups/2*"))


def test_other_recipients_or_another_kind_call_for_a_new_backup(quiet: fleet.Node, tmp_path: Path) -> None:
    root = quiet.root
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    good(module("backup", root=root, encrypt=False))
    good(module("backup_key", root=root))
    reasons = [
        good(module("backup", root=root, recovery_recipients=wanted))["reason"]
        for wanted in ([], [recipient], [recipient], [])
    ]
    assert "is plain" in reasons[0]
    assert "is for other recipients" in reasons[1]
    assert "content equals" in reasons[2]
    assert "is for other recipients" in reasons[3]
