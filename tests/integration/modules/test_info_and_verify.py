# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules backup_info and backup_verify."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.integration.helpers import good, module, sha256sum, sqlite3, tree
from tests.simulator import fleet


def test_info_of_a_node_without_backups_is_empty(quiet: fleet.Node) -> None:
    found = good(module("backup_info", root=quiet.root))
    assert found["backups"] == []
    assert found["newest"] is None


def test_looking_and_verifying_change_nothing_in_any_of_four_runs(quiet: fleet.Node) -> None:
    made = good(module("backup", encrypt=False, root=quiet.root))["backup"]
    before = tree(quiet.root / "runtime/backups")
    for check in (True, False, False, True):
        assert good(module("backup_info", root=quiet.root, check=check))["newest"] == made
        verified = good(module("backup_verify", root=quiet.root, check=check, integrity="full"))
        assert not verified["changed"]
        assert verified["backup"]["id"] == made["id"]
        assert verified["backup"]["verified"] > made["verified"]
    assert tree(quiet.root / "runtime/backups") == before


def test_info_lists_newest_first_and_says_what_cannot_be_used(quiet: fleet.Node) -> None:
    made = [
        good(module("backup", encrypt=False, root=quiet.root, force=True))["backup"]["id"]
        for _turn in range(3)
    ]
    half_made = quiet.root / "runtime/backups/20991231T235959Z"
    half_made.mkdir()
    (half_made / "state.db").write_bytes(b"")
    (quiet.root / "runtime/backups/notes").mkdir()
    found = good(module("backup_info", root=quiet.root))
    assert [backup["id"] for backup in found["backups"]] == ["20991231T235959Z", *reversed(made)]
    assert "manifest.json" in found["backups"][0]["problem"]
    assert found["newest"]["id"] == made[-1]


def test_a_backup_of_the_stations_own_tools_is_listed_verified_and_restored(quiet: fleet.Node) -> None:
    folder = quiet.root / "runtime/backups/20260101T000000Z"
    folder.mkdir(parents=True)
    sqlite3(quiet.state_db, f"VACUUM INTO '{folder}/state.db'")
    (folder / "owner_card.yaml").write_bytes(quiet.owner_card.read_bytes())
    manifest = {
        "schema_version": 1,
        "created_at": "2026-01-01T00:00:00.123456789Z",
        "state_db_file": "state.db",
        "state_db_sha256": sha256sum(folder / "state.db"),
        "owner_card_file": "owner_card.yaml",
        "owner_card_sha256": sha256sum(folder / "owner_card.yaml"),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    plans = sqlite3(quiet.state_db, "SELECT count(*) FROM plans")
    sqlite3(quiet.state_db, "DELETE FROM plans")
    assert good(module("backup_verify", root=quiet.root, id="20260101T000000Z"))["backup"]["method"] is None
    assert good(module("backup_restore", root=quiet.root, id="20260101T000000Z"))["changed"]
    assert sqlite3(quiet.state_db, "SELECT count(*) FROM plans") == plans


def test_verify_all_names_every_damaged_backup(quiet: fleet.Node) -> None:
    made = [
        good(module("backup", encrypt=False, root=quiet.root, force=True))["backup"] for _turn in range(3)
    ]
    (Path(made[0]["path"]) / "owner_card.yaml").write_text("nonsense\n")
    os.truncate(Path(made[1]["path"]) / "state.db", 4096)
    result = module("backup_verify", root=quiet.root, id="all")
    assert result["failed"]
    assert result["msg"].count("is damaged") == 2
    assert made[0]["id"] in result["msg"]
    assert made[1]["id"] in result["msg"]
    assert good(module("backup_verify", root=quiet.root))["backup"]["id"] == made[2]["id"]


def test_every_flipped_byte_of_the_card_and_many_of_the_database_are_found(quiet: fleet.Node) -> None:
    folder = Path(good(module("backup", encrypt=False, root=quiet.root))["backup"]["path"])
    for name, positions in (("owner_card.yaml", (0, 100)), ("state.db", (0, 17, 5000, 200_000))):
        for position in positions:
            with (folder / name).open("r+b") as file:
                file.seek(position)
                byte = file.read(1)
                file.seek(position)
                file.write(bytes([byte[0] ^ 1]))
                file.flush()
                result = module("backup_verify", root=quiet.root)
                file.seek(position)
                file.write(byte)
            assert result["failed"]
            assert result["error"]["code"] == "damaged"
            assert str(folder / name) in result["msg"]
    good(module("backup_verify", root=quiet.root))
