# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that break in the middle of a playbook's work, with stations on air: power, network, service manager.

The databases are large enough that "in the middle" can be hit; every test proves that it was.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import UNREACHABLE, done, until

from . import readers
from .bastion import Bastion, bastion
from .breaking import ALL, FORCE, TRIES, Disk, States, again, assert_all_good, count, on_each

OPTIONS = (*station.OPTIONS, "--size", "48M")
#: A host that does not answer is unreachable after so many seconds at most: the keepalives of ansible.cfg.
SILENCE = 25.0
MIB = 1 << 20
#: Prints "archive" when the backup that was being made is still being made afterwards.
_REEXEC = f"""sudo -n timeout 50 sh -c '
making() {{ ls {readers.BACKUPS}/.staging-*/backup.tar.*.age >/dev/null 2>&1; }}
until making; do sleep 0.02; done
systemctl daemon-reexec
if making; then echo archive; fi
'"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="broken", station_options=OPTIONS) as fleet:
        readers.prepare(fleet)
        yield fleet


@pytest.fixture
def ops(fleet: Fleet) -> Iterator[Bastion]:
    """A bastion, and nodes without backups that are whole again afterwards."""
    for node in fleet:
        readers.forget_backups(node)
        # What the station and the tests wrote by then survives a power cut.
        node.sh("sync --file-system /srv")
    with bastion(fleet, core="oldest") as machine:
        yield machine
    fleet.heal()


@pytest.mark.thorough
def test_daemon_reexec_in_the_middle_of_a_backup_disturbs_neither_it_nor_the_station(
    fleet: Fleet, ops: Bastion
) -> None:
    pids = [readers.main_pid(node) for node in fleet]
    left = set(fleet.names)

    def attempt() -> bool:
        # Each node waits for the instant itself: a call would come too late on a busy machine.
        with ThreadPoolExecutor() as aside:
            said = {node.name: aside.submit(node.ssh, _REEXEC, timeout=60) for node in fleet}
            done(ops.play("backup", *FORCE))
            left.difference_update(name for name, call in said.items() if "archive" in call.result().stdout)
        return not left

    again(attempt, "the middle of a backup on both nodes")
    done(ops.play("backup", *FORCE))
    for node, pid in zip(fleet, pids):
        assert node.ssh("systemctl is-system-running").stdout.strip() == "running"
        assert len(readers.backups(node)) >= 2
        assert_all_good(node)
        readers.assert_goes_on(node, pid)


# Power


def test_a_node_that_goes_down_in_the_middle_of_a_backup_has_no_bad_one_and_makes_the_next(
    fleet: Fleet, ops: Bastion
) -> None:
    """One node loses its power, and what was not synced; the other is rebooted. Then the other way round."""
    done(ops.play("backup"))
    acts = dict(zip(fleet.names, ("power_cut", "reboot")))
    wanted = {(name, act) for name in fleet.names for act in acts.values()}
    left: list[str] = []

    def goes_down(node: Node) -> bool:
        disk, before = Disk.of(node), readers.backups(node)
        until(disk.staging, f"{node.name} makes a backup", 60, running)
        getattr(node, acts[node.name])()
        if node.state != "running":
            node.start()
        station.wait_answers(node)
        left.extend(readers.litter(node))
        return readers.backups(node) == before

    for _try in range(2 * TRIES):
        with ops.playing("backup", *FORCE) as running:
            hits = on_each(fleet, goes_down)
            assert running.finish().code != 0 or not any(hits)
        wanted -= {(name, acts[name]) for name, hit in zip(fleet.names, hits) if hit}
        for node in fleet:
            readers.assert_sound(node)
            readers.assert_goes_on(node, readers.main_pid(node))
        if not wanted:
            break
        acts = dict(zip(fleet.names, reversed(acts.values())))
    assert not wanted, "they were not hit in the middle of a backup"
    assert left
    before = [readers.backups(node) for node in fleet]
    done(ops.play("backup", *FORCE))
    for node, earlier in zip(fleet, before):
        assert len(readers.backups(node)) == len(earlier) + 1
        assert_all_good(node)
        assert readers.litter(node) == []
    done(ops.play("verify", *ALL))


@pytest.mark.usefixtures("ops")
def test_power_that_fails_in_the_middle_of_a_restore_leaves_one_state_or_the_other(fleet: Fleet) -> None:
    def restored(node: Node) -> None:
        with States.of(node, fleet) as state:
            again(lambda: attempt(node, state), f"the middle of a restore of {node.name}")
            state.assert_finished_by_the_next()

    def attempt(node: Node, state: States) -> bool:
        state.spoil()
        disk = Disk.of(node)
        with state.restoring() as running:
            until(lambda: disk.restoring() and disk.journal() > MIB, "it is replaced", 60, running)
            node.power_cut()
            run = running.finish()
        node.start()
        station.wait_answers(node)
        # It is on record from right before the database is replaced until all is in place.
        hit = f"{readers.ROOT}/runtime/runbook.restore.json" in readers.litter(node)
        assert run.code != 0 or not hit
        state.assert_one_or_the_other()
        return hit

    on_each(fleet, restored)


# Network


@pytest.mark.thorough
@pytest.mark.usefixtures("ops")
def test_ssh_that_is_cut_in_the_middle_of_a_restore_leaves_one_state_or_the_other(fleet: Fleet) -> None:
    def restored(node: Node) -> None:
        with States.of(node, fleet) as state:
            again(lambda: attempt(node, state), f"the middle of a restore of {node.name}")
            state.assert_finished_by_the_next()

    def attempt(node: Node, state: States) -> bool:
        state.spoil()
        disk = Disk.of(node)
        with state.restoring() as running:
            until(disk.restoring, "the restore has begun to replace", 60, running)
            node.cut()
            hit = disk.busy()
            began = time.monotonic()
            run = running.finish()
            assert time.monotonic() - began < SILENCE
        # Nobody told the module on the node; it goes on.
        until(lambda: not disk.busy(), "the restore is over on the node", 60)
        state.assert_one_or_the_other()
        node.mend()
        if hit:
            assert (run.code, run.count(node.name, "unreachable")) == (UNREACHABLE, 1)
            assert "UNREACHABLE!" in run.output
        return hit

    on_each(fleet, restored)


@pytest.mark.thorough
def test_a_host_that_freezes_is_unreachable_in_time_and_the_other_one_is_served(
    fleet: Fleet, ops: Bastion
) -> None:
    frozen, other = fleet
    disk = Disk.of(frozen)
    readers.wait_lease(other)

    def attempt() -> bool:
        with ops.playing("backup", *FORCE) as running, bastion(fleet) as second:
            until(disk.staging, "it makes a backup", 60, running)
            frozen.pause()
            hit = disk.staging()
            began = time.monotonic()
            # Somebody else calls the frozen host only now.
            with second.playing("health") as asking:
                run, asked = running.finish(), asking.finish()
            assert time.monotonic() - began < SILENCE
            assert (run.code, count(run, "unreachable")) == (UNREACHABLE, [1, 0])
            assert (asked.code, count(asked, "failed")) == (2, [1, 0]), asked.output
            assert re.search(r"^  node1 +unreachable ", asked.output, re.MULTILINE)
            assert re.search(r"^  node2 +ok ", asked.output, re.MULTILINE)
            frozen.unpause()
            until(lambda: not disk.busy(), "the backup is over on the node", 60)
        return hit

    again(attempt, "the middle of a backup")
    assert_all_good(frozen)
    assert len(readers.backups(other)) >= 1
    done(ops.play("backup", *FORCE))
    for node in fleet:
        assert_all_good(node)
        assert readers.litter(node) == []
        readers.assert_goes_on(node, readers.main_pid(node))
