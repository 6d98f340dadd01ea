# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Letting the station read the card in place: it is checked, and never undoes what somebody installs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import card_change, errors, locks, owner_card
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_http import ApiFault
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from .nodes import make_node, tree


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return make_node(tmp_path / "node")


class Station:
    """Notes the card that it is told to read, or does not answer."""

    def __init__(self, node: Node, answers: bool = True) -> None:
        self.node, self.answers = node, answers
        self.read: list[bytes] = []

    def reload_owner_card(self) -> None:
        """Read the card."""
        if not self.answers:
            raise ApiFault("timeout", "nobody answered in time", "http://127.0.0.1:7070/")
        self.read.append(self.node.owner_card.read_bytes())


def reload(node: Node, station: Any, check: bool = False) -> Any:
    """Reload as verb and module do."""
    request = card_change.Request(*card_change.given(node, node.owner_card), reload="always", timeout=10)
    return card_change.install(node, station, request, check)


def test_the_station_reads_the_card_in_place(node: Node) -> None:
    station, before = Station(node), tree(node.root)
    foretold = reload(node, station, check=True)
    assert (foretold.actions, station.read) == (["let the station read its card"], [])
    done = reload(node, station)
    assert done.actions == foretold.actions
    assert done.facts == foretold.facts
    assert done.facts["sha256"] == done.facts["sha256_before"]
    assert station.read == [node.owner_card.read_bytes()]
    assert tree(node.root) == before


def test_a_reload_that_was_owed_is_settled(node: Node) -> None:
    marker = card_change.owed_marker(node)
    marker.write_text("{}")
    with pytest.raises(ApiFault):
        reload(node, Station(node, answers=False))
    assert marker.exists()
    reload(node, Station(node))
    assert not marker.exists()


def test_an_invalid_card_leaves_the_station_alone(node: Node) -> None:
    station = Station(node)
    node.owner_card.write_text("no: card\n")
    with pytest.raises(owner_card.InvalidCard):
        reload(node, station)
    node.owner_card.unlink()
    with pytest.raises(errors.NotFound):
        reload(node, station)
    assert station.read == []


def test_a_way_to_the_card_in_place_is_the_card_in_place(node: Node, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(node.owner_card.parent)
    way = tmp_path / "way" / node.owner_card.name
    assert card_change.given(node, way) == (None, node.owner_card)
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(node.owner_card.read_bytes())
    assert card_change.given(node, copy) == (copy.read_bytes(), copy)


def test_what_somebody_installs_meanwhile_stays(node: Node) -> None:
    station = Station(node)
    newer = node.owner_card.read_bytes() + b"# newer\n"
    with locks.node_lock(node, "install", 1):
        waiting = threading.Thread(target=reload, args=(node, station))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        Path(node.owner_card).write_bytes(newer)
    waiting.join(10)
    assert node.owner_card.read_bytes() == newer
    assert station.read == [newer]
