# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration: three nodes that write all the time are backed up, restored, sick, and rolled out to.

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

from .rollout import roll_out
from .sickness import sick_and_well
from .stage import DEMO, NODES, Stage, demo_ports, expect, short
from .stock import manifest_agrees, opens, run, sha256sum, sqlite3, unpack

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
        before = {name: newest_backup(name) for name in nodes}
        open_by_hand(stage, before["node1"])
        rotate(stage, before)
        damage_and_restore(stage, nodes["node2"], before["node2"])
        roll_out(stage, nodes)
        sick_and_well(stage, nodes)
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
    stage.chapter("a recovery identity for the fleet: its private half stays away from the nodes")
    run("age-keygen", "-o", str(DEMO / "recovery.key"))
    recipient = run("age-keygen", "-y", str(DEMO / "recovery.key"))
    (DEMO / "recovery.pub").write_text(recipient)
    stage.say(f"{recipient.strip()}  (inventories/demo names it in vvtv_recovery_recipients)")
    stage.chapter("back them up while they write: each makes a key of its own, and an encrypted backup")
    stage.playbook("backup")
    for name in nodes:
        archive = archive_in(newest_backup(name))
        stage.say(f"{name}  {archive.stat().st_size >> 10} KiB  {short(archive)}")
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
    """Read every backup back."""
    stage.chapter("read every backup back: authenticity, hashes, database, OwnerCard")
    stage.playbook("verify", "-e", "vvtv_backup_id=all")


def open_by_hand(stage: Stage, backup: Path) -> None:
    """Open an archive with nothing of ours, with the recovery identity."""
    stage.chapter("open one with nothing but age, zstd and tar, as somebody with the recovery identity would")
    archive, into = archive_in(backup), DEMO / "opened"
    stage.say(f"$ age -d -i build/demo/recovery.key {short(archive)} | zstd -d | tar x -C {short(into)}")
    unpack(archive, DEMO / "recovery.key", into)
    digest = manifest_agrees(into)
    counts = sqlite3(into / "state.db", "SELECT count(*) || ' plans' FROM plans")
    stage.say(f"sqlite3: integrity_check {sqlite3(into / 'state.db', 'PRAGMA integrity_check')}, {counts}")
    stage.say(f"sha256sum and the manifest inside agree: {digest[:16]}...")


def rotate(stage: Stage, before: dict[str, Path]) -> None:
    """Rotate the whole fleet's keys; age says which key opens what."""
    stage.chapter("rotate the keys of the fleet; older backups get a header for the new key")
    old = DEMO / "old.key"
    old.write_bytes((NODES / "node2/runtime/keys/current.key").read_bytes())
    payload = archive_in(before["node2"]).read_bytes()[-65536:]
    stage.playbook("key_rotate", "-e", "vvtv_key_batch=3")
    archive = archive_in(before["node2"])
    answers = [
        f"{name} key: {'opens it' if opens(archive, identity) else 'no identity matched'}"
        for name, identity in (("old", old), ("new", NODES / "node2/runtime/keys/current.key"))
    ]
    stage.say(f"age about node2's backup from before: {'; '.join(answers)}")
    expect(answers == ["old key: no identity matched", "new key: opens it"], "the rewrap did not take")
    expect(archive.read_bytes()[-65536:] == payload, "the rewrap touched the payload")
    stage.chapter("the backups from before the rotation still read back")
    stage.playbook("verify", "-e", "vvtv_backup_id=all")


def damage_and_restore(stage: Stage, node: fleet.Node, backup: Path) -> None:
    """Damage one database under its running station, restore it, and let sqlite3 be the judge."""
    stage.chapter("a disk fault on node2: random bytes over half of its database, while it runs")
    with node.state_db.open("r+b") as database:
        database.seek(4096)
        database.write(os.urandom(node.state_db.stat().st_size // 2))
    stage.say(f"sqlite3 says: {sqlite3(node.state_db, 'PRAGMA quick_check(1)')[:90]}")

    wanted = ("--limit", "node2", "-e", f"vvtv_backup_id={backup.name}")
    stage.chapter("what would a restore of the backup from before the rotation replace? (--check)")
    recap = stage.playbook("restore", *wanted, "--check", diff=True)
    expect(recap.changed == 1, "check mode saw nothing to restore")

    stage.chapter("restore it; the station keeps its connection open all the time")
    recap = stage.playbook("restore", *wanted)
    expect(recap.changed == 1, "the restore changed nothing")

    stage.chapter("is it back, and is node2 still on air? sqlite3 and sha256sum answer, not this collection")
    node.wait_commits(5)
    inside = unpack(archive_in(backup), NODES / "node2/runtime/keys/current.key", DEMO / "node2-opened")
    missing = "SELECT count(*) FROM b.plans WHERE plan_id NOT IN (SELECT plan_id FROM main.plans)"
    lost = sqlite3(node.state_db, f"ATTACH '{inside}/state.db' AS b", missing)
    checked = sqlite3(node.state_db, "PRAGMA integrity_check")
    counts = "SELECT (SELECT count(*) FROM plans), (SELECT count(*) FROM assets)"
    in_backup, now = sqlite3(inside / "state.db", counts), sqlite3(node.state_db, counts)
    stage.say(f"integrity_check: {checked};  plans of the backup that are missing now: {lost}")
    stage.say(f"plans|assets in the backup: {in_backup};  now: {now}: restored, and more since")
    stage.say(f"sha256sum of the archive: {sha256sum(archive_in(backup))[:16]}..., as backup.json says")
    expect(checked == "ok" and lost == "0", "the restored database is not what the backup holds")
    expect(int(now.split("|")[0]) > int(in_backup.split("|")[0]), "node2 does not write any more")
    expect(sha256sum(archive_in(backup)) in (backup / "backup.json").read_text(), "backup.json disagrees")


def newest_backup(name: str) -> Path:
    """Return the folder of a node's newest backup, by its name alone."""
    return max((NODES / name / "runtime/backups").glob("2*Z*"), key=lambda folder: folder.name)


def archive_in(backup: Path) -> Path:
    """Return the archive in a backup's folder."""
    (found,) = backup.glob("backup.tar.*.age")
    return found


if __name__ == "__main__":
    sys.exit(main())
