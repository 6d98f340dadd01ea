# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks key_ensure, key_rotate and key_prune over a fleet, and backup with encryption."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration import stock
from tests.integration.helpers import CHECKOUT, playbook, tree

from .conftest import Fleet

INSTANT = re.compile(r"vvtv_key_not_before=([0-9TZ:.-]+)")


@pytest.fixture
def sealed(three: Fleet, tmp_path: Path) -> Fleet:
    """Three quiet nodes with a backup under a key each, and a recovery recipient."""
    three.quiet()
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    three.change(vvtv_encrypt=True, vvtv_recovery_recipients=[recipient], vvtv_key_batch=1)
    made = playbook("backup", three.inventory)
    assert made.code == 0
    assert [made.count(host, "changed") for host in three.nodes] == [2, 2, 2]
    assert "no recovery recipient" not in made.output
    return three


def keys(three: Fleet, host: str) -> list[str]:
    """The public halves of a node's archived keys, as age-keygen tells them, oldest first."""
    archive = three.nodes[host].root / "runtime/keys/archive"
    return [stock.run("age-keygen", "-y", path).decode().strip() for path in sorted(archive.glob("2*.key"))]


def opened_by(three: Fleet, host: str) -> list[list[bool]]:
    """For each backup of a node, oldest first, which of its keys opens it."""
    root = three.nodes[host].root
    archives = sorted(root.glob("runtime/backups/2*/backup.tar.*.age"))
    identities = sorted((root / "runtime/keys/archive").glob("2*.key"))
    return [[stock.opens(archive, identity) for identity in identities] for archive in archives]


def test_backup_is_encrypted_and_within_its_tasks(sealed: Fleet, tmp_path: Path) -> None:
    again = playbook("backup", sealed.inventory)
    assert [again.count(host, "changed") for host in sealed.nodes] == [0, 0, 0]
    for host, node in sealed.nodes.items():
        assert again.count(host, "ok") + again.count(host, "skipped") <= 6
        (archive,) = node.root.glob("runtime/backups/2*/backup.tar.*.age")
        stock.unpack(archive, node.root / "runtime/keys/current.key", tmp_path / f"{host}-inside")
        assert stock.opens(archive, tmp_path / "recovery.key")


def test_without_recovery_recipients_the_fleet_is_warned_once(three: Fleet) -> None:
    three.change(vvtv_encrypt=True)
    run = playbook("backup", three.inventory)
    assert run.code == 0
    assert run.output.count("no recovery recipient is set") == 1


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_ensure_checks_makes_and_then_has_nothing_to_do(three: Fleet) -> None:
    foretold = playbook("key_ensure", three.inventory, "--check", "--diff")
    assert [foretold.count(host, "changed") for host in three.nodes] == [1, 1, 1]
    assert not any((node.root / "runtime/keys").exists() for node in three.nodes.values())
    made = playbook("key_ensure", three.inventory)
    assert [made.count(host, "changed") for host in three.nodes] == [1, 1, 1]
    again = playbook("key_ensure", three.inventory)
    assert [again.count(host, "changed") for host in three.nodes] == [0, 0, 0]
    assert [len(keys(three, host)) for host in three.nodes] == [1, 1, 1]


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_rotate_gives_each_host_a_new_key_a_backup_and_rewraps(sealed: Fleet) -> None:
    before = {host: keys(sealed, host) for host in sealed.nodes}
    shown = playbook("key_rotate", sealed.inventory, "--check")
    assert shown.code == 0
    assert "check mode: no host was rotated" in shown.output
    assert {host: keys(sealed, host) for host in sealed.nodes} == before

    done = playbook("key_rotate", sealed.inventory)
    assert done.code == 0
    assert "all 3 hosts are rotated" in done.output
    for host in sealed.nodes:
        assert len(keys(sealed, host)) == 2
        assert opened_by(sealed, host) == [[False, True], [False, True]]
        assert re.search(rf"{host}: \S+ -> \S+; backups that each key opens: \S+ 2, \S+ 0", done.output)
    for host in ("node2", "node3"):  # node1 also does what is done once for the fleet
        assert done.count(host, "ok") + done.count(host, "skipped") <= 6

    found = INSTANT.search(done.output)
    assert found
    again = playbook("key_rotate", sealed.inventory, "-e", f"vvtv_key_not_before={found[1]}")
    assert again.code == 0
    assert [again.count(host, "changed") for host in sealed.nodes] == [0, 0, 0]
    assert [len(keys(sealed, host)) for host in sealed.nodes] == [2, 2, 2]


# Over SSH the scenario keys has it.
@pytest.mark.thorough
def test_rotate_goes_past_a_host_that_cannot_be_reached_and_says_so(sealed: Fleet) -> None:
    sealed.lose("node1")
    broken = playbook("key_rotate", sealed.inventory)
    assert broken.code != 0
    assert "not rotated yet: node1; when they can be reached" in broken.output
    assert [len(keys(sealed, host)) for host in sealed.nodes] == [1, 2, 2]
    found = INSTANT.search(broken.output)
    assert found

    sealed.change("node1", ansible_connection="local")
    done = playbook("key_rotate", sealed.inventory, "-e", f"vvtv_key_not_before={found[1]}")
    assert done.code == 0
    assert [done.count(host, "changed") for host in sealed.nodes] == [3, 0, 0]
    assert [len(keys(sealed, host)) for host in sealed.nodes] == [2, 2, 2]


