# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of simulated nodes to roll releases out to, and a controller that can be killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.integration.controllers import Controller
from tests.integration.helpers import USUAL_PYTHON, sqlite3
from tests.integration.rollout_records import FORMER, ROLLOUT, SHORT, Kept, Store, fingerprint
from tests.simulator import fleet, releases
from tests.simulator.control import wait_for
from tests.simulator.faults import FaultValue
from tests.simulator.release import Release


class Ground(Controller):
    """The nodes by name, a controller with an inventory of them, and readers that are not our code."""

    def __init__(self, home: Path, nodes: dict[str, fleet.Node], groups: dict[str, Sequence[str]]) -> None:
        self.nodes = nodes
        self.inventory = home / "hosts.json"
        self.record_dir = home / "records"
        super().__init__(home, [self.inventory])
        hosts = {
            name: {
                "vvtv_root": str(node.root),
                "vvtv_api_url": node.url,
                "vvtv_restart_command": fleet.restart_command(node.root),
            }
            for name, node in nodes.items()
        }
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": USUAL_PYTHON,
            "vvtv_env": "dev",
            "vvtv_control_token": "dev-token",
            "vvtv_control_secret": "dev-secret",
            "vvtv_record_dir": str(self.record_dir),
            **SHORT,
        }
        children = {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items()}
        self._write({"vvtv": {"hosts": hosts, "vars": shared, "children": children}})

    # The controller

    def change(self, host: str | None = None, **wanted: Any) -> None:
        """Set variables of the inventory, for all hosts or for one."""
        inventory = json.loads(self.inventory.read_text())
        (inventory["vvtv"]["hosts"][host] if host else inventory["vvtv"]["vars"]).update(wanted)
        self._write(inventory)

    def lose(self, host: str) -> None:
        """Let a host be one that cannot be reached, in every run that begins now."""
        self.change(host, ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)

    def find(self, host: str) -> None:
        """Let a lost host be reachable again."""
        inventory = json.loads(self.inventory.read_text())
        for name in ("ansible_connection", "ansible_host", "ansible_port"):
            inventory["vvtv"]["hosts"][host].pop(name, None)
        self._write(inventory)

    def release(self, release: Release) -> Path:
        """Make the archive of a release on the controller; it is named by its version."""
        return releases.make(self.home / "releases" / f"{release.version}.tar.gz", release)

    def store(self, rollout: str = ROLLOUT) -> Store:
        return Store(self.record_dir, rollout)

    def _write(self, inventory: dict[str, Any]) -> None:
        self.inventory.write_text(json.dumps(inventory, indent=1))

    def choose_canaries(self, *hosts: str) -> None:
        """Let these be the canaries of every rollout that begins now."""
        inventory = json.loads(self.inventory.read_text())
        inventory["vvtv"]["children"]["vvtv_canary"] = {"hosts": dict.fromkeys(hosts)}
        self._write(inventory)

    # The nodes

    @property
    def hosts(self) -> list[str]:
        return list(self.nodes)

    def fault(self, host: str, **wanted: FaultValue) -> None:
        """Set exactly these faults of a station; none makes it healthy."""
        self.nodes[host].faults(**wanted)

    def pid(self, host: str) -> int | None:
        """The process of a station."""
        return self.nodes[host].pid

    def kept(self, host: str, rollout: str = ROLLOUT) -> Kept:
        """What a node keeps of a rollout."""
        return Kept(self.nodes[host].root, rollout)

    def running(self) -> dict[str, str]:
        """The release that each station says it runs; a dead one says what it ran."""
        return {name: node.state.release for name, node in self.nodes.items()}

    def links(self) -> dict[str, str | None]:
        """Where each node's link to the release in force leads."""
        return {name: self.kept(name).link for name in self.nodes}

    def plans(self, host: str) -> int:
        """How much a station has in its database."""
        return int(sqlite3(self.nodes[host].state_db, "SELECT count(*) FROM plans"))

    def untouched(self, *hosts: str, but: Sequence[str] = ()) -> dict[str, str]:
        """All that a rollout could touch on these nodes, and the stations' processes; see ``fingerprint``."""
        return {
            host: f"pid {self.nodes[host].pid}\n{fingerprint(self.nodes[host].root, but)}" for host in hosts
        }


def install_by_hand(root: Path, release: Release) -> None:
    """What an operator without this collection does: unpack a release, let ``current`` lead to it."""
    folder = root / "releases" / release.version
    folder.mkdir(parents=True)
    archive = releases.make(root / "release.tar.gz", release)
    subprocess.run(["tar", "xzf", archive, "-C", folder], check=True)
    archive.unlink()
    (root / "current").symlink_to(f"releases/{release.version}")


@contextmanager
def ground(
    home: Path,
    count: int = 4,
    *,
    canaries: Sequence[str] = ("node01",),
    baselines: Sequence[str] = ("node02",),
    former: str | None = FORMER,
    journal_modes: Sequence[str] = ("delete", "wal"),
) -> Iterator[Ground]:
    """``count`` nodes on air, node01 and so on, which run the release ``former`` (``None``: no release).

    They have small databases, commit four times a second and take a sample once a second.
    """
    names = [f"node{number:02}" for number in range(1, count + 1)]
    with ExitStack() as running:

        def start(name: str) -> fleet.Node:
            root = home / "nodes" / name
            if former is not None:
                install_by_hand(root, Release(former))
            return fleet.start_node(
                root,
                size="256K",
                journal_mode=journal_modes[names.index(name) % len(journal_modes)],
                commit_interval=0.25,
                sample_every=4,
                lease_seconds=4,
                renew_seconds=1,
            )

        with ThreadPoolExecutor(4) as pool:
            starting = {name: pool.submit(start, name) for name in names}
        nodes = {name: running.enter_context(one.result()) for name, one in starting.items()}
        for node in nodes.values():
            wait_for(node.root, lambda state: state.samples >= 1)
        yield Ground(home, nodes, {"vvtv_canary": canaries, "vvtv_baseline": baselines})
