# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger: what the states of a fleet come to, and the end of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import NotFound
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import closing, ledger, states
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.ledger import Entries
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.record import Entry
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store
from tests.unit.core.rollout.bases import ID, here, lead, make_plan, make_store, state

PLAN = make_plan()


def known(*found: str | None) -> Entries:
    """The records of the plan's hosts in these states."""
    made = {}
    for host, word in zip(PLAN.hosts, found):
        made[host] = () if word is None else (Entry(1, times.now(), word, "me"),)
    return made


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        ((), "unfinished"),
        (("IN_PROGRESS",), "unfinished"),
        (("SOAKING",), "soaking"),
        (("PASSED",), "unfinished"),
        (("PROMOTED", "PROMOTED", "PASSED", "PROMOTED"), "unfinished"),
        (("PROMOTED",) * 4, "done"),
        (("FAILED", "SOAKING"), "failed"),
        (("ROLLED_BACK",), "failed"),
        (("HELD",), "failed"),
        (("UNKNOWN",), "failed"),
        (("PROMOTED", "PROMOTED", "PROMOTED", "UNKNOWN"), "failed"),
        (("NEEDS_OPERATOR", "FAILED"), "frozen"),
    ],
)
def test_what_the_states_come_to(found: tuple[str, ...], phase: str) -> None:
    entries = known(*found)
    assert ledger.phase(PLAN, entries) == phase
    assert ledger.succeeded(PLAN, entries, 0, "canary") == (phase in ("unfinished", "soaking", "done"))


def test_within_the_budget_a_rollout_is_done() -> None:
    entries = known("PROMOTED", "PROMOTED", "ROLLED_BACK", "PROMOTED")
    assert (ledger.phase(PLAN, entries, 0), ledger.phase(PLAN, entries, 1)) == ("failed", "done")
    assert ledger.succeeded(PLAN, entries, 1, "wave")
    assert ledger.bad(entries) == ("c",)
    frozen = known("PROMOTED", "PROMOTED", "NEEDS_OPERATOR", "PROMOTED")
    assert ledger.phase(PLAN, frozen, 4) == "frozen"


@pytest.mark.parametrize("part", ["rollback", "reconcile"])
def test_hosts_that_went_back_are_what_a_rollback_is_for(part: str) -> None:
    assert ledger.succeeded(PLAN, known("ROLLED_BACK", "ROLLED_BACK", None, "PASSED"), 0, part)
    for doubt in ("UNKNOWN", "HELD", "FAILED", "NEEDS_OPERATOR", "IN_PROGRESS"):
        assert not ledger.succeeded(PLAN, known("ROLLED_BACK", doubt), 0, part)


@given(st.lists(st.none() | st.sampled_from(states.STATES), min_size=4, max_size=4), st.integers(0, 4))
def test_every_fleet_has_a_phase_and_a_next_step(found: list[str | None], budget: int) -> None:
    entries = known(*found)
    phase = ledger.phase(PLAN, entries, budget)
    assert phase in ("done", "soaking", "failed", "frozen", "unfinished")
    bad = sum(word in states.BAD for word in found)
    assert (phase in ("failed", "frozen")) == (bad > budget or states.NEEDS_OPERATOR in found)
    assert phase != "done" or not {None, *found} & {"SOAKING", "PASSED", "IN_PROGRESS"}
    said = ledger.next_step(PLAN, entries, "-e vvtv_rollout_id=X", budget)
    assert said
    assert (phase == "done") == ("nothing is left" in said)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((), "go on with ansible-playbook vvtv.runbook.canary -e id"),
        (("SOAKING",), "when the soaks have ended: ansible-playbook vvtv.runbook.collect -e id"),
        (("PASSED",), "the canaries have passed: ansible-playbook vvtv.runbook.promote -e id"),
        (("PROMOTED",) * 4, "nothing is left to do"),
        (("ROLLED_BACK",), "no further host is touched; a new candidate needs a new rollout"),
        (
            ("PROMOTED", "ROLLED_BACK"),
            "what has this one goes back with ansible-playbook",
        ),
        (("HELD",), "settle the hosts in doubt: ansible-playbook vvtv.runbook.reconcile -e id"),
        (("NEEDS_OPERATOR",), "mend the hosts that need an operator, then ansible-playbook"),
    ],
)
def test_what_to_do_next(found: tuple[str, ...], said: str) -> None:
    assert said in ledger.next_step(PLAN, known(*found), "-e id")


