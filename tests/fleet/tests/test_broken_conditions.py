# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong for longer than an instant: full disks, wrong clocks, two bastions at once, one that died."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import done, until

from . import readers
from .bastion import Bastion, bastion
from .breaking import FORCE, Disk, States, assert_all_good, count, on_each

pytestmark = pytest.mark.thorough

OPTIONS = (*station.OPTIONS, "--size", "16M")
MIB = 1 << 20
ROUNDS = 2
#: The simulator dies when it cannot write its notes, which no station has: they get a disk of their own.
_NOTES_APART = f"""
systemctl stop {station.UNIT}
mount -t tmpfs -o size=1m,mode=755,uid={station.USER},gid={station.USER} notes {readers.ROOT}/runtime/sim
systemctl start {station.UNIT}
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="conditions", station_options=OPTIONS) as fleet:
        on_each(fleet, lambda node: node.sh(_NOTES_APART))
        readers.prepare(fleet)
        yield fleet


@pytest.fixture
def ops(fleet: Fleet) -> Iterator[Bastion]:
    """A bastion, and nodes without backups that are whole again afterwards."""
    for node in fleet:
        readers.forget_backups(node)
    with bastion(fleet) as machine:
        yield machine
    fleet.heal()


@pytest.fixture
def second(fleet: Fleet) -> Iterator[Bastion]:
    """Another bastion."""
    with bastion(fleet) as machine:
        yield machine


# Disk


def test_a_backup_onto_a_disk_that_gets_full_fails_clearly_and_the_next_one_is_made(
    fleet: Fleet, ops: Bastion
) -> None:
    done(ops.play("backup"))
    before = [readers.backups(node) for node in fleet]
    # There is room for its beginning.
    on_each(fleet, lambda node: node.fill("/srv", MIB))
    run = ops.play("backup", *FORCE)
    assert (run.code, count(run, "failed")) == (2, [1, 1])
    assert run.output.count('"code": "disk_full"') == 2
    assert len(re.findall(rf'"path": "{readers.BACKUPS}/[.]staging-', run.output)) == 2
    assert "free some space and run again" in run.output
    for node, earlier in zip(fleet, before):
        assert readers.backups(node) == earlier
        assert readers.litter(node) == []
        assert_all_good(node)
        node.unfill()
        readers.assert_goes_on(node, readers.main_pid(node))
    done(ops.play("backup", *FORCE))
    for node in fleet:
        assert len(readers.backups(node)) == 2
        assert_all_good(node)


@pytest.mark.usefixtures("ops")
def test_a_restore_onto_a_full_disk_fails_clearly_and_works_when_there_is_room(fleet: Fleet) -> None:
    def restored(node: Node) -> None:
        with States.of(node, fleet) as state:
            state.spoil()
            pid = readers.main_pid(node)
            # Not even for the name of the lock's holder; then almost enough.
            for room in (0, _almost_enough(node, state.backup)):
                node.fill("/srv", room)
                with state.restoring() as running:
                    run = running.finish()
                assert (run.code, run.count(node.name, "failed")) == (2, 1)
                assert '"code": "disk_full"' in run.output, run.output
                assert "free some space and run again" in run.output
                node.unfill()
                state.assert_spoiled_and_whole()
                readers.assert_goes_on(node, pid)
            # The second time it came as far as keeping what it was about to replace.
            assert len(readers.backups(node)) == 2
            state.assert_finished_by_the_next()

    on_each(fleet, restored)


def _almost_enough(node: Node, backup: str) -> int:
    """Room for the unpacked database and for what is replaced, not for replacing it."""
    readers.sql(node, "PRAGMA wal_checkpoint(TRUNCATE)")
    database, archive = node.sh(
        f"stat -c %s {readers.DATABASE} {readers.BACKUPS}/{backup}/backup.tar.zst.age"
    ).split()
    return int(database) + int(archive) + 4 * MIB


# Clock


def test_a_station_with_a_wrong_clock_is_named_by_health_and_emergency_says_what_to_mend(
    fleet: Fleet, ops: Bastion
) -> None:
    (node,) = fleet.of_release(13)
    on_each(fleet, readers.wait_lease)
    node.skew(-900, units=[station.UNIT])
    station.wait_answers(node)
    sick = ops.play("health")
    assert (sick.code, count(sick, "failed")) == (2, [0, 1]), sick.output
    assert re.search(
        r"^  node2 +high +CLOCK_SKEW +the API's clock is (89|90)\d s behind", sick.output, re.MULTILINE
    )
    refused = ops.play("emergency_on", "--limit", node.name)
    assert refused.code == 2
    assert re.search(
        r"refused the call as stale: the clock here is (89|90)\d s ahead of the API's", refused.output
    )
    assert "mend the clock (timedatectl)" in refused.output
    assert readers.emergency(node) == "off"
    done(ops.play("backup", *FORCE))
    assert_all_good(node)

    node.unskew()
    station.wait_answers(node)
    readers.wait_lease(node)
    done(ops.play("emergency_on", "--limit", node.name))
    assert readers.emergency(node) == "on"
    done(ops.play("emergency_off", "--limit", node.name))


# Bastions


def test_two_bastions_that_back_up_at_once_make_two_good_backups(
    fleet: Fleet, ops: Bastion, second: Bastion
) -> None:
    with ops.playing("backup", *FORCE) as one, second.playing("backup", *FORCE) as other:
        assert count(done(one.finish()), "failed") == [0, 0]
        assert count(done(other.finish()), "failed") == [0, 0]
    for node in fleet:
        assert len(readers.backups(node)) == 2
        assert_all_good(node)
        assert readers.litter(node) == []


def test_two_bastions_that_name_the_same_instant_rotate_each_host_once(
    fleet: Fleet, ops: Bastion, second: Bastion
) -> None:
    done(ops.play("backup"))
    before = [readers.keys(node) for node in fleet]
    options = ("-e", f"vvtv_key_not_before={now()}", "-e", "vvtv_key_batch=2")
    with ops.playing("key_rotate", *options) as one, second.playing("key_rotate", *options) as other:
        for run in (one.finish(), other.finish()):
            assert "all 2 hosts are rotated" in done(run).output
    assert_rotated_once(fleet, before)


def test_emergency_mode_that_two_bastions_want_on_and_off_is_as_the_last_of_them_left_it(
    fleet: Fleet, ops: Bastion, second: Bastion
) -> None:
    for _round in range(ROUNDS):
        with ops.playing("emergency_on") as one, second.playing("emergency_off") as other:
            done(one.finish())
            done(other.finish())
        for node in fleet:
            task = "Emergency | The station is in the state"
            last_is_on = ops.ended(node.name, task) > second.ended(node.name, task)
            assert readers.emergency(node) == ("on" if last_is_on else "off")
    done(ops.play("emergency_off"))
    assert [readers.emergency(node) for node in fleet] == ["off", "off"]


def test_a_bastion_that_dies_in_the_middle_of_a_rotation_is_continued_by_another_with_its_instant(
    fleet: Fleet, ops: Bastion, second: Bastion
) -> None:
    done(ops.play("backup"))
    before = [readers.keys(node) for node in fleet]
    disks = [Disk.of(node) for node in fleet]
    with ops.playing("key_rotate", "-e", f"vvtv_key_not_before={now()}", "-e", "vvtv_key_batch=1") as running:
        until(lambda: disks[0].keys() > len(before[0]), "the first host has its new key", 60, running)
        running.kill()
    # The first host's backups are not for the new key yet, the second host has had no turn.
    assert disks[1].keys() == len(before[1])
    assert "all 2 hosts are rotated" not in ops.log.read_text()
    again = re.search(r"run it again with (-e) (vvtv_key_not_before=\S+Z)", ops.log.read_text())
    assert again
    done(second.play("key_rotate", *again.groups()))
    assert_rotated_once(fleet, before)


def now() -> str:
    return datetime.now(tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def assert_rotated_once(fleet: Fleet, before: list[list[str]]) -> None:
    """Each host has one key more, and that one alone opens every backup."""
    for node, earlier in zip(fleet, before):
        *old, new = readers.keys(node)
        assert old == earlier
        assert len(readers.backups(node)) >= 2
        for backup in readers.backups(node):
            assert readers.openers(node, backup) == [new]
        assert_all_good(node)
        assert readers.litter(node) == []
