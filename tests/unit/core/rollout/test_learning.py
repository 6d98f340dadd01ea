# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Store and node learn from each other, whichever of them was killed, lost or could not be told."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Busy, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import (
    learning,
    promotion,
    record,
    states,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.learning import Learned
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store
from tests.unit.core.rollout.bases import DIGEST, ID, WAYS, here, lead_node, make_folder, make_store, state


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a plan."""
    return make_store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A node of that rollout."""
    return make_folder(tmp_path / "node")


def told(folder: Folder, **more: Any) -> dict[str, Any]:
    """What a node tells of itself, as it comes over the wire."""
    said = {"entries": [entry.result() for entry in record.read(folder.record)], **more}
    found: dict[str, Any] = json.loads(json.dumps(said))
    return found


def learn(store: Store, folder: Folder, **more: Any) -> Learned:
    return learning.learn(store, "a", told(folder, **more))


def history(store: Store) -> list[str]:
    """The states of the store's record, each once in a row."""
    found: list[str] = []
    for entry in store.entries("a"):
        if not found or found[-1] != entry.state:
            found.append(entry.state)
    return found


@pytest.mark.parametrize("word", states.STATES)
def test_a_lost_store_learns_all_that_the_node_knows(store: Store, folder: Folder, word: str) -> None:
    lead_node(folder, word, {"reason": "x"})
    learned = learn(store, folder)
    assert history(store) == list(WAYS[word])
    assert learned.warnings == []
    assert record.fact(store.entries("a"), "reason") == "x"
    assert store.node_file("a").read_bytes() == folder.record.read_bytes()
    before = store.host_file("a").read_bytes()
    assert learn(store, folder).actions == []
    assert store.host_file("a").read_bytes() == before


def test_the_store_learns_what_a_guard_did(store: Store, folder: Folder) -> None:
    lead_node(folder, "SOAKING")
    learn(store, folder)
    record.append(folder.record, "FAILED", {"reason": "the guard fired"}, "guard@node")
    record.append(folder.record, "ROLLED_BACK", {"rollback": {"healthy": True}}, "guard@node")
    learned = learn(store, folder)
    assert learned.actions == ["learned that a is FAILED", "learned that a is ROLLED_BACK"]
    last = store.entries("a")[-1]
    assert (last.state, last.by, last.facts["rollback"]) == ("ROLLED_BACK", "guard@node", {"healthy": True})
    assert last.facts["confirmed"]["n"] == 4


def test_bad_news_are_in_the_store_first_and_good_ones_are_not(store: Store) -> None:
    assert learning.announce(store, "a", "IN_PROGRESS", {"x": 1}, "me")
    assert not learning.announce(store, "a", "IN_PROGRESS", {"x": 1}, "me")
    assert not learning.announce(store, "a", "SOAKING", {}, "me")
    assert state(store, "a") == "IN_PROGRESS"
    assert learning.announce(store, "a", "FAILED", {}, "me")
    assert not learning.announce(store, "a", "HELD", {}, "me"), "the node decides what may not follow here"
    assert state(store, "a") == "FAILED"


def test_what_was_announced_and_then_noted_is_one_story(store: Store, folder: Folder) -> None:
    learning.announce(store, "a", "IN_PROGRESS", {"release_id": "r"}, "me")
    lead_node(folder, "IN_PROGRESS", {"release_id": "r"})
    assert learn(store, folder).actions == []
    entries = store.entries("a")
    assert [sorted(entry.facts) for entry in entries] == [["release_id"], ["confirmed"]]


def test_a_turn_that_never_began_is_planned_again(store: Store, folder: Folder) -> None:
    learning.announce(store, "a", "IN_PROGRESS", {}, "me")
    learned = learn(store, folder)
    assert history(store) == ["IN_PROGRESS", "UNKNOWN", "PLANNED"]
    assert "its turn never began" in learned.actions[0]


