# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching nodes off and on, freezing them."""

from __future__ import annotations

import pytest

from tests.fleet import station
from tests.fleet.host import FleetError
from tests.fleet.node import Node

pytestmark = [pytest.mark.usefixtures("healed"), pytest.mark.thorough]


def test_a_killed_node_is_gone_until_it_is_started(node: Node) -> None:
    node.ssh("sudo -u vvtv sh -c 'echo kept >/srv/vvtv/kept'")
    node.kill()
    assert node.faults() == ["exited"]
    assert not node.answers()
    with pytest.raises(FleetError, match="refused"):
        node.ssh("true")
    node.start()
    assert node.ssh("sudo cat /srv/vvtv/kept").stdout == "kept\n"
    station.wait_answers(node)


def test_a_power_cut_loses_what_was_not_synced(node: Node) -> None:
    node.sh("cd /srv/vvtv; echo here >synced; sync synced; sync .; echo here >lost; cat lost")
    node.power_cut()
    node.start()
    assert node.sh("cat /srv/vvtv/synced") == "here"
    assert node.sh("cat /srv/vvtv/lost 2>/dev/null || true") == ""
    station.wait_answers(node)


def test_a_reboot_comes_back_by_itself(node: Node) -> None:
    began = node.sh("stat -c %Y /proc/1")
    node.sh("touch /run/gone /srv/kept")
    before = node.inspect()["StartedAt"]
    node.reboot()
    assert node.inspect()["StartedAt"] != before
    assert node.sh("stat -c %Y /proc/1") >= began
    assert node.sh("ls /run/gone /srv/kept 2>/dev/null || true") == "/srv/kept"
    station.wait_answers(node)
    # The journal is kept. Its boots cannot be told apart: the kernel has booted once.
    assert "Stopped vvtv-station" in node.sh("journalctl --no-pager --unit vvtv-station --unit init.scope")


def test_a_paused_node_answers_nobody_and_goes_on_afterwards(one: Node) -> None:
    one.sh("systemd-run --quiet --collect sleep 1; date +%s%N >/run/before")
    one.pause()
    assert one.faults() == ["paused"]
    # The kernel still takes the call; nobody greets.
    assert not one.answers(timeout=1)
    one.unpause()
    assert one.ssh("cat /run/before").returncode == 0
    assert one.faults() == []


def test_healing_switches_on_and_unpauses(one: Node) -> None:
    with one.broken(one.pause):
        assert one.state == "paused"
    assert one.answers()
    with one.broken(one.kill):
        assert one.state == "exited"
    assert one.ssh("true").returncode == 0
    station.wait_answers(one)
