# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The append-only record: nothing that was said is lost, whatever is killed, torn or hostile."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Busy, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import record, states
from tests.integration.helpers import CHECKOUT
from tests.unit.core.rollout.bases import WAYS

FACTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-9, 9)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)

_WRITER = """
import sys
from pathlib import Path
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import record
path, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[3])):
    record.append(path, "IN_PROGRESS", {f"turn_{number}": turn, "long": "x" * 3000})
    print(turn, flush=True)
"""


def writer(path: Path, number: int, turns: int) -> subprocess.Popen[str]:
    """Another process that appends."""
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(number), str(turns)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "build/collections")},
    )


def go(process: subprocess.Popen[str]) -> None:
    """Let it begin."""
    assert process.stdin and process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


def by_eye(path: Path) -> list[dict[str, Any]]:
    """Read a record without our code."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_says_what_was_said_in_order(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    assert record.read(path) == ()
    for state in WAYS[states.ROLLED_BACK]:
        record.append(path, state, {"reason": state}, "operator@bastion")
    found = by_eye(path)
    assert [(line["v"], line["n"], line["state"]) for line in found] == [
        (1, 1, "IN_PROGRESS"),
        (1, 2, "FAILED"),
        (1, 3, "ROLLED_BACK"),
    ]
    assert {line["by"] for line in found} == {"operator@bastion"}
    entries = record.read(path)
    assert [entry.result() for entry in entries] == [
        {name: value for name, value in line.items() if name != "v"} for line in found
    ]
    assert (record.last(entries), record.fact(entries, "reason")) == ("ROLLED_BACK", "ROLLED_BACK")
    assert record.fact(entries, "nothing") is None
    assert path.stat().st_mode & 0o777 == 0o644


def test_saying_the_same_again_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    assert record.append(path, "IN_PROGRESS", {"a": 1})
    assert record.append(path, "IN_PROGRESS", {"b": (1, 2)})
    before = path.read_bytes()
    for facts in ({"a": 1}, {"b": [1, 2]}, {"a": 1, "b": [1, 2]}, {}, None):
        assert record.append(path, "IN_PROGRESS", facts) is None
    assert path.read_bytes() == before
    assert record.append(path, "IN_PROGRESS", {"a": 2})
    assert record.append(path, "IN_PROGRESS", {"a": 1}), "the newest word counts"


def test_a_former_states_facts_are_not_the_present_ones(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record.append(path, "IN_PROGRESS", {"a": 1})
    record.append(path, "SOAKING")
    entries = record.read(path)
    assert not record.known(entries, "SOAKING", {"a": 1})
    assert not record.known(entries, "IN_PROGRESS", {"a": 1})
    assert record.known(entries, "SOAKING", {})
    assert record.append(path, "SOAKING", {"a": 1})
    assert [entry.number for entry in record.present(record.read(path))] == [2, 3]


def test_what_may_not_follow_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with pytest.raises(record.OutOfTurn, match="the node is not in this rollout: it cannot become PASSED"):
        record.append(path, "PASSED")
    record.append(path, "IN_PROGRESS")
    before = path.read_bytes()
    with pytest.raises(record.OutOfTurn, match="the node is IN_PROGRESS: it cannot become PROMOTED"):
        record.append(path, "PROMOTED")
    assert path.read_bytes() == before


@given(st.data())
def test_a_torn_end_is_no_line_and_the_next_writer_removes_it(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, said = Path(folder) / "record.jsonl", []
        for turn in range(data.draw(st.integers(1, 4))):
            facts = {**data.draw(FACTS), "turn": turn}
            assert record.append(path, "IN_PROGRESS", facts)
            said.append(json.loads(json.dumps(facts)))
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert [entry.facts for entry in record.read(path)] == said[:kept]
        assert record.append(path, "IN_PROGRESS", {"turn": "after"})
        assert [entry.facts for entry in record.read(path)] == [*said[:kept], {"turn": "after"}]
        assert [line["n"] for line in by_eye(path)] == list(range(1, kept + 2))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_damaged(data: bytes) -> None:
    try:
        entries = record._entries(data, Path("/record"))
    except Damaged:
        return
    assert len(entries) == data.count(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"7",
        b"not json",
        b'{"v":2,"n":1,"at":"2026-01-31T00:00:00Z","state":"PLANNED","by":"a","facts":{}}',
        b'{"v":1,"n":2,"at":"2026-01-31T00:00:00Z","state":"PLANNED","by":"a","facts":{}}',
        b'{"v":1,"n":1,"at":"yesterday","state":"PLANNED","by":"a","facts":{}}',
        b'{"v":1,"n":1,"at":7,"state":"PLANNED","by":"a","facts":{}}',
        b'{"v":1,"n":1,"at":"2026-01-31T00:00:00Z","state":"DONE","by":"a","facts":{}}',
        b'{"v":1,"n":1,"at":"2026-01-31T00:00:00Z","state":["PLANNED"],"by":"a","facts":{}}',
        b'{"v":1,"n":1,"at":"2026-01-31T00:00:00Z","state":"PLANNED","by":7,"facts":{}}',
        b'{"v":1,"n":1,"at":"2026-01-31T00:00:00Z","state":"PLANNED","by":"a","facts":[]}',
        b"[" * 100_000,
    ],
)
def test_a_finished_line_that_is_none_of_ours_is_damage(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "record.jsonl"
    path.write_bytes(line + b"\n")
    for look in (record.read, lambda at: record.append(at, "IN_PROGRESS")):
        with pytest.raises(Damaged, match="line 1 is no transition"):
            look(path)
    assert path.read_bytes() == line + b"\n"


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "record.jsonl", tmp_path / "elsewhere"
    elsewhere.write_text("")
    path.symlink_to(elsewhere)
    for look in (record.read, lambda at: record.append(at, "IN_PROGRESS")):
        with pytest.raises(Exception, match="symbolic link") as caught:
            look(path)
        assert hasattr(caught.value, "code")
    assert elsewhere.read_bytes() == b""
    path.unlink()
    path.write_bytes(b"x" * (record.MAX_BYTES + 1))
    for look in (record.read, lambda at: record.append(at, "IN_PROGRESS")):
        with pytest.raises(Damaged, match="larger than"):
            look(path)


def test_facts_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with pytest.raises(Exception, match="facts must stay below 65536 bytes"):
        record.append(path, "IN_PROGRESS", {"a": "x" * record.MAX_LINE})
    assert record.read(path) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x"])
def test_facts_that_json_cannot_hold_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(BadInput, match="facts cannot be kept as JSON"):
        record.append(tmp_path / "record.jsonl", "IN_PROGRESS", {"a": [value]})
    assert list(tmp_path.iterdir()) == []


def test_a_full_record_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.jsonl"
    record.append(path, "IN_PROGRESS")
    monkeypatch.setattr(record, "MAX_BYTES", path.stat().st_size + 10)
    with pytest.raises(Damaged, match="the record is full"):
        record.append(path, "SOAKING")
    assert record.last(record.read(path)) == "IN_PROGRESS"


def test_a_full_disk_leaves_the_record_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "record.jsonl", os.pwrite
    record.append(path, "IN_PROGRESS")
    before = path.read_bytes()
    monkeypatch.setattr(os, "pwrite", lambda at, data, offset: write(at, data[:10], offset))
    with pytest.raises(Exception, match="No space left") as caught:
        record.append(path, "SOAKING")
    assert getattr(caught.value, "code", None) == "disk_full"
    assert path.read_bytes() == before


def test_answers_of_a_node_are_read_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    for state in WAYS[states.PASSED]:
        record.append(path, state, {"a": state})
    told = json.loads(json.dumps([entry.result() for entry in record.read(path)]))
    assert record.of_results(told, path) == record.read(path)
    for hostile in (
        [7],
        ["x"],
        [{}],
        told[1:],
        [{**told[0], "n": "1"}],
        [{**told[0], "facts": float("nan")}],
    ):
        with pytest.raises(Damaged):
            record.of_results(hostile, path)


def test_a_writer_that_does_not_end_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record.append(path, "IN_PROGRESS")
    with path.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="somebody else writes the record"):
            record.append(path, "SOAKING", timeout=0.1)


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    together = [writer(path, number, 20) for number in range(4)]
    for process in together:
        go(process)
    for process in together:
        process.communicate()
        assert process.returncode == 0
    found = by_eye(path)
    assert [line["n"] for line in found] == list(range(1, 81))
    for number in range(4):
        assert [
            line["facts"][f"turn_{number}"] for line in found if f"turn_{number}" in line["facts"]
        ] == list(range(20))


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment_what_was_said_to_be_written_is(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "record.jsonl"
    chance = random.Random(seed)  # noqa: S311
    with writer(path, 0, 100_000) as process:
        go(process)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        assert process.stdout
        heard = process.stdout.read().splitlines()
    told = [int(word) for word in heard if word.isdecimal()]
    turns = [entry.facts["turn_0"] for entry in record.read(path)]
    assert turns == list(range(len(turns)))
    assert len(turns) >= len(told), "an append that returned is on disk"
    assert record.append(path, "SOAKING" if turns else "IN_PROGRESS")
    assert [line["n"] for line in by_eye(path)] == list(range(1, len(turns) + 2))


def test_who_writes_has_a_name_even_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert record.who().startswith(f"uid{os.geteuid()}@")