def test_a_row_says_what_the_record_says(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    lead(store, "a", "SOAKING", {"guard": {"armed": True}, "reason": "begins"})
    verdict = {"result": "FAIL", "reasons": [{"code": "qa"}]}
    store.append("a", "FAILED", {"verdict": verdict, "reason": "QA fell\nfar"})
    store.append("a", "ROLLED_BACK", {"rollback": {"release": "vvtv-1.3.0"}})
    first, second = ledger.rows(PLAN, store.all_entries(PLAN.hosts))[:2]
    assert (first.host, first.batch, first.state, first.verdict) == ("a", "canary", "ROLLED_BACK", "FAIL")
    assert (first.reason, first.rollback, first.guard) == (
        "QA fell far",
        {"release": "vvtv-1.3.0"},
        {"armed": True},
    )
    assert first.since == times.to_text(store.entries("a")[-1].at)
    assert second.result() == {
        "host": "b",
        "batch": "1",
        "state": "PLANNED",
        "since": None,
        "verdict": None,
        "reason": None,
        "rollback": None,
        "guard": None,
    }


# --- the end of a run ---


def rollout(outcome: Any) -> dict[str, Any]:
    found: dict[str, Any] = outcome.facts["rollout"]
    return found


@pytest.mark.parametrize("word", states.STATES)
@pytest.mark.parametrize("answers", [True, False])
def test_what_a_run_lost_is_unknown(tmp_path: Path, word: str, answers: bool) -> None:
    store = make_store(tmp_path)
    lead(store, "a", word)
    foretold = closing.close(store, ["a"] * answers, here(), check=True)
    assert state(store, "a") == word
    done = closing.close(store, ["a"] * answers, here())
    lost = not answers and word in ("IN_PROGRESS", "SOAKING", "FAILED")
    assert (done.changed, foretold.changed) == (lost, lost)
    assert state(store, "a") == ("UNKNOWN" if lost else word)
    if lost:
        assert rollout(done)["hosts"][0]["reason"] == (
            f"the run ended while it was {word}, and did not hear of it again"
        )
        assert store.entries("a")[-1].facts["was"] == word
    assert store.other_run(Run.of(os.getppid())) is None, "the rollout is free"
    assert not closing.close(store, [], here()).changed or word in ("IN_PROGRESS", "SOAKING", "FAILED")


def test_a_run_that_does_not_have_the_rollout_ends_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    lead(store, "a", "SOAKING")
    done = closing.close(store, [], Run.of(os.getppid()))
    assert (done.changed, state(store, "a")) == (False, "SOAKING")
    assert "has the rollout and goes on with it" in done.warnings[0]
    assert store.keep_lease(here(), 60)


def test_what_a_rollout_came_to(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    lead(store, "a", "PASSED")
    told = closing.tell(store)
    assert not told.changed
    assert rollout(told)["state"] == "unfinished"
    assert rollout(told)["ok"]
    assert rollout(told)["next"].endswith(
        f"vvtv.runbook.promote -e vvtv_rollout_id={ID} -e vvtv_record_dir={tmp_path}"
    )
    assert told.facts["plan"] == PLAN.result() | {"created_at": told.facts["plan"]["created_at"]}
    with pytest.raises(NotFound, match="no plan of rollout"):
        closing.tell(Store.of(tmp_path / "elsewhere", ID))
