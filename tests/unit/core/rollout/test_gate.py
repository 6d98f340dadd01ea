# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate before each host's turn: over the whole fleet, from the record, closed when in doubt."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged, NotFound
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import promotion, states
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.gate import (
    Ask,
    GateClosed,
    ask_batch,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store
from tests.unit.core.rollout.bases import ID, WAYS, here, lead, make_plan, make_store, state

HOSTS = ("a", "b", "c", "d")  # a is the canary; b is the first wave, c and d are the second


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose plan was promoted."""
    made = make_store(tmp_path)
    promotion.decide(made, made.require_plan(), [], {}, "tester", check=False)
    return made


def ask(store: Store, host: str, check: bool = False, **given: Any) -> Outcome:
    """Ask for a host's turn, as a play over all hosts does."""
    return ask_batch(store, host, Ask(**{"run": here(), "play_hosts": HOSTS, **given}), check)


def codes(store: Store, host: str, **given: Any) -> list[str]:
    """Return why the gate is closed; nothing when it is open."""
    try:
        told = ask(store, host, **given)
    except GateClosed as closed:
        assert closed.facts["gate"]["proceed"] is False
        assert closed.result()["reasons"] == closed.facts["gate"]["reasons"] == closed.reasons
        return [reason["code"] for reason in closed.reasons]
    assert told.facts["gate"]["proceed"] is True
    return []


def test_the_first_turn_may_begin(store: Store) -> None:
    told = ask(store, "a")
    assert told.facts["gate"] == {
        "proceed": True,
        "reasons": [],
        "states": dict.fromkeys(HOSTS, "PLANNED"),
        "budget": 0,
        "bad": [],
    }
    assert not told.changed


def test_waves_follow_when_the_batches_before_are_good(store: Store) -> None:
    lead(store, "a", "PROMOTED")
    assert codes(store, "b") == []
    lead(store, "b", "PASSED")
    assert codes(store, "c") == codes(store, "d") == []


def test_waves_need_the_promotion(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    lead(store, "a", "PASSED")
    assert codes(store, "a") == []
    assert codes(store, "b") == ["not_promoted"]
    plan = store.require_plan()
    promotion.decide(store, plan, [], {}, "tester", check=False)
    assert codes(store, "b") == []
    promotion.decide(store, plan, [{"code": "alarm"}], {}, "tester", check=False)
    assert codes(store, "b") == ["not_promoted"], "the newest word counts"


@pytest.mark.parametrize("word", ["PLANNED", "IN_PROGRESS", "SOAKING", "FAILED", "UNKNOWN"])
def test_a_host_that_was_lost_in_an_earlier_batch_is_unknown(store: Store, word: str) -> None:
    lead(store, "a", word)
    assert codes(store, "b", check=True) == (["bad_host"] if word in states.BAD else [])
    assert state(store, "a") == word
    assert codes(store, "b") == ["bad_host"]
    assert state(store, "a") == "UNKNOWN"
    assert codes(store, "b", budget=1) == []


def test_a_silent_host_is_unknown_and_the_budget_lets_the_rollout_go_past_it(store: Store) -> None:
    lead(store, "a", "PROMOTED")
    told = ask(store, "b", silent=True, budget=1)
    gate = told.facts["gate"]
    assert (gate["proceed"], gate["reasons"], gate["bad"], told.changed) == (False, [], ["b"], True)
    again = ask(store, "b", silent=True, budget=1)
    assert (again.facts["gate"]["proceed"], again.changed) == (False, False)
    assert codes(store, "c", budget=1) == []
    assert codes(store, "c") == ["bad_host"]
    assert codes(store, "b", budget=1) == [], "when it answers again it is its turn"


def test_silent_hosts_beyond_the_budget_close_the_gate(store: Store) -> None:
    lead(store, "a", "PROMOTED")
    with pytest.raises(GateClosed, match="b is UNKNOWN"):
        ask(store, "b", silent=True)
    assert state(store, "b") == "UNKNOWN"
    ask(store, "c", silent=True, budget=2)
    with pytest.raises(GateClosed):
        ask(store, "d", silent=True, budget=2)


@pytest.mark.parametrize("word", ["PASSED", "PROMOTED", "HELD", "ROLLED_BACK"])
def test_a_silent_host_that_has_had_its_turn_keeps_its_state(store: Store, word: str) -> None:
    lead(store, "a", "PROMOTED")
    lead(store, "b", word)
    told = ask(store, "b", silent=True, budget=1)
    assert (state(store, "b"), told.facts["gate"]["proceed"], told.changed) == (word, False, False)


@pytest.mark.parametrize("word", states.BAD)
def test_every_bad_host_counts_over_all_batches(store: Store, word: str) -> None:
    for host in "abc":
        lead(store, host, "PROMOTED")
    store.append("b", "FAILED", {"reason": "later"})
    lead(store, "d", word)
    said = codes(store, "c")
    assert set(said) <= {"bad_host", "frozen"}
    assert len(said) == 2
    own = codes(store, "c", budget=2)
    assert own == (["frozen"] if word == "NEEDS_OPERATOR" else [])


@pytest.mark.parametrize("word", states.STATES)
def test_a_hosts_own_state_does_not_close_its_gate_unless_it_is_frozen(store: Store, word: str) -> None:
    lead(store, "a", word)
    assert codes(store, "a") == (["frozen"] if word == "NEEDS_OPERATOR" else [])


def test_the_others_of_a_batch_close_it(store: Store) -> None:
    for host in "ab":
        lead(store, host, "PROMOTED")
    lead(store, "c", "ROLLED_BACK", {"reason": "QA fell"})
    with pytest.raises(GateClosed, match=r"may not go on: c is ROLLED_BACK \(QA fell\)"):
        ask(store, "d")


def test_without_waiting_a_soaking_batch_is_no_failure(store: Store) -> None:
    lead(store, "a", "PROMOTED")
    lead(store, "b", "SOAKING")
    told = ask(store, "c", wait=False)
    assert told.facts["gate"]["proceed"] is False
    assert told.facts["gate"]["reasons"] == [{"code": "soaking", "reason": "b still soaks", "host": "b"}]
    assert (told.changed, state(store, "b")) == (False, "SOAKING")


def test_without_waiting_batches_that_never_began_are_not_lost(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_plan(waves=[1, 2, "100%"]))
    promotion.decide(store, store.require_plan(), [], {}, "tester", check=False)
    lead(store, "a", "PROMOTED")
    lead(store, "b", "SOAKING")
    assert ask(store, "d", wait=False).facts["gate"]["proceed"] is False
    assert state(store, "c") is None
    store.append("b", "PASSED")
    store.append("c", "IN_PROGRESS")
    assert codes(store, "d", wait=False) == ["bad_host"]
    assert state(store, "c") == "UNKNOWN"


def test_a_stopped_line_stops_everybody(store: Store) -> None:
    (store.base / "STOP").write_text("prime time")
    with pytest.raises(GateClosed, match="the line is stopped: .*STOP: prime time"):
        ask(store, "a")


def test_a_run_without_the_rollout_may_not_go_on(store: Store) -> None:
    assert codes(store, "a", run=Run.of(os.getppid())) == ["lease"]
    assert codes(store, "a", run=Run.of(os.getppid()), check=True) == []
    store.give_lease_back(here())
    assert codes(store, "a") == ["lease"]


def test_a_limit_that_leaves_hosts_out_is_refused(store: Store) -> None:
    assert codes(store, "a", play_hosts=["a"]) == []
    assert codes(store, "a", play_hosts=["b", "c", "d"]) == ["limited"]
    lead(store, "a", "PROMOTED")
    lead(store, "b", "PROMOTED")
    assert codes(store, "c", play_hosts=["c", "d"]) == [], "whose turn is over may be left out"
    with pytest.raises(GateClosed, match="the play's hosts contradict the plan, which also has d"):
        ask(store, "c", play_hosts=["c"])


def test_a_stranger_has_no_turn(store: Store) -> None:
    with pytest.raises(BadInput, match="z is no host of rollout"):
        ask(store, "z")


def test_what_cannot_be_read_closes_it(store: Store) -> None:
    store.host_file("d").parent.mkdir(exist_ok=True)
    store.host_file("d").write_text("{}\n")
    with pytest.raises(Damaged, match="line 1 is no transition"):
        ask(store, "a")
    with pytest.raises(NotFound, match="no plan of rollout"):
        ask_batch(Store.of(store.base / "none", ID), "a", Ask(here()))


def test_many_reasons_are_bounded_in_words_and_whole_for_programs(tmp_path: Path) -> None:
    hosts = [f"h{number}" for number in range(30)]
    store = make_store(tmp_path, make_plan(hosts, waves=["100%"]))
    for host in hosts[1:]:
        lead(store, host, "UNKNOWN")
    with pytest.raises(GateClosed) as caught:
        ask(store, "h0", play_hosts=hosts)
    assert "and 21 more" in str(caught.value)
    assert len(caught.value.reasons) == 29


@given(
    st.lists(st.sampled_from(states.STATES), min_size=4, max_size=4),
    st.sampled_from(HOSTS),
    st.integers(0, 4),
    st.booleans(),
)
def test_it_is_never_open_beyond_the_budget_or_past_an_unfinished_batch(
    words: list[str], host: str, budget: int, wait: bool
) -> None:
    with tempfile.TemporaryDirectory() as base:
        store = make_store(Path(base))
        plan = store.require_plan()
        promotion.decide(store, plan, [], {}, "tester", check=False)
        for name, word in zip(HOSTS, words):
            lead(store, name, word)
        try:
            is_open = ask(store, host, budget=budget, wait=wait).facts["gate"]["proceed"]
        except GateClosed:
            is_open = False
        found = {name: state(store, name) for name in HOSTS}
        for name, word in zip(HOSTS, words):
            assert found[name] in (word, "UNKNOWN")
        if is_open:
            others = [name for name in HOSTS if name != host and found[name] in states.BAD]
            assert len(others) <= budget
            assert "NEEDS_OPERATOR" not in found.values()
            before = [name for batch in plan.batches[: plan.batch_of(host)] for name in batch]
            assert all(found[name] in ("PASSED", "PROMOTED", *states.BAD) for name in before)


def test_every_line_of_a_store_is_json_that_anybody_reads(store: Store) -> None:
    for host, word in zip(HOSTS, WAYS):
        lead(store, host, word)
    for path in store.path.rglob("*.jsonl"):
        for line in path.read_text().splitlines():
            assert isinstance(json.loads(line), dict)
