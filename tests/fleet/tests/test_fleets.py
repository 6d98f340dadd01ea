# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets as a whole: virgin nodes, leftovers, machines that cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import check, host, layout, recipe
from tests.fleet import fleet as fleets
from tests.fleet.host import FleetError, run
from tests.fleet.layout import CHECKOUT

#: A run that says when its fleet is up, and waits until it is killed.
_KILLED = """
import signal
from tests.fleet import fleet
with fleet.up(1, releases=(13,), virgin=True, name="killed") as nodes:
    print("up", flush=True)
    signal.pause()
"""


@pytest.mark.thorough
def test_a_virgin_node_installs_what_it_needs_and_the_killed_ones_are_swept() -> None:
    killed = layout.layout("killed")
    with subprocess.Popen([sys.executable, "-c", _KILLED], cwd=CHECKOUT, stdout=subprocess.PIPE) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"up\n"
            # Once it is killed, whoever starts the next fleet on this machine sweeps it.
            assert _remains(killed) == (1, 1, 1)
        finally:
            owner.kill()
    with fleets.up(1, releases=(12,), virgin=True, name="virgin") as nodes:
        assert _remains(killed) == (0, 0, 0)
        assert not killed.control_path.exists()
        node = nodes[0]
        with pytest.raises(FleetError, match="in use"):
            fleets.start(1, name="virgin")
        absent = "getent passwd vvtv; ls /etc/fleet/station.env /srv/vvtv; systemctl cat vvtv-station"
        assert node.ssh(f"({absent}) 2>/dev/null", check=False).stdout == ""
        assert node.ssh("python3 -c 'import cryptography'", check=False).returncode == 1
        node.ssh(
            f"sudo -n apt-get update && sudo -n apt-get install -y {' '.join(recipe.READY)}", timeout=120
        )
        assert node.ssh("python3 -c 'import cryptography, yaml, zstandard'").returncode == 0
        # The station's binary is the operator's, and there.
        assert "--root" in node.ssh("/opt/vvtv-station/bin/vvtv-station --help").stdout
        virgin = nodes.where
    assert _remains(virgin) == (0, 0, 0)
    assert not virgin.folder.exists()
    fleets.down("virgin")


def test_a_fleet_that_is_not_up_says_so() -> None:
    with pytest.raises(FleetError, match="no fleet nowhere is up"):
        fleets.load("nowhere")
    fleets.down("nowhere")
    with pytest.raises(FleetError, match="lower-case"):
        fleets.load("../x")
    with pytest.raises(FleetError, match="12, 13"), fleets.up(1, releases=(11,), name="never"):
        pass
    with pytest.raises(FleetError, match="1 to 200"), fleets.up(0, name="never"):
        pass


def test_a_machine_that_lacks_something_is_told_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.problems() == []
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("podman", "runc") else found(name))
    (said,) = check.problems()
    assert said.endswith("apt-get install -y podman runc")
    with pytest.raises(FleetError, match="cannot run a fleet"):
        check.require()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in check.problems()[0]


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(recipe.FILES, tmp_path / "image")
    before = recipe.Image(12, virgin=True).tag
    monkeypatch.setattr(recipe, "FILES", tmp_path / "image")
    assert recipe.Image(12, virgin=True).tag == before
    with (tmp_path / "image/base/etc/apt/sources.list").open("a") as file:
        file.write("\n")
    assert recipe.Image(12, virgin=True).tag != before


def test_many_nodes_raise_the_limit_of_inotify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    monkeypatch.setattr(host, "INOTIFY", limit)
    host.raise_inotify(3)
    assert limit.read_text() == "128\n"
    host.raise_inotify(30)
    assert limit.read_text() == "8192\n"


def _remains(where: layout.Layout) -> tuple[int, int, int]:
    """Containers, volumes and networks of a fleet."""
    label = ("--quiet", "--filter", f"label={layout.LABEL}={where.folder}")
    containers = run("podman", "ps", "--all", *label).stdout.split()
    volumes = run("podman", "volume", "ls", *label).stdout.split()
    networks = run("podman", "network", "ls", *label).stdout.split()
    return len(containers), len(volumes), len(networks)


@pytest.mark.thorough
@pytest.mark.usefixtures("healed")
def test_the_command_line_breaks_and_mends(fleet: fleets.Fleet) -> None:
    def cli(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.fleet", "--fleet", fleet.name, *words]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert cli("break", "cut", "node1", "node2").returncode == 0
    status = cli("status")
    assert [line.rsplit(maxsplit=1)[-1] for line in status.stdout.splitlines()] == ["cut", "cut"]
    assert cli("break", "mend", "node1", "node2").returncode == 0
    assert cli("ssh", "node2", "echo", "a  b").stdout == "a  b\n"
    assert cli("exec", "node2", "id", "-un").stdout == "root\n"
    assert cli("station", "stop", "node2").returncode == 0
    assert "station down" in cli("status").stdout
    assert cli("station", "start", "node2").returncode == 0
    assert cli("station", "fault", "node2", "buffer=5").returncode == 0
    assert "buffer" in fleet["node2"].sh("cat /srv/vvtv/runtime/sim/control.json")
    assert cli("station", "fault", "node2").returncode == 0
    wrong = cli("break", "cut", "node9")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "no node 'node9'" in wrong.stderr
