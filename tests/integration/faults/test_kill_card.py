# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kill -9 while an OwnerCard is installed: the next run brings it into force, whatever was done before."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.vvtv.runbook.plugins.module_utils._core import card_change, card_history, files
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Api
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from tests.integration.faults.dying import KILLED, Child
from tests.simulator.owner_card import SAMPLE

OLD, NEW, *FORMER = (SAMPLE.replace("720", str(height)).encode() for height in (720, 1080, 1440, 2160))
KEEP = 2
# What the station of these tests has in force, in the node's root.
IN_FORCE = "in-force"


class Station(Api):
    """Keeps what it has in force in a file, so that it outlives whoever tells it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def reload_owner_card(self) -> None:
        (self._node.root / IN_FORCE).write_bytes(self._node.owner_card.read_bytes())


def install(root: Path) -> Outcome:
    """Bring the new card into force."""
    node = Node.at(root)
    return card_change.install(node, Station(node), card_change.Request(NEW, Path("new.yaml"), KEEP))


def killed(root: Path, at: int = 0) -> Child:
    """The same in a process of its own, which dies at its ``at``-th step."""
    child = Child(lambda: install(root), at)
    child.communicate()
    return child


def fresh(root: Path) -> Node:
    """A node with the old card in force and as many former ones as are kept."""
    (root / "config").mkdir(parents=True)
    node = Node.at(root)
    for card in FORMER:
        card_history.keep(node.owner_card, card, files.Owner.of(root))
    node.owner_card.write_bytes(OLD)
    (root / IN_FORCE).write_bytes(OLD)
    return node


def test_killed_at_any_step_the_next_run_brings_the_card_into_force(tmp_path: Path) -> None:
    steps, seen = killed(fresh(tmp_path / "whole").root).steps, set()
    assert steps > 20
    for at in range(1, steps + 1):
        node = fresh(tmp_path / str(at))
        assert killed(node.root, at).returncode == KILLED
        card, in_force = node.owner_card.read_bytes(), (node.root / IN_FORCE).read_bytes()
        assert card in (OLD, NEW)
        copies = [path.read_bytes() for path in card_history.copies(node.owner_card)]
        assert card == OLD or OLD in copies
        seen.add((card == NEW, in_force == NEW))

        install(node.root)
        assert (node.owner_card.read_bytes(), (node.root / IN_FORCE).read_bytes()) == (NEW, NEW)
        copies = [path.read_bytes() for path in card_history.copies(node.owner_card)]
        assert copies == [OLD, FORMER[-1]]
        left = {path.name for path in node.root.rglob("*") if path.is_file()}
        assert len(left) == 5, left  # the card, two copies, what is in force, the lock
        assert not install(node.root).changed
    # It was also killed between the replacement and the reload, where the next run owes the reload.
    assert seen >= {(False, False), (True, False), (True, True)}
