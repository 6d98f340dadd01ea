# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kill -9 while a release is brought and put in force, and while a node goes back: the next run finishes it.

The station of these tests is a command that copies what is in force, as a start of the station reads it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    backup,
    files,
    release_change,
    releases,
    times,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Api
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import begun, record, rollback
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder, backup_name
from tests.integration.faults import killing
from tests.integration.faults.dying import KILLED, Child
from tests.integration.helpers import sqlite3
from tests.simulator import releases as archives

ROLLOUT = "20260131T235959Z"
OLD, NEW = "1.0.0", "2.0.0"
#: At how many of the steps it is killed in one run of the tests; at others in the next.
ROUNDS = 40


class Station(Api):
    """Answers that it runs, whatever happens."""

    def status(self) -> Status:
        return Status("RUNNING", 60, times.now())


def how(root: Path) -> begun.Restart:
    """A station that reads at its start what is in force."""
    runs = f"readlink {root}/current | tr -d '\\n' >{root}/runs; cp {root}/{killing.CARD} {root}/obeys"
    return begun.Restart(command=("/bin/sh", "-c", runs))


def archive(root: Path, version: str) -> Path:
    """Beside the node, and made once."""
    path = root.parent / f"{version}.tar.gz"
    return path if path.exists() else archives.good(path, version)


def bring(root: Path, version: str = NEW) -> Outcome:
    """Bring a release and put it in force."""
    node, path = Node.at(root), archive(root, version)
    asked = {"src": path, "sha256": files.sha256_of(path), "keep": 2}
    outcome = release_change.bring_about(node, None, release_change.Request(version, **asked))
    request = release_change.Request(version, "current", restart=how(root), keep=2)
    done = release_change.bring_about(node, Station(), request)
    outcome.changed |= done.changed
    return outcome


def go_back(root: Path) -> Outcome:
    """Go back; the node is not looked at, since nothing runs here."""
    folder = Folder.of(Node.at(root), ROLLOUT)
    request = rollback.Request("a test", wait_timeout=0, thresholds=Thresholds(fail_on="critical"))
    rollback.recovered.wait = _well  # type: ignore[assignment]
    return rollback.roll_back(folder, Station(), request)


def _well(*_args: object) -> rollback.Health:
    return rollback.Health(True, (), {}, None, None, "RUNNING")


def killed(root: Path, what: Callable[[Path], Outcome], at: int = 0) -> Child:
    """The same in a process of its own, which dies at its ``at``-th step."""
    child = Child(lambda: what(root), at)
    child.communicate()
    return child


def chosen(steps: int) -> list[int]:
    """Some of them, others each time; which one failed is in the node's path."""
    return sorted(random.sample(range(1, steps + 1), min(ROUNDS, steps)))


@pytest.fixture(scope="module")
def with_old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that runs a first release."""
    root = killing.make_node(tmp_path_factory.mktemp("killed") / "old")
    bring(root, OLD)
    assert (root / "runs").read_text() == f"releases/{OLD}"
    return root


@pytest.fixture(scope="module")
def in_rollout(with_old: Path) -> Path:
    """The same in the middle of a rollout of a release and an OwnerCard, with another state."""
    root = killing.copy_of(with_old, with_old.with_name("rollout"))
    node = Node.at(root)
    folder = Folder.of(node, ROLLOUT)
    candidate = begun.Candidate(
        NEW, files.sha256_of(archive(root, NEW)), files.sha256_hex(killing.CARD_B.encode())
    )
    begun.begin(folder, begun.Begun(ROLLOUT, candidate, how(root), OLD))
    record.append(folder.record, "IN_PROGRESS", {}, "a test")
    backup.back_up(node, backup.Request(backup_name(ROLLOUT), encrypt=False))
    bring(root)
    killing.to_state_b(root)
    assert killing.state(root) == ("B", "B")
    return root


def left_over(root: Path) -> list[str]:
    """What nobody removed."""
    names = [str(path.relative_to(root)) for path in root.rglob(".staging-*")]
    owed = ["runtime/runbook.restart.json"] if (root / "runtime/runbook.restart.json").exists() else []
    return [*names, *owed, *killing.litter(root)]


def move(root: Path, where: Path) -> Path:
    """A copy of a node whose restart command is its own."""
    copy = killing.copy_of(root, where)
    frozen = copy / f"runtime/canary/{ROLLOUT}/rollout.json"
    if frozen.exists():
        frozen.write_text(frozen.read_text().replace(str(root), str(copy)))
    for version in (OLD, NEW):
        if not (where.parent / f"{version}.tar.gz").exists():
            shutil.copy(archive(root, version), where.parent)
    return copy


def test_a_release_is_there_whole_or_not_at_all(with_old: Path, tmp_path: Path) -> None:
    steps, seen = killed(move(with_old, tmp_path / "whole"), bring).steps, set()
    assert steps > 40
    for at in chosen(steps):
        root = move(with_old, tmp_path / f"killed-at-{at}")
        assert killed(root, bring, at).returncode == KILLED
        link, runs = os.readlink(root / "current"), (root / "runs").read_text()
        assert link in (f"releases/{OLD}", f"releases/{NEW}")
        shelf = releases.Shelf.of(Node.at(root))
        for one in releases.listed(shelf):
            releases.require(shelf, one.id)
        assert link == f"releases/{OLD}" or releases.find(shelf, NEW) is not None
        # Whoever looks at the node sees that the station does not run what is in force.
        assert link == runs or (root / "runtime/runbook.restart.json").exists()
        seen.add((link, runs))
        bring(root)
        assert (os.readlink(root / "current"), (root / "runs").read_text()) == (f"releases/{NEW}",) * 2
        assert not left_over(root)
        assert not bring(root).changed
        shutil.rmtree(root)
    assert (f"releases/{OLD}", f"releases/{OLD}") in seen


def test_a_rollback_is_finished_by_the_next_one(in_rollout: Path, tmp_path: Path) -> None:
    whole = move(in_rollout, tmp_path / "whole")
    plans_b = sqlite3(whole / killing.DB, killing.PLANS)
    steps = killed(whole, go_back).steps
    assert killing.state(whole) == ("A", "A")
    assert steps > 100
    for at in chosen(steps):
        root = move(in_rollout, tmp_path / f"killed-at-{at}")
        assert killed(root, go_back, at).returncode == KILLED
        database, _card = killing.state(root)
        assert database in ("A", "B")
        go_back(root)
        assert killing.state(root) == ("A", "A")
        assert (os.readlink(root / "current"), (root / "runs").read_text()) == (f"releases/{OLD}",) * 2
        assert (root / "obeys").read_text() == killing.CARD_A
        assert not left_over(root)
        folder = root / f"runtime/canary/{ROLLOUT}"
        lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
        assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["state"] for line in lines].count("ROLLED_BACK") == 1
        assert "status=FAIL_ROLLBACK_APPLIED" in (folder / "result.env").read_text()
        # What was discarded is where the record says, whichever run kept it.
        lost = lines[-1]["facts"]["rollback"]["discarded"]["backup"]
        assert sqlite3(root / "runtime/backups" / lost / "state.db", killing.PLANS) == plans_b
        assert not go_back(root).changed
        shutil.rmtree(root)