def test_a_host_that_was_not_reached_is_what_it_says_when_it_is(store: Store, folder: Folder) -> None:
    lead_node(folder, "SOAKING")
    learn(store, folder)
    store.append("a", "UNKNOWN", {"reason": "unreachable"})
    learned = learn(store, folder)
    assert state(store, "a") == "SOAKING"
    assert learned.actions == ["noted that a is SOAKING: the node says so itself"]
    store.append("a", "UNKNOWN", {"reason": "unreachable again"})
    record.append(folder.record, "PASSED", {"verdict": {"result": "PASS"}})
    record.append(folder.record, "PROMOTED")
    store.append("a", "UNKNOWN", {"reason": "x"})
    learn(store, folder)
    assert history(store)[-2:] == ["PASSED", "PROMOTED"]


def test_a_promoted_host_that_was_not_reached_is_promoted(store: Store, folder: Folder) -> None:
    lead_node(folder, "PASSED")
    learn(store, folder)
    record.append(folder.record, "PROMOTED")
    store.append("a", "UNKNOWN", {"reason": "x"})
    learn(store, folder)
    assert state(store, "a") == "PROMOTED"


@pytest.mark.parametrize("word", ["FAILED", "HELD"])
def test_bad_news_that_the_node_could_not_be_told_hold(store: Store, folder: Folder, word: str) -> None:
    lead_node(folder, "SOAKING")
    learn(store, folder)
    learning.announce(store, "a", word, {"reason": "x"}, "me")
    learned = learn(store, folder)
    assert state(store, "a") == word
    assert (
        f"the store says that a is {word}, the node says SOAKING; the store's word holds" in learned.warnings
    )
    record.append(folder.record, word, {"reason": "x"})
    assert learn(store, folder).warnings == []


@pytest.mark.parametrize("word", ["IN_PROGRESS", "SOAKING", "PASSED", "FAILED", "HELD", "NEEDS_OPERATOR"])
def test_a_node_that_lost_its_record_is_unknown_until_somebody_settles_it(
    store: Store, folder: Folder, word: str
) -> None:
    lead_node(folder, word)
    learn(store, folder)
    kept = folder.record.read_bytes()
    folder.record.unlink()
    learned = learn(store, folder)
    assert state(store, "a") == "UNKNOWN"
    assert f"a was {word} and has lost its record" in learned.warnings[0]
    (aside,) = store.node_file("a").parent.glob("a.lost-*.jsonl")
    assert aside.read_bytes() == kept
    for _turn in range(2):
        assert learn(store, folder).actions == []
        assert state(store, "a") == "UNKNOWN"
    record.append(folder.record, "IN_PROGRESS", {"again": True})
    learn(store, folder)
    assert state(store, "a") == "IN_PROGRESS"


@pytest.mark.parametrize("word", ["ROLLED_BACK", "PROMOTED"])
def test_an_end_stays_an_end_even_if_the_node_lost_its_record(
    store: Store, folder: Folder, word: str
) -> None:
    lead_node(folder, word)
    learn(store, folder)
    folder.record.unlink()
    assert "has lost its record" in learn(store, folder).warnings[0]
    assert state(store, "a") == word


def test_a_record_that_was_cut_or_rewritten_is_not_believed(store: Store, folder: Folder) -> None:
    lead_node(folder, "PASSED")
    learn(store, folder)
    whole = folder.record.read_bytes()
    folder.record.write_bytes(whole[: whole.index(b"\n") + 1])
    learn(store, folder)
    assert state(store, "a") == "UNKNOWN"
    learn(store, folder)
    assert state(store, "a") == "UNKNOWN", "what is left of it is not believed either"


def test_a_lost_copy_alone_changes_nothing(store: Store, folder: Folder) -> None:
    lead_node(folder, "PASSED")
    learn(store, folder)
    store.node_file("a").unlink()
    assert learn(store, folder).actions == []
    assert state(store, "a") == "PASSED"
    store.node_file("a").unlink()
    folder.record.unlink()
    learn(store, folder)
    assert state(store, "a") == "UNKNOWN", "the store knows that there was more"


