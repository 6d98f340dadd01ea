# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second half of the demonstration: a node gets sick, and what an operator does about it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.simulator import fleet

from .stage import DEMO, Stage, expect
from .stock import run, sha256sum

TARGET = re.compile(r"buffer_target_minutes: \d+")
DOMAIN = "films.example.net"


def sick_and_well(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """A node gets sick, is named, goes to emergency mode, gets a new policy, and is well again."""
    stage.chapter("is the fleet well? By its databases, its APIs and its history")
    stage.playbook("health", "-e", "vvtv_fail_on=never", quiet=True)
    sick = nodes["node3"]
    sick.faults(buffer=5, failing_domain=f"4@{DOMAIN}")
    stage.chapter("node3 gets sick: its buffer runs out, and a domain cannot be searched")
    stage.say(f"its own status says: {status(sick)}")
    stage.playbook("health", code=2)
    emergency(stage, sick)
    policy(stage, nodes)
    stage.chapter("what failed at the stations?")
    stage.playbook("audit", "-e", "vvtv_audit_limit=2")
    stage.chapter("node3 recovers; emergency mode off")
    sick.faults()
    stage.playbook("emergency_off", "--limit", "node3")
    expect("RUNNING" in status(sick), "emergency mode is not off")


def emergency(stage: Stage, node: fleet.Node) -> None:
    """The station has a toggle only; the playbook knows a state."""
    stage.chapter("emergency mode on at node3, twice: the second time there is nothing to do")
    first = stage.playbook("emergency_on", "--limit", "node3", quiet=True)
    second = stage.playbook("emergency_on", "--limit", "node3")
    expect((first.changed, second.changed) == (1, 0), "emergency mode was not switched once")
    stage.say(f"curl: {status(node)}")
    expect("EMERGENCY" in status(node), "emergency mode is not on")


def policy(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """A bad OwnerCard changes nothing anywhere; a good one reaches every station."""
    present = nodes["node1"].owner_card
    before = {name: sha256sum(node.owner_card) for name, node in nodes.items()}
    good, bad = DEMO / "good_card.yaml", DEMO / "bad_card.yaml"
    good.write_text(TARGET.sub("buffer_target_minutes: 75", present.read_text()))
    bad.write_text(TARGET.sub("buffer_target_minutes: soon", present.read_text()))
    stage.chapter("a bad OwnerCard for the fleet (buffer_target_minutes: soon): refused, nothing is changed")
    refused = stage.playbook("reload_owner_card", "-e", f"vvtv_card={short_of(bad)}", quiet=True, code=2)
    expect("schedule_policy.buffer_target_minutes" in refused.output, "the refusal does not name the error")
    expect(before == {name: sha256sum(node.owner_card) for name, node in nodes.items()}, "a card was changed")
    stage.chapter("a good one: the canary first, then the others; each station reads it")
    options = ("-e", f"vvtv_card={short_of(good)}", "-e", "vvtv_card_watch_seconds=1")
    stage.playbook("reload_owner_card", *options)
    in_force = {node.state.owner_card_sha256 for node in nodes.values()}
    expect(in_force == {sha256sum(good)}, "a station does not obey the new card")
    stage.say(f"in force at all three, as the stations say: {sha256sum(good)[:16]}...")


def status(node: fleet.Node) -> str:
    """Ask curl."""
    said = json.loads(run("curl", "-sf", f"{node.url}/v1/status"))
    return f"{said['state']}, buffer_minutes {said['buffer_minutes']}"


def short_of(path: Path) -> str:
    """Return a path as the operator types it."""
    return str(path.relative_to(DEMO.parents[1]))
