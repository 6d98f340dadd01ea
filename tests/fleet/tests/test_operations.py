# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook over SSH, by a user who becomes root with sudo, on Debian 12 and 13 at once, on air.

Debian's own programs on the nodes judge. Debian 12 has its database with a rollback journal, Debian 13 in WAL
mode and with Python 3.13. Debian 12 runs modules on Python 3.9 where this machine can lend it one, which
"python -m tests.fleet check" tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import done, until
from tests.integration.helpers import Play

from . import readers
from .bastion import Bastion, bastion
from .breaking import ALL, FORCE

NOTHING = {"node1": 0, "node2": 0}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="operations") as fleet:
        readers.prepare(fleet)
        yield fleet


@pytest.fixture(scope="module")
def pythons(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory that gives node1 its oldest Python."""
    path = tmp_path_factory.mktemp("inventory") / "pythons.json"
    interpreter = {"ansible_python_interpreter": fleet[0].python39 or "/usr/bin/python3"}
    path.write_text(json.dumps({"vvtv": {"hosts": {"node1": interpreter}}}))
    return path


@pytest.fixture(scope="module")
def ops(fleet: Fleet, pythons: Path) -> Iterator[Bastion]:
    with bastion(fleet, fleet.inventory, pythons) as machine:
        yield machine


@pytest.fixture
def quiet(fleet: Fleet) -> Iterator[None]:
    """Between two commit windows: only the lease is written."""
    for node in fleet:
        readers.faults(node, "pipeline=quiet")
    yield
    for node in fleet:
        readers.faults(node)


def changed(run: Play) -> dict[str, int]:
    return {host: run.count(host, "changed") for host in NOTHING}


def failed(run: Play) -> dict[str, int]:
    return {host: run.count(host, "failed") for host in NOTHING}


@pytest.mark.usefixtures("quiet")
def test_keys_and_backups_are_foretold_made_and_then_nothing_is_to_do(fleet: Fleet, ops: Bastion) -> None:
    foretold = done(ops.play("key_ensure", "--check", "--diff"))
    assert changed(foretold) == {"node1": 1, "node2": 1}
    assert [readers.keys(node) for node in fleet] == [[], []]
    assert changed(done(ops.play("key_ensure"))) == {"node1": 1, "node2": 1}
    assert changed(done(ops.play("key_ensure"))) == NOTHING
    assert [len(readers.keys(node)) for node in fleet] == [1, 1]

    wanted = [readers.mark(node, "backed-up") for node in fleet]
    assert changed(done(ops.play("backup", "--check", "--diff"))) == {"node1": 1, "node2": 1}
    assert [readers.backups(node) for node in fleet] == [[], []]
    made = done(ops.play("backup"))
    assert changed(made) == {"node1": 1, "node2": 1}
    assert changed(done(ops.play("backup"))) == NOTHING
    for node, marks in zip(fleet, wanted):
        (backup,) = readers.backups(node)
        assert f"{node.name}: {backup}" in made.output
        assert readers.opened(node, backup).marks == marks
        # All of it belongs to the station's user, and is nobody else's to look at.
        secret = f"{readers.BACKUPS} {readers.KEYS}"
        assert node.sh(f"find {secret} ! -user {station.USER} -o ! -group {station.USER} -o -perm /077") == ""
        assert node.sh(f"find {readers.ROOT} ! -user {station.USER}") == ""


def test_backups_of_stations_on_air_are_sound_and_a_damaged_one_is_found(fleet: Fleet, ops: Bastion) -> None:
    done(ops.play("backup", *FORCE))
    for node in fleet:
        readers.opened(node, readers.backups(node)[-1])
    proved = done(ops.play("verify", *ALL))
    assert changed(proved) == NOTHING
    newest = readers.backups(fleet[1])[-1]
    assert re.search(rf"node2: .*{newest}\b.* read back well", proved.output)

    victim = f"{readers.BACKUPS}/{newest}/backup.tar.zst.age"
    fleet[1].sh(f"truncate -s -7 {victim}")
    found = ops.play("verify", *ALL)
    assert (found.code, failed(found)) == (2, {"node1": 0, "node2": 1})
    assert newest in found.output
    fleet[1].sh(f"rm -r {readers.BACKUPS}/{newest}")


# The scenario default restores on both.
@pytest.mark.parametrize("release", [pytest.param(12, marks=pytest.mark.thorough), 13])
def test_a_restore_under_the_running_station_is_seen_by_it_and_it_goes_on(
    fleet: Fleet, ops: Bastion, release: int
) -> None:
    (node,) = fleet.of_release(release)
    wanted = readers.mark(node, "wanted")
    readers.card_mark(node, "wanted")
    done(ops.play("backup", "--limit", node.name))
    backup = readers.backups(node)[-1]
    lost = readers.mark(node, "unwanted")
    readers.card_mark(node, "unwanted")
    pid = readers.main_pid(node)

    options = ("--limit", node.name, "-e", f"vvtv_backup_id={backup}")
    if release == 13:
        shown = done(ops.play("restore", *options, "--check"))
        assert "+# mark wanted" in shown.output
        assert readers.marks(node) == lost

    run = done(ops.play("restore", *options))
    assert readers.marks(node) == wanted
    assert readers.card_marks(node) == "wanted"
    # It counts on from what was restored, so its open connection sees that.
    readers.assert_goes_on(node, pid)
    kept = readers.backups(node)[-1]
    assert f"backed up the present state as {kept}" in run.output
    assert readers.opened(node, kept).marks == lost
    assert readers.litter(node) == []


def test_a_rotation_rewraps_every_backup_and_a_prune_takes_the_old_keys(fleet: Fleet, ops: Bastion) -> None:
    for node in fleet:
        readers.forget_backups(node)
    done(ops.play("backup"))
    before = {node.name: readers.keys(node) for node in fleet}
    rotated = done(ops.play("key_rotate"))
    assert "all 2 hosts are rotated" in rotated.output
    for node in fleet:
        *old, new = readers.keys(node)
        assert old == before[node.name]
        earlier, fresh = readers.backups(node)
        assert [readers.openers(node, backup) for backup in (earlier, fresh)] == [[new], [new]]
    again = re.search(r"vvtv_key_not_before=(\S+Z)", rotated.output)
    assert again
    assert changed(done(ops.play("key_rotate", "-e", again[0]))) == NOTHING

    pruned = done(ops.play("key_prune", "-e", "vvtv_key_retention_days=0"))
    assert changed(pruned) == {"node1": 1, "node2": 1}
    for node in fleet:
        assert readers.keys(node) == readers.keys(node)[-1:]
        readers.opened(node, readers.backups(node)[0])


def test_health_is_good_and_then_names_the_one_sick_host_and_why(fleet: Fleet, ops: Bastion) -> None:
    for node in fleet:
        readers.wait_lease(node)
    well = done(ops.play("health"))
    assert len(re.findall(r"^  node[12] +ok +RUNNING +1[12]\d ", well.output, re.MULTILINE)) == 2
    readers.faults(fleet[0], "buffer=5")
    sick = ops.play("health")
    assert (sick.code, failed(sick)) == (2, {"node1": 1, "node2": 0})
    assert "buffer is 5 min, below 20 (state.db and /metrics: 5 min)" in sick.output
    readers.faults(fleet[0], "buffer=120")
    fleet[1].station_stop()
    gone = ops.play("health")
    assert failed(gone) == {"node1": 0, "node2": 1}
    assert re.search(r"^  node2 +critical +CONTROL_API_UNREACHABLE", gone.output, re.MULTILINE)
    fleet[1].station_start()
    readers.faults(fleet[0])


def test_samples_taken_by_hand_become_the_availability_of_each_host(fleet: Fleet, ops: Bastion) -> None:
    for node in fleet:
        readers.wait_lease(node)
    arguments = f"root={readers.ROOT} api_url={station.API} interval=60"
    for good in (True, False):
        assert done(ops.module("vvtv", "slo_sample", arguments)).output.count("CHANGED") == 2
        if good:
            met = done(ops.play("slo", "-e", "vvtv_slo_enforce=true"))
            assert len(re.findall(r"^  node[12] +1h +met +1 ", met.output, re.MULTILINE)) == 2
            fleet[1].station_stop()
    missed = ops.play("slo", "-e", "vvtv_slo_enforce=true")
    fleet[1].station_start()
    assert (missed.code, failed(missed)) == (2, {"node1": 0, "node2": 1})
    for node, expected in zip(fleet, ([True, True], [True, False])):
        (store,) = node.sh(f"find {readers.ROOT}/runtime/slo -name '2*.jsonl' -user vvtv -perm 600").split()
        lines = node.sh(f"cat {store}").splitlines()
        assert [json.loads(line)["available"] for line in lines] == expected


def test_audit_counts_what_failed_on_each_host(fleet: Fleet, ops: Bastion) -> None:
    readers.faults(fleet[0], "failing_domain=2@films.example.com")
    like = "SELECT count(*) FROM audit_events WHERE payload_json LIKE '%:films.example.com%'"
    until(lambda: readers.sql(fleet[0], like) == "2", "the station writes it down")
    run = done(ops.play("audit"))
    assert re.search(r'^  node1 +ok +2 +0 .*"films.example.com": 2', run.output, re.MULTILINE)
    assert re.search(r"^  node2 +ok +0 +0 ", run.output, re.MULTILINE)
    readers.faults(fleet[0])


def test_emergency_mode_is_brought_about_and_then_nothing_is_to_do(fleet: Fleet, ops: Bastion) -> None:
    def states() -> list[str]:
        return [readers.emergency(node) for node in fleet]

    assert changed(done(ops.play("emergency_on", "--check"))) == {"node1": 1, "node2": 1}
    assert states() == ["off", "off"]
    assert changed(done(ops.play("emergency_on"))) == {"node1": 1, "node2": 1}
    assert states() == ["on", "on"]
    assert changed(done(ops.play("emergency_on"))) == NOTHING
    done(ops.play("emergency_off", "--limit", "node2"))
    assert states() == ["on", "off"]
    fleet[0].ssh("sudo -n systemctl restart vvtv-station")
    station.wait_answers(fleet[0])
    assert states() == ["off", "off"]


def test_a_good_card_is_in_force_everywhere_and_a_bad_one_nowhere(
    fleet: Fleet, ops: Bastion, tmp_path: Path
) -> None:
    def in_force() -> list[str]:
        return [readers.told(node)["owner_card_sha256"] for node in fleet]

    def in_place() -> list[str]:
        return [readers.sha256(node, readers.CARD) for node in fleet]

    card = tmp_path / "card.yaml"
    text = fleet[0].sh(f"cat {readers.CARD}")
    card.write_text(re.sub(r"buffer_target_minutes: \d+", "buffer_target_minutes: 75", text) + "\n")
    options = ("-e", f"vvtv_card={card}", "-e", "vvtv_card_watch_seconds=1")
    shown = done(ops.play("reload_owner_card", *options, "--check", "--diff"))
    assert "+  buffer_target_minutes: 75" in shown.output
    done(ops.play("reload_owner_card", *options))
    wanted = in_place()
    assert wanted[0] == wanted[1]
    until(lambda: in_force() == wanted, "the stations obey the new card")
    assert "buffer_target_minutes: 75" in fleet[1].sh(f"cat {readers.CARD}")

    card.write_text(card.read_text().replace("buffer_target_minutes: 75", "buffer_target_minutes: soon"))
    refused = ops.play("reload_owner_card", *options)
    assert refused.code == 2
    assert "nothing was changed" in refused.output
    assert (in_place(), in_force()) == (wanted, wanted)


def test_the_stations_user_is_enough(fleet: Fleet, pythons: Path) -> None:
    with bastion(fleet, fleet.inventory_vvtv, pythons) as ops:
        wanted = [readers.mark(node, "by-the-user") for node in fleet]
        for name in ("backup", "slo", "audit"):
            done(ops.play(name))
        for node in fleet:
            readers.mark(node, "lost")
        options = ("-e", "vvtv_backup_id=latest", "-e", "vvtv_restore_many=true")
        done(ops.play("restore", *options))
        assert [readers.marks(node) for node in fleet] == wanted


def test_python_3_9_and_3_13_are_what_modules_run_on(fleet: Fleet, ops: Bastion) -> None:
    older, newer = fleet
    if older.python39 is not None:
        assert older.ssh(f"{older.python39} --version").stdout.startswith("Python 3.9.")
    assert newer.ssh("python3 --version").stdout.startswith("Python 3.13.")
    # The lent Python has no zstandard, and Debian's have.
    done(ops.play("backup", *FORCE))
    for node, kind in ((older, "gz" if older.python39 else "zst"), (newer, "zst")):
        held = node.sh(f"ls {readers.BACKUPS}/{readers.backups(node)[-1]}/").split()
        assert f"backup.tar.{kind}.age" in held


@pytest.mark.thorough
def test_an_old_bastion_goes_on_where_a_new_one_stopped(fleet: Fleet, ops: Bastion, pythons: Path) -> None:
    """The oldest ansible-core and the newest, one after the other."""
    wanted = [readers.mark(node, "by-the-new") for node in fleet]
    done(ops.play("backup"))
    made = [readers.backups(node)[-1] for node in fleet]
    for node in fleet:
        readers.mark(node, "later")
    with bastion(fleet, fleet.inventory, pythons, core="oldest") as old:
        done(old.play("key_rotate"))
        done(old.play("verify", *ALL))
        for node, backup in zip(fleet, made):
            options = ("--limit", node.name, "-e", f"vvtv_backup_id={backup}")
            done(old.play("restore", *options))
    assert [readers.marks(node) for node in fleet] == wanted
    for node, backup in zip(fleet, made):
        assert readers.openers(node, backup) == readers.keys(node)[-1:]


def test_all_of_it_came_as_a_user_with_sudo_and_no_secret_stays_behind(fleet: Fleet, ops: Bastion) -> None:
    done(ops.play("backup", *FORCE, "-vvv"))
    done(ops.play("emergency_off", "-vvv"))
    for node in fleet:
        journal = node.sh("journalctl --no-pager --output cat")
        assert set(re.findall(r"^Accepted \S+ for (\S+)", journal, re.MULTILINE)) == {"ops"}
        assert "ansible-vvtv.runbook.emergency_mode" in node.sh("journalctl --no-pager")
        _assert_silent(fleet, node, journal)
    _assert_silent(fleet, fleet[0], ops.log.read_text())


def _assert_silent(fleet: Fleet, node: Node, said: str) -> None:
    """Neither the station's secrets nor a key are told, and Ansible has left no file."""
    for secret in (fleet.token, fleet.secret, "AGE-SECRET-KEY-1"):
        assert secret not in said
    assert node.sh("find /root/.ansible /home/ops/.ansible /tmp -name '*ansible*' 2>/dev/null || true") == ""
