# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ground that rollouts are tested on proves what the tests of rollouts rely on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from tests.integration.controllers import done, until
from tests.integration.helpers import sha256sum
from tests.integration.rollout_records import CALM_SOAK, FORMER, TWENTY_SECONDS
from tests.simulator import fleet
from tests.simulator.control import wait_for

from .rollout_ground import ground


@pytest.mark.thorough
def test_twenty_nodes_get_an_owner_card_in_waves(tmp_path: Path) -> None:
    with ground(tmp_path, 20) as field:
        assert set(field.running().values()) == {FORMER}
        assert set(field.links().values()) == {f"releases/{FORMER}"}
        done(field.play("health"))
        card = tmp_path / "card.yaml"
        former = field.nodes["node01"].owner_card.read_text()
        card.write_text(former.replace("buffer_target_minutes: 120", "buffer_target_minutes: 121"))
        wanted = {"vvtv_card": card, "vvtv_canary_auto_promote": True, **CALM_SOAK}
        with field.playing("rollout", **wanted) as running:
            done(running.finish(TWENTY_SECONDS))
        assert {sha256sum(node.owner_card) for node in field.nodes.values()} == {sha256sum(card)}
        assert [len(wave) for wave in field.store().plan["waves"]] == [1, 3, 15]
        assert field.store().last() == dict.fromkeys(field.nodes, "PROMOTED")
        batches = [field.store().plan["canaries"], *field.store().plan["waves"]]
        begun = [[field.store().began(host) for host in batch] for batch in batches]
        assert all(max(one) < min(later) for one, later in zip(begun, begun[1:]))


def test_the_restart_command_works_from_a_play(tmp_path: Path) -> None:
    with ground(tmp_path, 2) as field:
        before = {name: node.pid for name, node in field.nodes.items()}
        book = tmp_path / "book.yml"
        task = {"ansible.builtin.command": {"argv": "{{ vvtv_restart_command }}", "chdir": "/"}}
        book.write_text(json.dumps([{"hosts": "vvtv", "gather_facts": False, "tasks": [task]}]))
        answer = subprocess.run(
            ["ansible-playbook", "-i", field.inventory, book], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout
        for name, node in field.nodes.items():
            state = wait_for(node.root, lambda state: state.ready)
            assert (state.port, state.release) == (node.port, FORMER)
            assert state.pid == node.pid != before[name]


def add_a_byte(node: fleet.Node) -> None:
    with node.owner_card.open("a") as card:
        card.write("\n")


def lead_elsewhere(node: fleet.Node) -> None:
    (node.root / "current").unlink()
    (node.root / "current").symlink_to("releases")


CHANGES: dict[str, Callable[[fleet.Node], object]] = {
    "a byte": add_a_byte,
    "a mode": lambda node: (node.root / "config").chmod(0o700),
    "a time": lambda node: os.utime(node.root / "releases/1.0.0/VERSION", (1, 1)),
    "a new file": lambda node: (node.root / "runtime/runbook.lock").touch(),
    "a restart": lambda node: fleet.restart_node(node.root).detach(),
    "the link": lead_elsewhere,
}


def test_whatever_is_changed_on_a_node_is_seen(tmp_path: Path) -> None:
    with ground(tmp_path, 2) as field:
        node = field.nodes["node01"]
        before = field.untouched(*field.nodes)
        node.wait_commits(4)
        assert field.untouched(*field.nodes) == before
        for what, change in CHANGES.items():
            change(node)
            after = field.untouched(*field.nodes)
            assert after["node01"] != before["node01"], what
            assert after["node02"] == before["node02"], what
            before = after


def test_a_killed_controller_leaves_no_worker(tmp_path: Path) -> None:
    with ground(tmp_path, 2) as field:
        field.nodes["node01"].faults(hang=30)
        with field.playing("health", vvtv_api_timeout=4) as running:
            mine = str(field.inventory)
            until(lambda: "TASK" in running.output, "the first task begins")
            running.kill()
            listing = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True)
            assert mine not in listing.stdout
            assert running.finish().code == -9
