# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three writing nodes and an inventory for ansible-playbook."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.helpers import USUAL_PYTHON
from tests.simulator import fleet

JOURNALS = {"node1": "delete", "node2": "wal", "node3": "delete"}


@dataclass(frozen=True)
class Fleet:
    """The nodes by name, and the inventory that names them."""

    nodes: dict[str, fleet.Node]
    inventory: Path

    def quiet(self) -> None:
        """Bring every station between two commit windows."""
        for node in self.nodes.values():
            node.faults(pipeline="quiet")

    def change(self, host: str | None = None, **variables: object) -> None:
        """Set variables of the inventory, for all or for one host."""
        inventory = json.loads(self.inventory.read_text())
        place = inventory["vvtv"]["hosts"][host] if host else inventory["vvtv"]["vars"]
        place.update(variables)
        self.inventory.write_text(json.dumps(inventory))

    def lose(self, host: str) -> None:
        """Let a host be one that cannot be reached."""
        self.change(host, ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)

    def writing(self) -> None:
        """Let every station write all the time again."""
        for node in self.nodes.values():
            node.faults()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Fleet]:
    """Three nodes; node3 runs its modules on the oldest Python there is for the tests."""
    pythons = {"node3": os.environ.get("VVTV_TEST_NODE_PYTHON", USUAL_PYTHON)}
    with ExitStack() as running:
        nodes = {
            name: running.enter_context(fleet.start_node(tmp_path / name, size="300K", journal_mode=journal))
            for name, journal in JOURNALS.items()
        }
        hosts = {
            name: {
                "vvtv_root": str(node.root),
                "vvtv_api_url": node.url,
                "ansible_python_interpreter": pythons.get(name, USUAL_PYTHON),
            }
            for name, node in nodes.items()
        }
        inventory = tmp_path / "hosts.json"
        shared = {"ansible_connection": "local", "vvtv_encrypt": False, "vvtv_env": "dev"}
        groups = {"vvtv_canary": {"hosts": {"node2": None}}}
        inventory.write_text(json.dumps({"vvtv": {"hosts": hosts, "vars": shared, "children": groups}}))
        yield Fleet(nodes, inventory)
