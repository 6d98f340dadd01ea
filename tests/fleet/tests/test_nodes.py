# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is, before anything is broken."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fleet import inventory, python39, recipe, station
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetError, run
from tests.fleet.layout import CHECKOUT
from tests.fleet.node import Node

STRICT = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes")
ENVIRONMENTS = {"newest": CHECKOUT / ".venv", "oldest": CHECKOUT / "build" / "venv-oldest"}


def test_a_node_is_the_debian_it_says_and_its_station_runs_as_its_user(node: Node) -> None:
    assert f'VERSION_ID="{node.release}"' in node.ssh("cat /etc/os-release").stdout
    assert node.ssh("python3 --version").stdout.startswith(f"Python {recipe.RELEASES[node.release][1]}.")
    assert node.ssh("systemctl is-system-running").stdout.strip() == "running"
    assert node.ssh("ps -o user= -C python3").stdout.split() == ["vvtv"]
    status = node.ssh(f"curl -sf {station.API}/v1/status").stdout
    assert '"state": "RUNNING"' in status or '"state":"RUNNING"' in status
    assert node.ssh("curl -sf http://127.0.0.1:7070/metrics").stdout.count("vvtv_") >= 7


def test_ssh_takes_the_key_of_one_user_and_nothing_else(one: Node, tmp_path: Path) -> None:
    assert one.ssh("id -un; sudo -n id -un; sudo -n -u vvtv id -un").stdout.split() == ["ops", "root", "vvtv"]
    assert one.ssh("cat /etc/fleet/station.env", check=False).returncode == 1
    other = tmp_path / "other"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other))
    for user, key in (("ops", other), ("root", one.where.key), ("vvtv", one.where.key)):
        command = ["ssh", "-F", "none", "-p", str(one.port), "-l", user, "-i", str(key), *STRICT]
        command += ["-o", f"UserKnownHostsFile={one.where.known_hosts}", "127.0.0.1", "true"]
        refused = run(*command, check=False)
        assert refused.returncode == 255
        assert "Permission denied (publickey)" in refused.stderr


def test_another_machine_on_a_nodes_port_is_refused(fleet: Fleet) -> None:
    command = fleet[0].ssh_command("true")
    crossed = ["-p", str(fleet[1].port), "-o", f"HostKeyAlias=[127.0.0.1]:{fleet[0].port}"]
    refused = run(command[0], *crossed, *command[1:], check=False)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_a_node_reaches_its_neighbour_and_nobody_outside(fleet: Fleet) -> None:
    neighbour = fleet[1].facts.address
    assert fleet[0].ssh(f"timeout 3 bash -c 'head -c 4 </dev/tcp/{neighbour}/22'").stdout == "SSH-"
    outside = fleet[0].ssh("ip route get 192.0.2.1", check=False)
    assert outside.returncode != 0
    assert "unreachable" in outside.stderr


@pytest.mark.parametrize(
    ("properties", "command", "said"),
    [
        ("ProtectSystem=strict", "touch /srv/vvtv/x", "Read-only file system"),
        ("ProtectSystem=strict ReadWritePaths=/srv/vvtv", "touch /srv/vvtv/x", ""),
        ("PrivateNetwork=yes", "curl -sS http://127.0.0.1:7070/v1/status", "connect"),
        ("NoNewPrivileges=yes User=ops", "sudo -n true", "no new privileges"),
        ("InaccessiblePaths=/srv/vvtv", "ls /srv/vvtv/config", "cannot access"),
        ("SystemCallFilter=~@clock SystemCallErrorNumber=EPERM", "date --set=now", "not permitted"),
    ],
)
def test_systemd_makes_the_sandboxes_it_is_asked_for(
    node: Node, properties: str, command: str, said: str
) -> None:
    options = [part for value in properties.split() for part in ("-p", value)]
    done = node.exec(
        "systemd-run", "--quiet", "--collect", "--wait", "--pipe", *options, *command.split(), check=False
    )
    assert (done.returncode == 0) == (said == ""), done
    assert said.lower() in (done.stderr + done.stdout).lower()


def test_systemd_can_be_executed_anew_under_the_station(node: Node) -> None:
    node.ssh("sudo systemctl daemon-reexec")
    assert station.is_active(node)
    assert node.ssh("systemctl is-system-running").stdout.strip() == "running"


@pytest.mark.parametrize("core", ENVIRONMENTS)
def test_ansible_becomes_root_and_the_stations_user(fleet: Fleet, core: str) -> None:
    for path, user in ((fleet.inventory, "root"), (fleet.inventory_vvtv, "vvtv")):
        answer = _ansible(core, "-i", str(path), "vvtv", "-m", "command", "-a", "id -un")
        assert answer.count("rc=0") == len(fleet)
        assert answer.split().count(user) == len(fleet)
    groups = _ansible(core, "-i", str(fleet.inventory), "vvtv_canary:vvtv_baseline", "--list-hosts")
    assert groups.split()[-2:] == ["node1", "node2"]


def test_a_debian_12_node_lends_python_39(fleet: Fleet) -> None:
    node = fleet.of_release(12)[0]
    if not python39.available():
        assert node.python39 is None
        return
    program = "import ctypes, sqlite3, ssl, sys, cryptography, yaml; print(*sys.version_info[:2])"
    assert node.python39 is not None
    assert node.ssh(f"sudo -u vvtv {node.python39} -c '{program}'").stdout.split() == ["3", "9"]
    interpreter = f"ansible_python_interpreter={node.python39}"
    answer = _ansible("newest", "-i", str(fleet.inventory_vvtv), node.name, "-m", "ping", "-e", interpreter)
    assert "pong" in answer


def test_names_that_are_none_are_refused(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="node1, node2"):
        fleet["node9"]


def _ansible(core: str, *args: str) -> str:
    place = ENVIRONMENTS[core] / "bin"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    environment |= {
        "PATH": f"{place}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(CHECKOUT / "build/ansible-home"),
    }
    done = subprocess.run(
        [str(place / "ansible"), *args],
        capture_output=True,
        text=True,
        env=environment,
        cwd=CHECKOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_inventory_holds_no_templates(fleet: Fleet) -> None:
    assert "{{" not in fleet.inventory.read_text(encoding="utf-8")
    assert fleet.inventory.stat().st_mode & 0o777 == 0o600
    assert inventory.HOST == "127.0.0.1"
