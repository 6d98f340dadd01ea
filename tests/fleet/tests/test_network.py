# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking the network between the machine and a node."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import pytest

from tests.fleet.host import FleetError
from tests.fleet.node import Node

pytestmark = [pytest.mark.usefixtures("healed"), pytest.mark.thorough]
_QUICK = 2.0


def test_a_cut_node_is_silent_and_mending_brings_it_back(node: Node) -> None:
    node.cut()
    assert node.faults() == ["cut"]
    with pytest.raises(FleetError, match="not done after 1.5 s"):
        node.ssh("true", timeout=1.5)
    # Inside, all goes on.
    assert node.sh("curl -sf http://127.0.0.1:7070/v1/status")
    node.mend()
    assert node.ssh("true").returncode == 0


def test_an_open_connection_survives_a_short_cut(one: Node) -> None:
    with subprocess.Popen(one.ssh_command("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"before\n")
        running.stdin.flush()
        assert running.stdout.readline() == b"before\n"
        one.cut()
        running.stdin.write(b"meanwhile\n")
        running.stdin.flush()
        time.sleep(1)
        one.mend()
        assert running.stdout.readline() == b"meanwhile\n"
        running.stdin.close()
        assert running.wait(timeout=10) == 0


def test_a_refusing_node_says_so_at_once_and_resets_what_is_open(node: Node) -> None:
    command, pipe = node.ssh_command("cat"), subprocess.PIPE
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"before\n")
        running.stdout.readline()
        node.refuse()
        assert node.faults() == ["refuses"]
        with suppress(BrokenPipeError):  # an acknowledgement that came late was refused already
            running.stdin.write(b"after\n")
        assert running.wait(timeout=10) == 255
        running.stdin.close()
    began = time.monotonic()
    with pytest.raises(FleetError, match="refused"):
        node.ssh("true")
    assert time.monotonic() - began < _QUICK
    node.mend()
    assert node.ssh("true").returncode == 0


def test_a_slow_link_is_slow_in_both_directions(node: Node) -> None:
    data = "x" * 200_000
    quick = _seconds_to_and_from(node, data)
    node.slow("1mbit")
    assert node.faults() == ["slow 1Mbit"]
    there, back = _seconds_to_and_from(node, data)
    # They are 1.6 megabits; the bucket lets a little through at once.
    assert there > 1.3
    assert back > 1.3
    node.slow("100mbit")
    node.mend()
    assert node.faults() == []
    assert max(quick) < 1.3
    assert max(_seconds_to_and_from(node, data)) < 1.3


@pytest.mark.parametrize("rate", ["", "fast", "0kbit", "1kbit; reboot", "-1mbit"])
def test_a_rate_that_is_none_is_refused(one: Node, rate: str) -> None:
    with pytest.raises(FleetError, match="256kbit"):
        one.slow(rate)


def test_faults_take_each_others_place(one: Node) -> None:
    one.cut()
    one.refuse()
    assert one.faults() == ["refuses"]
    one.cut()
    one.slow("2mbit")
    assert one.faults() == ["cut", "slow 2Mbit"]
    one.mend()
    one.mend()
    assert one.faults() == []


def _seconds_to_and_from(node: Node, data: str) -> tuple[float, float]:
    began = time.monotonic()
    node.ssh("cat >/tmp/data", stdin=data)
    there = time.monotonic()
    assert len(node.ssh("cat /tmp/data").stdout) == len(data)
    return there - began, time.monotonic() - there
