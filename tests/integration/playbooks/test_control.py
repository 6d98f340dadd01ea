# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks emergency_on, emergency_off and reload_owner_card over a fleet; curl and sha256sum judge."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from tests.integration.helpers import playbook, sha256sum
from tests.integration.stations import state_of

from .conftest import Fleet

TARGET = re.compile(r"buffer_target_minutes: \d+")


def states(three: Fleet) -> list[str]:
    return [state_of(node) for node in three.nodes.values()]


def cards(three: Fleet) -> list[str]:
    """The card in each node's file."""
    return [sha256sum(node.owner_card) for node in three.nodes.values()]


def in_force(three: Fleet) -> list[str]:
    """The card that each station says it obeys."""
    return [node.state.owner_card_sha256 for node in three.nodes.values()]


@pytest.fixture
def card(three: Fleet, tmp_path: Path) -> Path:
    """A valid card on the bastion that no station has."""
    path = tmp_path / "card.yaml"
    text = TARGET.sub("buffer_target_minutes: 75", three.nodes["node1"].owner_card.read_text())
    path.write_text(f"{text}# a comment, and no line feed at the end")
    three.change(vvtv_card_watch_seconds=1)
    return path


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_emergency_checks_switches_and_then_has_nothing_to_do(three: Fleet) -> None:
    shown = playbook("emergency_on", three.inventory, "--check")
    assert (shown.code, [shown.count(host, "changed") for host in three.nodes]) == (0, [1, 1, 1])
    assert states(three) == ["off", "off", "off"]
    done = playbook("emergency_on", three.inventory)
    assert (done.code, states(three)) == (0, ["on", "on", "on"])
    assert re.search(r"node2 +ok +no +yes +1", done.output)
    again = playbook("emergency_on", three.inventory)
    assert [again.count(host, "changed") for host in three.nodes] == [0, 0, 0]
    off = playbook("emergency_off", three.inventory, "--limit", "node3")
    assert (off.code, states(three)) == (0, ["on", "on", "off"])


def test_emergency_counts_who_cannot_be_reached_and_who_does_not_answer(three: Fleet) -> None:
    three.lose("node1")
    three.nodes["node2"].faults(hang=30)
    three.change("node2", vvtv_api_timeout=0.5)
    done = playbook("emergency_on", three.inventory)
    assert done.code == 2
    assert [done.count(host, "failed") for host in three.nodes] == [1, 1, 0]
    assert "node1 is not, or not surely, in the state that was asked for: unreachable" in done.output
    assert re.search(r"node1 +unreachable", done.output)
    assert re.search(r"node2 +failed", done.output)
    assert state_of(three.nodes["node3"]) == "on"


def test_emergency_without_secrets_is_refused_outside_dev(three: Fleet) -> None:
    three.change(vvtv_env="production")
    refused = playbook("emergency_on", three.inventory)
    assert refused.code == 2
    assert states(three) == ["off", "off", "off"]


def test_no_playbook_says_a_secret_even_with_vvv(three: Fleet, card: Path, tmp_path: Path) -> None:
    three.change(vvtv_control_token="token-marker-77", vvtv_control_secret="secret-marker-77", vvtv_env="x")
    said = playbook("emergency_on", three.inventory, "-vvv").output
    said += playbook("reload_owner_card", three.inventory, "-e", f"vvtv_card={card}", "-vvv").output
    assert "invalid token" in said
    assert "marker-77" not in said


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_a_card_is_checked_pushed_and_then_nothing_is_to_do(three: Fleet, card: Path) -> None:
    before, wanted = cards(three), sha256sum(card)
    options = ("-e", f"vvtv_card={card}")
    shown = playbook("reload_owner_card", three.inventory, *options, "--check", "--diff")
    assert (shown.code, cards(three)) == (0, before)
    assert "+  buffer_target_minutes: 75" in shown.output
    done = playbook("reload_owner_card", three.inventory, *options)
    assert done.code == 0, done.output
    assert (cards(three), in_force(three)) == ([wanted] * 3, [wanted] * 3)
    installs = re.findall(r"^changed: \[(node\d)\]", done.output, re.MULTILINE)
    assert installs == ["node2", "node1", "node3"]
    again = playbook("reload_owner_card", three.inventory, *options)
    assert (again.code, [again.count(host, "changed") for host in three.nodes]) == (0, [0, 0, 0])


def test_an_invalid_card_changes_nothing_anywhere(three: Fleet, card: Path) -> None:
    before = cards(three)
    card.write_text(
        TARGET.sub("buffer_target_minutes: soon", card.read_text()).replace("schema_version", "v")
    )
    refused = playbook("reload_owner_card", three.inventory, "-e", f"vvtv_card={card}")
    assert refused.code == 2
    assert "buffer_target_minutes" in refused.output
    assert "schema_version" in refused.output
    assert "nothing was changed" in refused.output
    assert (cards(three), in_force(three)) == (before, before)


def test_a_card_is_not_pushed_while_a_host_cannot_be_reached(three: Fleet, card: Path) -> None:
    before = cards(three)
    three.lose("node3")
    refused = playbook("reload_owner_card", three.inventory, "-e", f"vvtv_card={card}")
    assert refused.code == 2
    assert "nothing was changed: the card or the health of node3" in refused.output
    assert cards(three) == before


def test_a_canary_that_does_not_confirm_keeps_the_fleet_untouched(three: Fleet, card: Path) -> None:
    before = cards(three)
    three.nodes["node2"].faults(http_500="/v1/control/reload-owner-card")
    broken = playbook("reload_owner_card", three.inventory, "-e", f"vvtv_card={card}")
    assert broken.code == 2
    assert "node2: trouble with the new card; the former card is in place" in broken.output
    assert "node1: taken back because of node2; the former card is in place" in broken.output
    assert (cards(three), in_force(three)) == (before, before)
    assert not re.search(r"^changed: \[node[13]\]", broken.output, re.MULTILINE)


@pytest.mark.thorough
def test_a_later_host_that_gets_sick_brings_the_former_card_back_everywhere(three: Fleet, card: Path) -> None:
    before = cards(three)
    three.change(vvtv_card_watch_seconds=3)
    three.nodes["node1"].faults(http_500="/metrics")
    three.nodes["node3"].faults(buffer=25)
    # node1 is sick already and stays as sick; node3 gets worse when it has the card: a critical buffer.
    with_card = three.nodes["node3"].owner_card

    def sicken() -> None:
        while sha256sum(with_card) == before[2]:
            time.sleep(0.05)
        three.nodes["node3"].faults(buffer=5)

    watcher = threading.Thread(target=sicken)
    watcher.start()
    broken = playbook(
        "reload_owner_card", three.inventory, "-e", f"vvtv_card={card}", "-e", "vvtv_card_batch=1"
    )
    watcher.join()
    assert broken.code == 2
    assert "with the new card: BUFFER_CRITICAL" in broken.output
    assert "node3: trouble with the new card; the former card is back" in broken.output
    assert "node2: taken back because of node3; the former card is back" in broken.output
    assert (cards(three), in_force(three)) == (before, before)
