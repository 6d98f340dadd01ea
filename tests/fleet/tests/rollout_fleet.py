# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a fleet to roll releases out to over SSH, with guards, and a controller that can be killed."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fleet import station
from tests.fleet.fleet import Fleet
from tests.fleet.host import run
from tests.fleet.node import Node
from tests.integration import controllers
from tests.integration.controllers import FAILED, UNREACHABLE, Controller, done, until
from tests.integration.helpers import Play
from tests.integration.rollout_records import FORMER, ROLLOUT, SHORT, WATCHED, Kept, Store, fingerprint
from tests.simulator.faults import FaultValue
from tests.simulator.release import Release

from .bastion import CORES

#: Variables by which a host that answers no more is found out within some six seconds.
LOST_SOON: dict[str, Any] = {
    "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s"
    " -o ServerAliveInterval=2 -o ServerAliveCountMax=2",
    "ansible_ssh_timeout": 5,
}
#: Units, what they start, and what else lies outside the node's root and would tell of a rollout.
_OUTSIDE = """
systemctl show --property MainPID,ActiveEnterTimestampMonotonic,NRestarts vvtv-station.service
find /etc/systemd /usr/local /etc/vvtv-runbook* -type f -exec sha256sum {} + | sort
find /etc/systemd /usr/local -type l -printf '%p %l\\n' | sort
systemctl list-units --all --plain --no-legend 'vvtv-*' 'run-*.service' | awk '{print $1, $3}' | sort
"""


class RolloutFleet(Controller):
    """A fleet whose canary is node1, a controller for it, and readers that are not our code."""

    def __init__(self, fleet: Fleet, home: Path, **given: Any) -> None:
        """``home`` is a folder with a short path; ``given`` are extra variables of every run."""
        self.fleet = fleet
        self.record_dir = home / "records"
        self._connections = home / "cp"
        self._more = home / "more.json"
        self._shared = {
            "vvtv_restart_units": [station.UNIT],
            "vvtv_record_dir": str(self.record_dir),
            "vvtv_control_env_file": "/etc/vvtv-runbook.env",
            **SHORT,
        }
        self.choose_canaries()
        # Ansible takes the inventory's place for connections before that of its settings.
        super().__init__(
            home, [fleet.inventory, self._more], ansible_control_path_dir=str(self._connections), **given
        )

    @property
    def hosts(self) -> list[str]:
        return self.fleet.names

    def choose_canaries(self, *hosts: str) -> None:
        """Let these be canaries of every rollout that begins now, beside the one of the fleet's inventory."""
        canaries = {"hosts": dict.fromkeys(hosts)}
        self._more.write_text(json.dumps({"vvtv": {"vars": self._shared}, "vvtv_canary": canaries}))

    def fault(self, host: str, **wanted: FaultValue) -> None:
        """Set exactly these faults of a station; none makes it healthy."""
        self.fleet[host].station_fault(*(f"{name}={value}" for name, value in wanted.items()))

    def pid(self, host: str) -> int | None:
        """The process of a station, by systemd's word."""
        said: str = self.fleet[host].sh(f"systemctl show --property MainPID --value {station.UNIT}")
        return int(said) or None

    def hang_up(self) -> None:
        """End the shared connections."""
        for socket in self._connections.glob("*"):
            run("ssh", "-O", "exit", "-o", f"ControlPath={socket}", "anybody", check=False)

    def release(self, release: Release) -> Path:
        """Make the archive of a release on the controller; it is named by its version."""
        return station.put_release(self.fleet.where, release)

    def store(self, rollout: str = ROLLOUT) -> Store:
        return Store(self.record_dir, rollout)

    def kept(self, host: str, rollout: str = ROLLOUT) -> Kept:
        """What a node keeps of a rollout, by its disk, so that nobody has to ask the node."""
        return Kept(self.fleet[host].disk / "vvtv", rollout)

    def running(self) -> dict[str, str]:
        """The release that each station says it runs; a dead one says what it ran."""
        return {node.name: self.kept(node.name).says.get("release", "") for node in self.fleet}

    def links(self) -> dict[str, str | None]:
        """Where each node's link to the release in force leads."""
        return {node.name: self.kept(node.name).link for node in self.fleet}

    def guard(self, host: str, rollout: str = ROLLOUT) -> dict[str, str]:
        """What systemd says of the timer of a node's guard; its LoadState is ``not-found`` without one."""
        names = "LoadState,ActiveState,NextElapseUSecRealtime"
        timer = f"vvtv-rollback-{rollout}.timer"
        said = self.fleet[host].sh(f"systemctl show --property {names} '{timer}'")
        return dict(line.split("=", 1) for line in said.splitlines())

    def is_guarded(self, host: str, rollout: str = ROLLOUT) -> bool:
        """Is the guard armed? It is when the backup is made, and before anything else is changed."""
        return self.guard(host, rollout)["ActiveState"] == "active"

    def untouched(self, *hosts: str, but: Sequence[str] = ()) -> dict[str, str]:
        """All that a rollout could touch on these nodes: below the root, units, the station's process."""
        return {
            host: self.fleet[host].sh(_OUTSIDE) + fingerprint(self.fleet[host].disk / "vvtv", but)
            for host in hosts
        }

    def rest(self) -> dict[str, str]:
        """The same of all nodes but the canary, once node2, the baseline host, is watched no more."""
        samplers = "systemctl list-units --plain --no-legend 'vvtv-soak-*'"
        until(lambda: not self.fleet["node2"].sh(samplers).strip(), "node2 is watched no more")
        others = [node.name for node in self.fleet if node.name not in ("node1", "node2")]
        return {**self.untouched("node2", but=WATCHED), **self.untouched(*others)}


def refused(run: Play, *words: str) -> Play:
    """A run that did not end well, or lost a host, and says why."""
    return controllers.refused(run, *words, codes=(FAILED, UNREACHABLE))


@contextlib.contextmanager
def one_rollout(field: RolloutFleet, rollout: str) -> Iterator[str]:
    """An id of a test's own; what it left undone is rolled back, so that the next one finds all well."""
    field.given["vvtv_rollout_id"] = rollout
    try:
        yield rollout
    finally:
        field.fleet.heal()
        field.choose_canaries()
        for host in field.hosts:
            field.fault(host)
        if set(field.store(rollout).last().values()) - {"ROLLED_BACK"}:
            done(field.play("rollback", vvtv_reason="the test is over"))
        for node in field.fleet:
            station.wait_answers(node)
    assert set(field.running().values()) == {FORMER}


def _prepare(node: Node, archive: Path) -> None:
    station.install_release(node, archive)
    until(lambda: station.told(node).get("samples", 0) >= 1, f"{node.name} takes a sample")


@contextlib.contextmanager
def rollouts(fleet: Fleet, core: str = "newest", **given: Any) -> Iterator[RolloutFleet]:
    """Nodes that run the release FORMER and have the command ``vvtv-runbook`` with its secrets."""
    # The paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="vvtv-rollout-", dir="/tmp") as home:  # noqa: S108
        field = RolloutFleet(fleet, Path(home), **given)
        field.place = CORES[core] / "bin"
        archive = field.release(Release(FORMER))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: _prepare(node, archive), fleet))
        made = field.play("node", "--tags", "node_command,node_secrets", vvtv_node_batch="100%")
        assert made.code == 0, made.output
        try:
            yield field
        finally:
            field.hang_up()
