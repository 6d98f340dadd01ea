# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_restore: what it claims, in four steps, judged by sqlite3 and sha256sum."""

from __future__ import annotations

import os
from pathlib import Path

from tests.integration.helpers import good, module, sha256sum, sqlite3, tree
from tests.simulator import fleet

MISSING = "SELECT count(*) FROM b.plans WHERE plan_id NOT IN (SELECT plan_id FROM main.plans)"
COUNT = "SELECT count(*) FROM plans"


def test_check_run_run_check(quiet: fleet.Node) -> None:
    backup = good(module("backup", encrypt=False, root=quiet.root))["backup"]
    plans, card = sqlite3(quiet.state_db, COUNT), quiet.owner_card.read_bytes()
    sqlite3(quiet.state_db, "DELETE FROM plans WHERE rowid % 2")
    quiet.owner_card.write_bytes(card + b"# another\n")
    fewer, before = sqlite3(quiet.state_db, COUNT), tree(quiet.root / "runtime/backups")

    foretold = good(module("backup_restore", root=quiet.root, id=backup["id"], check=True))
    assert foretold["changed"]
    assert len(foretold["actions"]) == 3
    assert f"plans: {fewer} rows" in foretold["diff"][0]["before"]
    assert f"plans: {plans} rows" in foretold["diff"][0]["after"]
    assert "# another" in foretold["diff"][1]["before"]
    assert tree(quiet.root / "runtime/backups") == before
    assert sqlite3(quiet.state_db, COUNT) == fewer

    restored = good(module("backup_restore", root=quiet.root, id=backup["id"]))
    assert restored["changed"]
    assert restored["exact"]
    assert sqlite3(quiet.state_db, COUNT) == plans
    assert sqlite3(quiet.state_db, "PRAGMA integrity_check") == "ok"
    assert quiet.owner_card.read_bytes() == card
    assert any("OwnerCard" in warning for warning in restored["warnings"])
    kept = Path(restored["safety"]["path"])
    assert sqlite3(kept / "state.db", COUNT) == fewer
    assert (kept / "owner_card.yaml").read_bytes() == card + b"# another\n"

    again = good(module("backup_restore", root=quiet.root, id=backup["id"]))
    assert not again["changed"]
    assert again["safety"] is None
    assert not good(module("backup_restore", root=quiet.root, id=backup["id"], check=True))["changed"]

    undone = good(module("backup_restore", root=quiet.root, id=restored["safety"]["id"]))
    assert undone["changed"]
    assert sqlite3(quiet.state_db, COUNT) == fewer


def test_the_latest_restored_twice_does_not_bring_back_what_it_replaced(quiet: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=quiet.root))
    plans = sqlite3(quiet.state_db, COUNT)
    sqlite3(quiet.state_db, "DELETE FROM plans")
    first = good(module("backup_restore", root=quiet.root, id="latest"))
    again = good(module("backup_restore", root=quiet.root, id="latest"))
    assert (first["changed"], again["changed"]) == (True, False)
    assert sqlite3(quiet.state_db, COUNT) == plans
    assert good(module("backup_info", root=quiet.root))["newest"]["id"] == first["backup"]["id"]
    assert good(module("backup_verify", root=quiet.root))["backup"]["id"] == first["backup"]["id"]


def test_a_writing_station_goes_on_with_the_restored_data(station: fleet.Node) -> None:
    backup = good(module("backup", encrypt=False, root=station.root))["backup"]
    copy = Path(backup["path"]) / "state.db"
    station.wait_commits(20)
    for _turn in range(3):
        good(module("backup_restore", root=station.root, id=backup["id"]))
        station.wait_commits(3)
        assert sqlite3(station.state_db, f"ATTACH '{copy}' AS b; {MISSING}") == "0"
        assert int(sqlite3(station.state_db, COUNT)) > int(sqlite3(copy, COUNT))
        assert sqlite3(station.state_db, "PRAGMA integrity_check") == "ok"
    assert sha256sum(copy) == backup["sha256"]


def test_a_damaged_database_is_restored_and_its_remains_are_kept(quiet: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=quiet.root))
    plans = sqlite3(quiet.state_db, COUNT)
    quiet.stop()
    with quiet.state_db.open("r+b") as database:
        database.write(os.urandom(50_000))
    remains = sha256sum(quiet.state_db)
    restored = good(module("backup_restore", root=quiet.root, id="latest"))
    assert sqlite3(quiet.state_db, COUNT) == plans
    assert restored["safety"]["id"] is None
    assert sha256sum(Path(restored["safety"]["path"]) / "vvtv.db") == remains
    assert not good(module("backup_restore", root=quiet.root, id="latest"))["changed"]


def test_a_missing_database_and_card_are_restored(quiet: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=quiet.root))
    plans, card = sqlite3(quiet.state_db, COUNT), quiet.owner_card.read_bytes()
    quiet.stop()
    for path in (*quiet.state_db.parent.glob("vvtv.db*"), quiet.owner_card):
        path.unlink()
    restored = good(module("backup_restore", root=quiet.root, id="latest"))
    assert restored["exact"]
    assert restored["safety"] is None
    assert sqlite3(quiet.state_db, COUNT) == plans
    assert quiet.owner_card.read_bytes() == card


def test_a_leftover_journal_or_wal_does_not_undo_the_restore(quiet: fleet.Node) -> None:
    good(module("backup", encrypt=False, root=quiet.root))
    plans = sqlite3(quiet.state_db, COUNT)
    quiet.faults()
    quiet.wait_commits(3)
    quiet.kill()
    quiet.state_db.unlink()
    (quiet.state_db.parent / "vvtv.db-journal").write_bytes(os.urandom(2000))
    (quiet.state_db.parent / "vvtv.db-wal").touch()
    good(module("backup_restore", root=quiet.root, id="latest"))
    assert sqlite3(quiet.state_db, COUNT) == plans
    assert sqlite3(quiet.state_db, "PRAGMA integrity_check") == "ok"


def test_the_databases_mode_and_the_cards_mode_stay(quiet: fleet.Node) -> None:
    quiet.state_db.chmod(0o640)
    quiet.owner_card.chmod(0o604)
    good(module("backup", encrypt=False, root=quiet.root))
    sqlite3(quiet.state_db, "DELETE FROM plans")
    quiet.owner_card.write_text("editorial_profile: broken\n")
    good(module("backup_restore", root=quiet.root, id="latest"))
    assert quiet.state_db.stat().st_mode & 0o777 == 0o640
    assert quiet.owner_card.stat().st_mode & 0o777 == 0o604
