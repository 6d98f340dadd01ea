# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration: three nodes that write all the time are backed up, verified, damaged and restored.

Run it with ``make demo``. Everything it makes lies below build/demo; every process it starts it stops again.
It ends with exit 1, naming what was expected, as soon as anything is not as the text says.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.simulator import fleet

from .stage import CHECKOUT, DEMO, NODES, Stage, demo_ports, expect, sha256sum, sqlite3

JOURNALS = {"node1": "delete", "node2": "delete", "node3": "wal"}


def main() -> int:
    """Tell the story; return the exit status."""
    started = time.monotonic()
    stage = Stage()
    for root in NODES.glob("*"):
        fleet.stop_node(root)
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir(parents=True)
    with ExitStack() as running:
        nodes = start(stage, running)
        back_up(stage, nodes)
        verify(stage)
        damage_and_restore(stage, nodes)
        pids = [node.pid for node in nodes.values()]
    stage.chapter(f"the nodes are stopped (pids {', '.join(map(str, pids))}); their folders stay")
    stage.closing(time.monotonic() - started)
    return 0


def start(stage: Stage, running: ExitStack) -> dict[str, fleet.Node]:
    """Start one simulated node for each host of the demo inventory."""
    stage.chapter("three nodes go on air; each commits to its database about 20 times a second")
    nodes = {}
    for name, port in demo_ports().items():
        node = running.enter_context(
            fleet.start_node(NODES / name, port=port, journal_mode=JOURNALS[name], size="4M")
        )
        stage.say(f"{name}  {node.url}  pid {node.pid}  journal {JOURNALS[name]:6}  {short(node.state_db)}")
        nodes[name] = node
    return nodes


def back_up(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """Back up writing nodes, then show that a run with nothing to do does nothing."""
    stage.chapter("back them up while they write")
    recap = stage.playbook("backup")
    expect(recap.changed == 3, "each node got a backup")
    stage.chapter(
        "between two commit windows a station renews its lease and writes nothing else: again, twice"
    )
    for node in nodes.values():
        node.faults(pipeline="quiet")
    stage.playbook("backup", quiet=True)
    recap = stage.playbook("backup")
    expect(recap.changed == 0, "a backup of unchanged content changed something")
    for node in nodes.values():
        node.faults()


def verify(stage: Stage) -> None:
    """Verify with the playbook, and once more with sha256sum."""
    stage.chapter("read every backup back")
    stage.playbook("verify", "-e", "vvtv_backup_id=all")
    backup = newest_backup("node2")
    stage.say(f"sha256sum of {short(backup / 'state.db')} and its manifest agree: {agree(backup)[:16]}...")


def damage_and_restore(stage: Stage, nodes: dict[str, fleet.Node]) -> None:
    """Damage one database under its running station, restore it, and let sqlite3 be the judge."""
    node, backup = nodes["node2"], newest_backup("node2")
    stage.chapter("a disk fault on node2: random bytes over half of its database, while it runs")
    with node.state_db.open("r+b") as database:
        database.seek(4096)
        database.write(os.urandom(node.state_db.stat().st_size // 2))
    stage.say(f"sqlite3 says: {sqlite3(node.state_db, 'PRAGMA quick_check(1)')[:90]}")

    stage.chapter("what would a restore replace? (--check)")
    recap = stage.playbook("restore", "--limit", "node2", "-e", "vvtv_backup_id=latest", "--check", diff=True)
    expect(recap.changed == 1, "check mode saw nothing to restore")

    stage.chapter("restore it; the station keeps its connection open all the time")
    recap = stage.playbook("restore", "--limit", "node2", "-e", "vvtv_backup_id=latest")
    expect(recap.changed == 1, "the restore changed nothing")

    stage.chapter("is it back, and is node2 still on air? sqlite3 and sha256sum answer, not this collection")
    node.wait_commits(5)
    missing = "SELECT count(*) FROM b.plans WHERE plan_id NOT IN (SELECT plan_id FROM main.plans)"
    lost = sqlite3(node.state_db, f"ATTACH '{backup}/state.db' AS b", missing)
    checked = sqlite3(node.state_db, "PRAGMA integrity_check")
    counts = "SELECT (SELECT count(*) FROM plans), (SELECT count(*) FROM assets)"
    in_backup, now = sqlite3(backup / "state.db", counts), sqlite3(node.state_db, counts)
    stage.say(f"integrity_check: {checked};  plans of the backup that are missing now: {lost}")
    stage.say(f"plans|assets in the backup: {in_backup};  now: {now}: restored, and more since")
    stage.say(f"sha256sum of the backup still agrees with its manifest: {agree(backup)[:16]}...")
    expect(checked == "ok" and lost == "0", "the restored database is not what the backup holds")
    expect(int(now.split("|")[0]) > int(in_backup.split("|")[0]), "node2 does not write any more")


def newest_backup(name: str) -> Path:
    """Return the folder of a node's newest backup, by its name alone."""
    return max((NODES / name / "runtime/backups").glob("2*Z*"), key=lambda folder: folder.name)


def agree(backup: Path) -> str:
    """Return the hash that sha256sum and the manifest agree on."""
    digest = sha256sum(backup / "state.db")
    expect(digest in (backup / "manifest.json").read_text(), f"{backup}: sha256sum and manifest disagree")
    return digest


def short(path: Path) -> str:
    """Return a path as seen from the checkout."""
    return str(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    sys.exit(main())
