# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the demonstration in which a good release reaches the fleet, and a bad one does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.simulator import fleet, releases

from .stage import DEMO, NODES, Stage, expect, short

GOOD, BAD = "2.0.0", "2.1.0"
BAD_AFTER = 2.0


def roll_out(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """Plan, canary, waves with a good candidate; then a candidate that gets sick on the canary."""
    good = releases.good(DEMO / f"vvtv-{GOOD}.tar.gz", GOOD)
    bad = releases.sick(DEMO / f"vvtv-{BAD}.tar.gz", BAD, "qa", after=BAD_AFTER)
    stage.chapter(f"a new release, {GOOD}: what would go where? Nothing is changed")
    stage.playbook("plan", "-e", f"vvtv_release={short(good)}")
    expect(not (DEMO / "rollouts").exists(), "the plan wrote something")

    stage.chapter("roll it out: node1 is the canary, node2 the baseline beside it; when it passes, the waves")
    stage.playbook("rollout", "-e", f"vvtv_release={short(good)}", "-e", "vvtv_canary_auto_promote=true")
    expect({running(root) for root in roots(nodes)} == {GOOD}, "not every station runs the good release")
    told(stage, nodes)

    stage.chapter(f"the next release, {BAD}: its QA pass rate falls {BAD_AFTER:g} s after its start")
    before = {root.name: untouched(root) for root in roots(nodes)}
    options = ("-e", f"vvtv_release={short(bad)}", "-e", "vvtv_canary_auto_promote=true")
    stage.playbook("rollout", *options, code=2)
    told(stage, nodes)
    after = {root.name: untouched(root) for root in roots(nodes)}
    expect(after["node1"]["current"] == before["node1"]["current"], "the canary did not go back")
    expect(after["node1"]["card"] == before["node1"]["card"], "the canary's card changed")
    rest = [name for name in before if name != "node1"]
    expect(
        all(after[name] == before[name] for name in rest), "a host was touched that had nothing to do with it"
    )
    stage.say(
        f"{', '.join(rest)}: release, its files, OwnerCard byte for byte as before; all three run {GOOD}"
    )
    expect({running(root) for root in roots(nodes)} == {GOOD}, "a station does not run the good release")


def told(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """Show what the runbook's own promotion gate would read of the canary."""
    newest = max((NODES / "node1/runtime/canary").iterdir(), key=lambda folder: folder.name)
    stage.say(f"{short(newest / 'result.env')}")
    for line in (newest / "result.env").read_text().splitlines():
        if line.split("=")[0] in ("status", "rollback_applied", "promotion_status", "reason"):
            stage.say(f"  {line}")
    summary = (newest / "soak/summary.txt").read_text().splitlines()
    stage.say(f"{short(newest / 'soak/summary.txt')}")
    stage.say(f"  {'  '.join(line for line in summary if line.split('=')[0] in ('verdict', 'samples'))}")


def roots(nodes: dict[str, fleet.Node]) -> list[Path]:
    """Return the nodes' folders."""
    return [node.root for node in nodes.values()]


def running(root: Path) -> str:
    """Return the version that the station itself says it runs."""
    state = fleet.read_state(root)
    return "" if state is None else state.release


def untouched(root: Path) -> dict[str, str]:
    """Return what a rollout changes of a node, as digests."""
    files = sorted(path for path in (root / "releases").rglob("*") if path.is_file())
    tree = hashlib.sha256()
    for path in files:
        tree.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return {
        "current": str((root / "current").readlink()),
        "releases": tree.hexdigest(),
        "card": hashlib.sha256((root / "config/owner_card.sample.yaml").read_bytes()).hexdigest(),
    }
