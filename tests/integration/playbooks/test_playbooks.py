# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks backup, verify and restore over a fleet, with real ansible-playbook runs."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.helpers import CHECKOUT, playbook, sqlite3, tree

from .conftest import Fleet

FORCE = "vvtv_backup_force=true"
COUNT = "SELECT count(*) FROM plans"


def backups_of(three: Fleet, host: str) -> list[Path]:
    """The backup folders of a node, oldest first."""
    return sorted((three.nodes[host].root / "runtime/backups").glob("2*Z*"))


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_backup_checks_makes_and_then_has_nothing_to_do(three: Fleet) -> None:
    three.quiet()
    foretold = playbook("backup", three.inventory, "--check", "--diff")
    assert foretold.code == 0
    assert [foretold.count(host, "changed") for host in three.nodes] == [1, 1, 1]
    assert not any((node.root / "runtime/backups").exists() for node in three.nodes.values())

    made = playbook("backup", three.inventory)
    assert made.code == 0
    assert [made.count(host, "changed") for host in three.nodes] == [1, 1, 1]
    again = playbook("backup", three.inventory)
    assert again.code == 0
    assert [again.count(host, "changed") for host in three.nodes] == [0, 0, 0]
    assert [len(backups_of(three, host)) for host in three.nodes] == [1, 1, 1]
    for host in three.nodes:
        assert f"{host}: {backups_of(three, host)[0].name}" in again.output
        assert again.count(host, "ok") + again.count(host, "skipped") <= 6


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_backup_of_writing_stations_is_sound_on_every_node(three: Fleet) -> None:
    assert playbook("backup", three.inventory, "-e", FORCE).code == 0
    for host in three.nodes:
        assert sqlite3(backups_of(three, host)[0] / "state.db", "PRAGMA integrity_check") == "ok"


def test_one_bad_node_fails_alone_and_the_exit_code_says_so(three: Fleet) -> None:
    three.nodes["node2"].stop()
    three.nodes["node2"].state_db.write_bytes(b"no database at all\n" * 500)
    run = playbook("backup", three.inventory)
    assert run.code == 2
    assert "vvtv.db" in run.output
    assert [run.count(host, "failed") for host in three.nodes] == [0, 1, 0]
    assert [len(backups_of(three, host)) for host in three.nodes] == [1, 0, 1]


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_verify_proves_and_finds(three: Fleet) -> None:
    three.quiet()
    playbook("backup", three.inventory)
    fine = playbook("verify", three.inventory, "-e", "vvtv_backup_id=all")
    assert fine.code == 0
    assert [fine.count(host, "changed") for host in three.nodes] == [0, 0, 0]
    victim = backups_of(three, "node1")[0] / "state.db"
    os.truncate(victim, 8192)
    found = playbook("verify", three.inventory)
    assert found.code == 2
    assert str(victim) in found.output
    assert [found.count(host, "failed") for host in three.nodes] == [1, 0, 0]


def test_restore_refuses_to_guess_the_backup_or_the_host(three: Fleet) -> None:
    three.quiet()
    playbook("backup", three.inventory)
    before = {host: tree(node.root / "runtime/backups") for host, node in three.nodes.items()}
    no_id = playbook("restore", three.inventory, "--limit", "node1")
    assert no_id.code == 2
    assert "no backup is named" in no_id.output
    many = playbook("restore", three.inventory, "-e", "vvtv_backup_id=latest")
    assert many.code == 2
    assert "this would restore 3 hosts (node1, node2, node3)" in many.output
    assert {host: tree(node.root / "runtime/backups") for host, node in three.nodes.items()} == before


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_restore_shows_then_does_then_has_nothing_to_do(three: Fleet) -> None:
    three.quiet()
    playbook("backup", three.inventory)
    node = three.nodes["node1"]
    plans = sqlite3(node.state_db, COUNT)
    sqlite3(node.state_db, "DELETE FROM plans")
    options = ("--limit", "node1", "-e", "vvtv_backup_id=latest")

    shown = playbook("restore", three.inventory, *options, "--check")
    assert shown.code == 0
    assert "-plans: 0 rows" in shown.output
    assert f"+plans: {plans} rows" in shown.output
    assert sqlite3(node.state_db, COUNT) == "0"

    first = backups_of(three, "node1")[0].name
    done = playbook("restore", three.inventory, *options)
    assert done.code == 0
    assert (done.count("node1", "changed"), sqlite3(node.state_db, COUNT)) == (1, plans)
    safety = backups_of(three, "node1")[-1]
    assert f"backed up the present state as {safety.name}" in done.output
    assert sqlite3(safety / "state.db", COUNT) == "0"

    again = playbook("restore", three.inventory, "--limit", "node1", "-e", f"vvtv_backup_id={first}")
    assert again.code == 0
    assert again.count("node1", "changed") == 0


def test_restore_of_many_hosts_goes_one_by_one_and_stops_at_the_first_failure(three: Fleet) -> None:
    three.quiet()
    playbook("backup", three.inventory)
    for node in three.nodes.values():
        sqlite3(node.state_db, "DELETE FROM plans")
    os.truncate(backups_of(three, "node2")[0] / "state.db", 4096)
    run = playbook("restore", three.inventory, "-e", "vvtv_backup_id=latest", "-e", "vvtv_restore_many=true")
    assert run.code == 2
    counts = {host: sqlite3(node.state_db, COUNT) for host, node in three.nodes.items()}
    assert counts["node1"] != "0"
    assert (counts["node2"], counts["node3"]) == ("0", "0")


def test_a_node_without_a_root_is_refused_with_what_to_set(three: Fleet) -> None:
    hosts = {"lost": {}}
    inventory = three.inventory.with_name("lost.json")
    inventory.write_text(json.dumps({"vvtv": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}))
    run = playbook("backup", inventory)
    assert run.code == 2
    assert "vvtv_root is '' for lost: set it to the node's folder" in run.output


def test_tags_run_the_preflight_alone(three: Fleet) -> None:
    assert playbook("backup", three.inventory, "--tags", "backup_preflight").code == 0
    assert not any((node.root / "runtime/backups").exists() for node in three.nodes.values())


def test_two_bastions_at_once_both_succeed(three: Fleet) -> None:
    with ThreadPoolExecutor() as bastions:
        runs = list(bastions.map(lambda _: playbook("backup", three.inventory, "-e", FORCE), range(2)))
    assert [run.code for run in runs] == [0, 0]
    assert [len(backups_of(three, host)) for host in three.nodes] == [2, 2, 2]


def test_the_shipped_inventories_have_the_groups_of_a_fleet() -> None:
    for name in ("demo", "example"):
        command = ["ansible-inventory", "-i", str(CHECKOUT / "inventories" / name), "--list"]
        listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        every = set(listed["vvtv"]["hosts"])
        assert len(every) >= 3
        assert set(listed["vvtv_canary"]["hosts"]) < every
        assert set(listed["vvtv_baseline"]["hosts"]) < every
        assert not set(listed["vvtv_canary"]["hosts"]) & set(listed["vvtv_baseline"]["hosts"])
