# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a fleet, find it again, take it away.

with fleet.up(3, releases=(12, 13)) as nodes:
    nodes[0].ssh("hostname")
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import build, images, inventory, leftovers, station
from .host import FleetError, machine_lock, raise_inotify
from .layout import FLEETS, SCRATCH, Layout, layout, owned
from .machine import Facts
from .node import Node
from .recipe import RELEASES, Image

#: The network of a fleet has room for so many.
MOST_NODES = 200
DISK_SIZE = "2G"


class Fleet(Sequence[Node]):
    """The nodes of a fleet, by number; ``fleet["node2"]`` by name."""

    def __init__(self, where: Layout, nodes: Sequence[Facts], token: str, secret: str) -> None:
        self.where = where
        self.name = where.folder.name
        self.token = token
        self.secret = secret
        self._nodes = [Node(facts, where) for facts in nodes]

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            for node in self._nodes:
                if node.name == which:
                    return node
            raise FleetError(f"no node {which!r} in the fleet {self.name}: {', '.join(self.names)}")
        return self._nodes[which]

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def names(self) -> list[str]:
        return [node.name for node in self._nodes]

    @property
    def inventory(self) -> Path:
        """For ``ansible-playbook -i``: as ``ops``, becoming root."""
        return self.where.inventory

    @property
    def inventory_vvtv(self) -> Path:
        """The same, becoming the station's user."""
        return self.where.inventory_vvtv

    @property
    def ssh_config(self) -> Path:
        return self.where.ssh_config

    def heal(self) -> None:
        """Undo every fault of every node."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.heal(), self._nodes))

    def of_release(self, release: int) -> list[Node]:
        return [node for node in self if node.release == release]


@contextlib.contextmanager
def up(
    count: int = 3,
    *,
    releases: Sequence[int] = tuple(RELEASES),
    virgin: bool = False,
    name: str = "test",
    station_options: Sequence[str] = station.OPTIONS,
    disk: str = DISK_SIZE,
) -> Iterator[Fleet]:
    """A fleet for the length of a block. Nodes take the releases in turn; see :func:`start`."""
    where = layout(name)
    FLEETS.mkdir(parents=True, exist_ok=True)
    with owned(where) as mine:
        if not mine:
            raise FleetError(f"the fleet {name} is in use by another process; take another name")
        try:
            yield _start(where, count, releases, virgin, station_options, disk, kept=False)
        finally:
            leftovers.remove(where)


def start(
    count: int = 3,
    *,
    releases: Sequence[int] = tuple(RELEASES),
    virgin: bool = False,
    name: str = "default",
    station_options: Sequence[str] = station.OPTIONS,
    disk: str = DISK_SIZE,
) -> Fleet:
    """A fleet that stays until :func:`down`, or until another one of its name starts.

    ``virgin`` nodes have no station and nothing that the modules need: a host before the role ``node``.
    """
    where = layout(name)
    FLEETS.mkdir(parents=True, exist_ok=True)
    with owned(where) as mine:
        if not mine:
            raise FleetError(f"the fleet {name} is in use by another process; take another name")
        try:
            return _start(where, count, releases, virgin, station_options, disk, kept=True)
        except BaseException:
            leftovers.remove(where)
            raise


def load(name: str = "default") -> Fleet:
    """A fleet that runs already."""
    where = layout(name)
    try:
        state = json.loads(where.state.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FleetError(f"no fleet {name} is up in this checkout") from error
    nodes = [Facts(**facts) for facts in state["nodes"]]
    return Fleet(where, nodes, state["token"], state["secret"])


def down(name: str = "default") -> None:
    """Remove all of it. No error where there is nothing, or half of it."""
    leftovers.remove(layout(name))


def _start(
    where: Layout,
    count: int,
    releases: Sequence[int],
    virgin: bool,
    station_options: Sequence[str],
    disk: str,
    kept: bool,
) -> Fleet:
    if not 1 <= count <= MOST_NODES:
        raise FleetError(f"a fleet has 1 to {MOST_NODES} nodes, not {count}")
    if not releases or set(releases) - set(RELEASES):
        raise FleetError(f"the releases are {', '.join(map(str, RELEASES))}, not {list(releases)}")
    with machine_lock():
        leftovers.sweep(where)
        images.ensure((Image(release, virgin) for release in releases), SCRATCH)
        raise_inotify(count + leftovers.running())
        token, secret = secrets.token_hex(16), secrets.token_hex(16)
        environment = station.environment_file(token, secret, station_options)
        nodes = build.make(
            where, [releases[number % len(releases)] for number in range(count)], virgin, environment, disk
        )
    inventory.write(where, nodes, token, secret)
    state = {"kept": kept, "token": token, "secret": secret, "nodes": [node.as_json() for node in nodes]}
    where.state.touch(mode=0o600)
    where.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
    fleet = Fleet(where, nodes, token, secret)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_wait, fleet))
    return fleet


def _wait(node: Node) -> None:
    node.wait_ready()
    if not node.facts.virgin:
        station.wait_answers(node)