@pytest.mark.thorough
def test_rotate_goes_past_a_host_that_fails_and_says_so(sealed: Fleet) -> None:
    folder = sealed.nodes["node2"].root / "runtime/keys"
    folder.chmod(0o755)
    broken = playbook("key_rotate", sealed.inventory)
    assert broken.code != 0
    assert "chmod 700" in broken.output
    assert "not rotated yet: node2; when" in broken.output
    assert [len(keys(sealed, host)) for host in sealed.nodes] == [2, 1, 2]


@pytest.mark.thorough
def test_a_backup_that_is_not_for_the_new_key_fails_the_run_and_is_named(sealed: Fleet) -> None:
    (archive,) = sealed.nodes["node2"].root.glob("runtime/backups/2*/backup.tar.*.age")
    data = bytearray(archive.read_bytes())
    data[-20] ^= 1
    archive.write_bytes(data)
    stuck = playbook("key_rotate", sealed.inventory, "-e", "vvtv_key_rekey=true")
    assert stuck.code == 2
    assert "rotated, but with backups that are not for the new key: node2;" in stuck.output
    assert re.search(r"again with -e vvtv_key_not_before=\S+Z -e vvtv_key_rekey=true", stuck.output)
    assert [len(keys(sealed, host)) for host in sealed.nodes] == [2, 2, 2]


# Over SSH the scenario keys has it.
@pytest.mark.thorough
def test_killed_in_the_middle_and_run_again_each_host_is_rotated_exactly_once(sealed: Fleet) -> None:
    instant = stock.run("date", "-u", "+%Y-%m-%dT%H:%M:%S.%6NZ").decode().strip()
    options = ("-e", f"vvtv_key_not_before={instant}")
    command = ["ansible-playbook", "-i", str(sealed.inventory), "vvtv.runbook.key_rotate", *options]
    env = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        deadline = time.monotonic() + 120
        while len(keys(sealed, "node2")) < 2:
            assert run.poll() is None, "it was over before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGKILL)
    assert len(keys(sealed, "node3")) == 1

    done = playbook("key_rotate", sealed.inventory, *options)
    assert done.code == 0
    assert done.count("node3", "changed") == 3
    for host in sealed.nodes:
        assert len(keys(sealed, host)) == 2
        assert all(row == [False, True] for row in opened_by(sealed, host))
    assert playbook("verify", sealed.inventory, "-e", "vvtv_backup_id=all").code == 0


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_prune_shows_does_and_says_what_is_still_needed(sealed: Fleet) -> None:
    playbook("key_rotate", sealed.inventory)
    node = sealed.nodes["node3"]
    legacy = node.root / "runtime/keys/archive/20240101T000000Z.key"
    legacy.write_bytes(stock.run("openssl", "rand", "-base64", "36"))
    legacy.chmod(0o600)
    stock.legacy_backup(node.root, legacy, "20240101T000000Z", "20240102T000000Z")
    now = ("-e", "vvtv_key_retention_days=0")
    before = tree(node.root / "runtime/keys")
    shown = playbook("key_prune", sealed.inventory, *now, "--check")
    assert [shown.count(host, "changed") for host in sealed.nodes] == [1, 1, 1]
    assert tree(node.root / "runtime/keys") == before
    done = playbook("key_prune", sealed.inventory, *now)
    assert done.code == 0
    assert "old but still needed: 20240101T000000Z (by 20240102T000000Z)" in done.output
    assert [len(keys(sealed, host)) for host in ("node1", "node2")] == [1, 1]
    again = playbook("key_prune", sealed.inventory, *now)
    assert [again.count(host, "changed") for host in sealed.nodes] == [0, 0, 0]
    assert playbook("verify", sealed.inventory, "-e", "vvtv_backup_id=all").code == 0


def test_restore_with_the_recovery_identity_when_the_keyring_is_gone(sealed: Fleet, tmp_path: Path) -> None:
    node = sealed.nodes["node2"]
    stock.run("rm", "-r", node.root / "runtime/keys")
    plans = stock.run("sqlite3", node.state_db, "SELECT count(*) FROM plans")
    stock.run("sqlite3", node.state_db, "DELETE FROM plans")
    options = ("--limit", "node2", "-e", "vvtv_backup_id=latest")
    refused = playbook("restore", sealed.inventory, *options)
    assert refused.code == 2
    assert "identity_file" in refused.output
    done = playbook(
        "restore", sealed.inventory, *options, "-e", f"vvtv_identity_file={tmp_path}/recovery.key"
    )
    assert done.code == 0
    assert stock.run("sqlite3", node.state_db, "SELECT count(*) FROM plans") == plans
