# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup: what it claims, in four steps, judged by sqlite3 and sha256sum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.helpers import good, module, sha256sum, sqlite3, tree
from tests.simulator import fleet

INVARIANT = (
    "SELECT count(*) = (SELECT count(*) FROM assets)"
    " AND count(*) = (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
)


def verify_as_the_station_does(folder: Path) -> None:
    """Read a backup as the station's own verifier: its six fields, nothing else, hashes by sha256sum."""
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert "T" in manifest["created_at"]
    for field in ("state_db", "owner_card"):
        assert sha256sum(folder / manifest[f"{field}_file"]) == manifest[f"{field}_sha256"]


def test_check_run_run_check(quiet: fleet.Node) -> None:
    before = tree(quiet.root)
    foretold = good(module("backup", encrypt=False, root=quiet.root, check=True))
    assert foretold["changed"]
    assert foretold["backup"] is None
    assert tree(quiet.root).keys() == before.keys()

    made = good(module("backup", encrypt=False, root=quiet.root))
    assert made["changed"]
    assert len(made["actions"]) == 1
    after = tree(quiet.root)
    folder = Path(made["backup"]["path"])
    verify_as_the_station_does(folder)
    assert sha256sum(folder / "state.db") == made["backup"]["sha256"]
    assert sqlite3(folder / "state.db", "PRAGMA integrity_check") == "ok"
    assert sqlite3(folder / "state.db", INVARIANT) == "1"
    assert (folder / "owner_card.yaml").read_bytes() == quiet.owner_card.read_bytes()
    assert sqlite3(folder / "state.db", "SELECT count(*) FROM plans") == sqlite3(
        quiet.state_db, "SELECT count(*) FROM plans"
    )

    again = good(module("backup", encrypt=False, root=quiet.root))
    assert not again["changed"]
    assert again["actions"] == []
    assert again["backup"] == made["backup"]

    assert not good(module("backup", encrypt=False, root=quiet.root, check=True))["changed"]
    backups = {name: digest for name, digest in after.items() if "backups" in name}
    assert {name: digest for name, digest in tree(quiet.root).items() if "backups" in name} == backups


def test_a_renewed_lease_is_no_new_content(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path / "node", renew_seconds=0.05, size="1M") as node:
        node.faults(pipeline="quiet")
        lease = "SELECT expires_at FROM scheduler_locks"
        first, made = sqlite3(node.state_db, lease), good(module("backup", encrypt=False, root=node.root))
        again = good(module("backup", encrypt=False, root=node.root))
        assert sqlite3(node.state_db, lease) != first
        assert (made["changed"], again["changed"]) == (True, False)


def test_a_backup_of_a_writing_station_holds_a_state_that_existed(station: fleet.Node) -> None:
    made = [
        good(module("backup", encrypt=False, root=station.root, force=True))["backup"] for _turn in range(5)
    ]
    assert len({backup["id"] for backup in made}) == 5
    for backup in made:
        copy = Path(backup["path"]) / "state.db"
        assert sqlite3(copy, "PRAGMA integrity_check") == "ok"
        assert sqlite3(copy, INVARIANT) == "1"
    station.wait_commits(3)


@pytest.mark.parametrize("method", ["pinned", "online", "vacuum"])
def test_each_method_makes_a_sound_copy_without_a_wal(station: fleet.Node, method: str) -> None:
    backup = good(module("backup", encrypt=False, root=station.root, method=method))["backup"]
    copy = Path(backup["path"]) / "state.db"
    assert backup["method"] == method
    assert copy.read_bytes()[18:20] == b"\x01\x01"
    assert sqlite3(copy, "PRAGMA integrity_check") == "ok"
    assert sqlite3(copy, INVARIANT) == "1"
    assert sha256sum(copy) == backup["sha256"]


def test_force_makes_a_new_backup_of_the_same_content(quiet: fleet.Node) -> None:
    first = good(module("backup", encrypt=False, root=quiet.root))
    second = good(module("backup", encrypt=False, root=quiet.root, force=True))
    assert second["changed"]
    assert second["backup"]["id"] != first["backup"]["id"]


def test_a_named_backup_is_kept_whatever_changes_since(station: fleet.Node) -> None:
    first = good(module("backup", encrypt=False, root=station.root, name="before-change-1"))
    station.wait_commits(3)
    second = good(module("backup", encrypt=False, root=station.root, name="before-change-1"))
    assert (first["changed"], second["changed"]) == (True, False)
    assert second["backup"] == first["backup"]
    assert good(module("backup", encrypt=False, root=station.root, name="before-change-2"))["changed"]


def test_a_damaged_newest_backup_does_not_stand_in_for_a_new_one(quiet: fleet.Node) -> None:
    first = good(module("backup", encrypt=False, root=quiet.root))["backup"]
    with (Path(first["path"]) / "state.db").open("r+b") as copy:
        copy.seek(20_000)
        copy.write(b"rot")
    second = good(module("backup", encrypt=False, root=quiet.root))
    assert second["changed"]
    assert second["backup"]["id"] != first["id"]
    assert any(first["id"] in warning for warning in second["warnings"])


def test_backups_are_private(quiet: fleet.Node) -> None:
    folder = Path(good(module("backup", encrypt=False, root=quiet.root))["backup"]["path"])
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder)] == [0o700, 0o700]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_changed_owner_card_is_new_content(quiet: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=quiet.root))
    quiet.owner_card.write_text(quiet.owner_card.read_text() + "# a note\n")
    made = good(module("backup", encrypt=False, root=quiet.root))
    assert made["changed"]
    assert "OwnerCard" in made["reason"]