def test_evidence_is_fetched_with_its_digests(store: Store, folder: Folder) -> None:
    lead_node(folder, "PASSED")
    texts = {"result.env": "status=PASS\n", "soak/summary.txt": "verdict=PASS\n", "../../etc/x": "y"}
    assert "fetched the evidence of a" in learn(store, folder, evidence=texts).actions
    assert learn(store, folder, evidence=texts).actions == []
    assert {path.name for path in store.evidence_dir("a").rglob("*") if path.is_file()} == {
        "result.env",
        "summary.txt",
    }
    assert set(record.fact(store.entries("a"), "evidence")) == {"result.env", "soak/summary.txt"}
    assert not (store.base.parent / "etc").exists()
    learn(store, folder, evidence={"result.env": 7, "soak/summary.txt": "x" * 99_999})
    assert store.evidence("a")["soak/summary.txt"] == b"verdict=PASS\n"


@pytest.mark.parametrize("entries", [[7], [{}], "x", [{"n": 2}]])
def test_a_node_that_talks_nonsense_teaches_nothing(store: Store, entries: Any) -> None:
    with pytest.raises(Damaged):
        learning.learn(store, "a", {"entries": entries})
    assert store.entries("a") == ()


def test_evidence_that_a_lost_store_learned_later_is_as_old_as_on_the_node(
    store: Store, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_node(folder, "PASSED", {"soak_sha256": DIGEST})
    now = times.now()
    monkeypatch.setattr(times, "now", lambda: now + timedelta(hours=30))
    learn(store, folder)
    passed = store.entries("a")[-1]
    assert passed.at - promotion._when(passed) >= timedelta(hours=29)


def test_another_live_run_keeps_its_rollout(store: Store) -> None:
    learning.require_free(store, here())
    with pytest.raises(Busy, match=f"has rollout {ID} until"):
        learning.require_free(store, Run.of(os.getppid()))
    store.give_lease_back(here())
    learning.require_free(store, Run.of(os.getppid()))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["node", "announce", "tell", "unknown", "learn", "kill"]),
        st.sampled_from(states.STATES),
    ),
    max_size=14,
)


@settings(max_examples=150)
@given(STEPS)
def test_whatever_happens_in_whatever_order_the_store_ends_with_the_nodes_word_or_worse(
    steps: list[tuple[str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as base:
        store, folder = make_store(Path(base) / "store"), make_folder(Path(base) / "node")
        folder.make()
        for act, word in steps:
            if act == "announce":
                learning.announce(store, "a", word, {}, "me")
            elif act == "unknown" and states.may_follow("UNKNOWN", state(store, "a")):
                store.append("a", "UNKNOWN", {"reason": "x"})
            elif act in ("node", "tell") and word not in learning.STORE_ONLY:
                with suppress(record.OutOfTurn):
                    record.append(folder.record, word, {"by": act})
            if act in ("tell", "learn"):
                learn(store, folder)
            elif act == "kill" and len(record.read(folder.record)) > 1:
                # Killed between two of what it learns: the copy is not there yet, the rest is.
                _learn_half(store, folder)
        learn(store, folder)
        before = store.host_file("a").read_bytes() if store.host_file("a").exists() else b""
        theirs, ours = record.last(record.read(folder.record)), state(store, "a")
        assert ours == theirs or ours in states.BAD or (theirs is None and ours == "PLANNED")
        learn(store, folder)
        after = store.host_file("a").read_bytes() if store.host_file("a").exists() else b""
        assert before == after, "learning the same again teaches nothing"


def _learn_half(store: Store, folder: Folder) -> None:
    entries = told(folder)["entries"]
    mirror = store.mirror("a")
    learning.learn(store, "a", {"entries": entries[:-1] if len(entries) - 1 >= len(mirror) else entries})
    if mirror:
        store.keep_mirror("a", mirror)
