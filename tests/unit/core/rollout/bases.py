# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes, plans and stores for the tests of a rollout, and runs that are alive or dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import begun, plan, record, states
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.plan import Artifacts, Plan
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store

ID = "20260131T235959Z"
OTHER_ID = "20260201T000000Z-other"
DIGEST, CARD_DIGEST = "ab" * 32, "cd" * 32
CANDIDATE = begun.Candidate("vvtv-1.4.0", DIGEST, CARD_DIGEST)
RESTART = begun.Restart(units=("vvtv-station.service",))
PASS = {"result": "PASS", "reasons": []}
# The ways a host can go from its plan to a state, without its detours.
WAYS: dict[str, tuple[str, ...]] = {
    states.PLANNED: (states.PLANNED,),
    states.IN_PROGRESS: (states.IN_PROGRESS,),
    states.SOAKING: (states.IN_PROGRESS, states.SOAKING),
    states.PASSED: (states.IN_PROGRESS, states.SOAKING, states.PASSED),
    states.PROMOTED: (states.IN_PROGRESS, states.SOAKING, states.PASSED, states.PROMOTED),
    states.FAILED: (states.IN_PROGRESS, states.FAILED),
    states.ROLLED_BACK: (states.IN_PROGRESS, states.FAILED, states.ROLLED_BACK),
    states.NEEDS_OPERATOR: (states.IN_PROGRESS, states.FAILED, states.NEEDS_OPERATOR),
    states.HELD: (states.IN_PROGRESS, states.SOAKING, states.HELD),
    states.UNKNOWN: (states.UNKNOWN,),
}


def make_folder(root: Path, rollout: str = ID) -> Folder:
    """Return the folder of a rollout on a node that holds nothing but its OwnerCard."""
    (root / "config").mkdir(parents=True, exist_ok=True)
    (root / "config/owner_card.sample.yaml").write_text("a: former card\n")
    return Folder.of(Node.at(root), rollout)


def make_plan(hosts: Sequence[str] = ("a", "b", "c", "d"), rollout: str = ID, **given: Any) -> Plan:
    """Return a plan; its first host is the canary unless others are named."""
    options: dict[str, Any] = {
        "canaries": hosts[:1],
        "baselines": (),
        "waves": [1, "100%"],
        "artifacts": Artifacts(CANDIDATE),
        "settings": {"soak_hours": 1.0},
        "by": "tester@here",
        **given,
    }
    return plan.make(rollout, hosts, **options)


def make_store(base: Path, made: Plan | None = None) -> Store:
    """Return a store with a plan that this process has."""
    wanted = made or make_plan()
    store = Store.of(base, wanted.rollout)
    with store.lock():
        store.freeze(wanted)
        store.take_lease(here(), 3600)
    return store


def here() -> Run:
    """This process as a run."""
    return Run.of(os.getpid())


def lead(store: Store, host: str, state: str, facts: dict[str, Any] | None = None) -> None:
    """Lead a host of a store to a state."""
    for step in WAYS[state]:
        store.append(host, step, facts if step == state else None)


def lead_node(folder: Folder, state: str, facts: dict[str, Any] | None = None) -> None:
    """Lead a node's own record to a state."""
    folder.make()
    for step in WAYS[state]:
        record.append(folder.record, step, facts if step == state else None)


def state(store: Store, host: str) -> str | None:
    """The state that the store has of a host."""
    return record.last(store.entries(host))


def dead_run() -> Run:
    """A run whose process is no more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        run = Run.of(process.pid)
        process.kill()
    return run
