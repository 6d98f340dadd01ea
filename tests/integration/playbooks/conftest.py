# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three writing nodes and an inventory for ansible-playbook."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

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

    def writing(self) -> None:
        """Let every station write all the time again."""
        for node in self.nodes.values():
            node.faults()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Fleet]:
    """Three nodes; node3 runs its modules on the oldest Python there is for the tests."""
    pythons = {"node3": os.environ.get("VVTV_TEST_NODE_PYTHON", sys.executable)}
    with ExitStack() as running:
        nodes = {
            name: running.enter_context(fleet.start_node(tmp_path / name, size="300K", journal_mode=journal))
            for name, journal in JOURNALS.items()
        }
        hosts = {
            name: {
                "vvtv_root": str(node.root),
                "ansible_python_interpreter": pythons.get(name, sys.executable),
            }
            for name, node in nodes.items()
        }
        inventory = tmp_path / "hosts.json"
        inventory.write_text(
            json.dumps(
                {"vvtv": {"hosts": hosts, "vars": {"ansible_connection": "local", "vvtv_encrypt": False}}}
            )
        )
        yield Fleet(nodes, inventory)
