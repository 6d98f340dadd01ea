# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's side of a transition: lease, way back, record, and what follows, each of them repeatable."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import locks
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Busy, RunbookError
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import (
    begun,
    lease,
    record,
    states,
    turn,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.turn import Turn
from tests.integration.helpers import CHECKOUT
from tests.unit.core.nodes import tree
from tests.unit.core.rollout.bases import CANDIDATE, ID, OTHER_ID, PASS, RESTART, WAYS, lead_node, make_folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A node that is not in the rollout yet."""
    return make_folder(tmp_path)


def take(folder: Folder, state: str | None = None, check: bool = False, **given: Any) -> Outcome:
    """Note a transition; the first one brings the candidate."""
    if state == states.IN_PROGRESS:
        given = {"candidate": CANDIDATE, "restart": RESTART, **given}
    return turn.take(folder, Turn(state, **{"by": "me@bastion", **given}), check)


def told(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = outcome.facts["record"]
    return found


def files_of(folder: Folder) -> dict[str, tuple[int, bytes]]:
    return tree(folder.node.root)


def walk(folder: Folder, state: str, **given: Any) -> Outcome:
    """Lead the node to a state by its own operation."""
    done = Outcome()
    for step in WAYS[state]:
        done = take(folder, step, **(given if step == state else {}))
    return done


@pytest.mark.parametrize("state", states.STATES)
def test_check_note_note_check(folder: Folder, state: str) -> None:
    given: dict[str, Any] = {"facts": {"reason": "x"}}
    for step in WAYS[state][:-1]:
        take(folder, step)
    before = files_of(folder)
    foretold = take(folder, state, check=True, **given)
    assert files_of(folder) == before
    assert (foretold.changed, told(foretold)["state"]) == (True, state)
    done = take(folder, state, **given)
    assert (done.changed, told(done)["state"]) == (True, state)
    assert done.diff == foretold.diff
    assert f"noted that the node is {state}" in done.actions
    after = files_of(folder)
    for check in (False, True):
        again = take(folder, state, check=check, **given)
        assert (again.changed, again.actions, again.diff) == (False, [], [])
        assert files_of(folder) == after
    assert told(done)["entries"][-1]["by"] == "me@bastion"


def test_reading_changes_nothing_and_tells_all(folder: Folder) -> None:
    assert told(take(folder)) == {
        "rollout": ID,
        "state": None,
        "before": None,
        "begun": False,
        "entries": [],
        "facts": {},
        "verdict": None,
        "reason": None,
        "lease": None,
        "evidence": {},
    }
    assert not folder.path.exists()
    walk(folder, "PASSED", facts={"verdict": PASS, "reason": "fine"})
    found = told(take(folder))
    assert (found["state"], found["verdict"], found["reason"], found["begun"]) == (
        "PASSED",
        PASS,
        "fine",
        True,
    )
    assert found["lease"]["what"] == ID
    assert "status=PASS\n" in found["evidence"]["result.env"]
    assert found["facts"]["release_id"] == "vvtv-1.4.0"


def test_a_turn_begins_with_the_lease_and_the_way_back(folder: Folder) -> None:
    done = take(folder, "IN_PROGRESS", state_policy="keep", release_dir="r", current="c", lease_seconds=100)
    assert len(done.actions) == 3
    found = begun.require(folder)
    assert (found.candidate, found.restart, found.state_policy) == (CANDIDATE, RESTART, "keep")
    assert found.extra == {"release_dir": "r", "current": "c"}
    held = lease.find(folder.lease)
    assert held is not None
    assert (held.what, held.holder, (held.expires_at - held.since).total_seconds()) == (ID, "me@bastion", 100)


def test_a_turn_needs_its_candidate_the_first_time_only(folder: Folder) -> None:
    with pytest.raises(BadInput, match="a node's turn begins with the candidate"):
        take(folder, "IN_PROGRESS", candidate=None)
    assert not folder.path.exists()
    take(folder, "IN_PROGRESS")
    assert take(folder, "IN_PROGRESS", candidate=None, facts={"backup_path": "/b"}).changed
    with pytest.raises(BadInput, match="begun here with another candidate"):
        take(folder, "IN_PROGRESS", candidate=begun.Candidate(card_sha256="00" * 32))


@pytest.mark.parametrize("state", ["IN_PROGRESS", "SOAKING", "PASSED", "PROMOTED"])
def test_another_rollout_that_has_the_node_keeps_it(folder: Folder, state: str) -> None:
    lead_node(folder, WAYS[state][-2] if len(WAYS[state]) > 1 else "PLANNED")
    lease.take(folder.lease, OTHER_ID, "anna@bastion", 3600, folder.node.owner())
    before = files_of(folder)
    for check in (False, True):
        with pytest.raises(Busy, match=f"rollout {OTHER_ID} of anna@bastion has it until") as caught:
            take(folder, state, check=check)
        assert caught.value.facts["record"]["state"] == record.last(record.read(folder.record))
    assert files_of(folder) == before
    done = take(folder, state, break_glass="anna is ill")
    held = lease.find(folder.lease)
    if state in ("IN_PROGRESS", "SOAKING"):
        assert held is not None
        assert (held.what, held.broken) == (ID, "anna is ill")
        assert "the node was taken from another rollout: anna is ill" in done.warnings


@pytest.mark.parametrize("state", ["FAILED", "HELD", "UNKNOWN"])
def test_bad_news_are_noted_whoever_has_the_node(folder: Folder, state: str) -> None:
    lead_node(folder, "SOAKING")
    lease.take(folder.lease, OTHER_ID, "anna@bastion", 3600, folder.node.owner())
    assert told(take(folder, state))["state"] == state
    held = lease.find(folder.lease)
    assert held is not None
    assert held.what == OTHER_ID


@pytest.mark.parametrize("state", states.STATES)
def test_the_lease_ends_with_the_rollout(folder: Folder, state: str) -> None:
    walk(folder, state)
    begun_there = "IN_PROGRESS" in WAYS[state]
    assert folder.lease.exists() == (begun_there and state not in states.SETTLED)


def test_what_may_not_follow_is_refused_with_what_is_known(folder: Folder) -> None:
    walk(folder, "ROLLED_BACK")
    before = files_of(folder)
    for check in (False, True):
        with pytest.raises(
            record.OutOfTurn, match="the node is ROLLED_BACK: it cannot become PASSED"
        ) as caught:
            take(folder, "PASSED", check=check)
        assert caught.value.facts["record"]["state"] == "ROLLED_BACK"
        assert len(caught.value.facts["record"]["entries"]) == 3
    with pytest.raises(record.OutOfTurn):
        take(folder, "IN_PROGRESS")
    assert files_of(folder) == before


def test_a_node_does_not_pass_against_its_verdict(folder: Folder) -> None:
    walk(folder, "SOAKING")
    for result in ("FAIL", "INCONCLUSIVE"):
        with pytest.raises(BadInput, match=f"whose soak's verdict is {result} has not PASSED"):
            take(folder, "PASSED", facts={"verdict": {"result": result, "reasons": []}})


def test_a_promotion_is_recorded_once(folder: Folder) -> None:
    done = walk(folder, "PROMOTED", alerts=2, api_url="http://127.0.0.1:7070")
    (path,) = folder.promotions.iterdir()
    said = path.read_text()
    assert told(done)["facts"]["promotion_record"] == str(path)
    assert "alerts_high_critical=2\n" in said
    assert "release_id=vvtv-1.4.0\n" in said
    assert "by=me@bastion\n" in said
    assert f"promotion_record={path}\n" in folder.result.read_text()
    take(folder, "PROMOTED", alerts=2, api_url="http://127.0.0.1:7070")
    assert list(folder.promotions.iterdir()) == [path]
    path.unlink()
    folder.result.unlink()
    assert take(folder, "PROMOTED", alerts=2, api_url="http://127.0.0.1:7070").changed
    assert path.read_text() == said, "what a killed run left out is made good"
    assert folder.result.exists()


def test_evidence_that_is_none_is_warned_of(folder: Folder) -> None:
    walk(folder, "FAILED")
    (folder.soak / "summary.txt").write_bytes(b"\xff\xfe")
    folder.result.unlink()
    folder.result.symlink_to("/etc/passwd")
    found = take(folder)
    assert told(found)["evidence"] == {}
    assert len(found.warnings) == 2


def test_a_locked_node_is_waited_for(folder: Folder) -> None:
    with locks.node_lock(folder.node, "restore", 1), pytest.raises(RunbookError, match="for 'restore'"):
        take(folder, "IN_PROGRESS", timeout=0.1)
    assert not folder.begun.exists()


_WALK = """
import sys
from pathlib import Path
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import begun, turn
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
folder = Folder.of(Node.at(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
candidate = begun.Candidate(card_sha256="cd" * 32)
for state in ("IN_PROGRESS", "SOAKING", "PASSED", "PROMOTED"):
    facts = {"verdict": {"result": "PASS", "reasons": []}} if state == "PASSED" else {}
    turn.take(folder, turn.Turn(state, facts, "walker", candidate))
    print(state, flush=True)
"""


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment_the_next_run_finishes_it(folder: Folder, seed: int) -> None:
    command = [sys.executable, "-c", _WALK, str(folder.node.root), ID]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "build/collections")}
    chance = random.Random(seed)  # noqa: S311
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen(command, **options) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(chance.uniform(0, 0.04))
        process.kill()
        heard = process.stdout.read().split()
    entries = record.read(folder.record)
    assert set(heard) <= {entry.state for entry in entries}
    at = record.last(entries)
    rest = WAYS["PROMOTED"][WAYS["PROMOTED"].index(at) :] if at else WAYS["PROMOTED"]
    for state in rest:
        facts = {"verdict": PASS} if state == "PASSED" else {}
        take(folder, state, facts=facts, candidate=begun.Candidate(card_sha256="cd" * 32))
    assert [entry.state for entry in record.read(folder.record)] == list(WAYS["PROMOTED"])
    assert "promotion_status=PROMOTED\n" in folder.result.read_text()
    assert len([path for path in folder.promotions.iterdir() if not path.name.startswith(".")]) == 1
    assert not folder.lease.exists()
    assert json.loads(folder.begun.read_text())["rollout"] == ID
