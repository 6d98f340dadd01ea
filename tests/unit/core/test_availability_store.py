# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of availability samples: what is appended is read back, and nothing else is lost or believed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import availability_store as store
from ansible_collections.vvtv.runbook.plugins.module_utils._core import errors
from ansible_collections.vvtv.runbook.plugins.module_utils._core.availability import AvailabilitySample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
MONTH_AGO = NOON - timedelta(days=31)
DAY = timedelta(days=1)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node without anything in it."""
    return Node.at(tmp_path)


def sample(seconds: float = 0, good: bool = True, **more: Any) -> AvailabilitySample:
    """A sample so many seconds after noon."""
    return AvailabilitySample(NOON + timedelta(seconds=seconds), good, 60, **more)


def day_file(node: Node, instant: datetime = NOON) -> Path:
    """Where a sample of that instant is."""
    return node.root / "runtime/slo" / f"{instant:%Y-%m-%d}.jsonl"


def known(node: Node, now: datetime = NOON + DAY, since: datetime = MONTH_AGO) -> list[AvailabilitySample]:
    """What a reader gets."""
    return list(store.History(node, now).samples(since))


def test_what_is_appended_is_read_back(node: Node) -> None:
    full = sample(1, False, reasons=("api_refused", "x"), state="EMERGENCY", buffer=118, latency_ms=3.25)
    assert store.append(node, sample()).path == day_file(node)
    store.append(node, full)
    assert known(node) == [sample(), full]
    lines = [json.loads(line) for line in day_file(node).read_text().splitlines()]
    assert lines[1] == {
        "ts": "2026-11-24T12:00:01.000000Z",
        "available": False,
        "interval": 60,
        "reasons": ["api_refused", "x"],
        "state": "EMERGENCY",
        "buffer": 118,
        "latency_ms": 3.25,
    }


def test_the_store_is_private(node: Node) -> None:
    store.append(node, sample())
    folder = day_file(node).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    owner = (node.root.stat().st_uid, node.root.stat().st_gid)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (folder, *folder.iterdir())} == {owner}


def test_each_day_in_utc_has_its_file(node: Node) -> None:
    evening = datetime(2026, 11, 24, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    store.append(node, sample())
    store.append(node, AvailabilitySample(evening, True, 60))
    assert [path.name for path in sorted(day_file(node).parent.glob("*.jsonl"))] == [
        "2026-11-24.jsonl",
        "2026-11-25.jsonl",
    ]
    assert len(known(node, NOON + 9 * DAY)) == 2


def test_reading_a_node_without_samples_makes_nothing(node: Node) -> None:
    history = store.History(node, NOON)
    assert history.first() is None
    assert list(history.samples(MONTH_AGO)) == []
    assert list(node.root.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 160, 7))
def test_a_torn_last_line_is_no_sample_and_the_next_append_cuts_it_off(node: Node, cut: int) -> None:
    store.append(node, sample())
    before = day_file(node).read_bytes()
    torn = store.to_line(sample(60, reasons=("something", "else")))[:-1][:-cut]
    with day_file(node).open("ab") as file:
        file.write(torn)
    history = store.History(node, NOON + DAY)
    assert list(history.samples(MONTH_AGO)) == [sample()]
    assert history.malformed == 0
    store.append(node, sample(120))
    assert day_file(node).read_bytes() == before + store.to_line(sample(120))


def test_a_whole_last_line_without_its_end_is_kept(node: Node) -> None:
    store.append(node, sample())
    with day_file(node).open("ab") as file:
        file.write(store.to_line(sample(60))[:-1])
    assert known(node) == [sample(), sample(60)]
    store.append(node, sample(120))
    assert known(node) == [sample(), sample(60), sample(120)]


@pytest.mark.parametrize("tail", [b"\0" * 300, b"\0" * 5000, b"x" * 5000])
def test_whatever_a_crash_left_at_the_end_no_sample_is_lost(node: Node, tail: bytes) -> None:
    store.append(node, sample())
    with day_file(node).open("ab") as file:
        file.write(tail)
    store.append(node, sample(60))
    store.append(node, sample(120))
    assert known(node) == [sample(), sample(60), sample(120)]


LINE = store.to_line(sample()).decode().strip()
HOSTILE = [
    "",
    "{",
    "[]",
    "null",
    "[" * 1000,
    '"' + "x" * 100_000 + '"',
    LINE.replace("true", '"true"'),
    LINE.replace("true", "1"),
    LINE.replace("2026-11-24", "2026-11-23"),
    LINE.replace("2026-11-24T12", "yesterday"),
    LINE.replace('"interval":60', '"interval":0'),
    LINE.replace('"interval":60', '"interval":1e300'),
    LINE.replace('"interval":60', '"interval":NaN'),
    LINE.replace('"interval":60', '"interval":' + "9" * 400),
    LINE.replace('"interval":60', '"interval":true'),
    LINE.replace('"interval":60,', ""),
    LINE.replace('"buffer":null', '"buffer":"60"'),
    LINE.replace('"reasons":[]', '"reasons":{}'),
    LINE.replace('"reasons":[]', '"reasons":' + json.dumps(["x"] * 17)),
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_line_that_is_no_sample_of_its_day_is_counted_and_the_others_count(node: Node, line: str) -> None:
    store.append(node, sample())
    with day_file(node).open("a") as file:
        file.write(line + "\n")
    store.append(node, sample(60))
    history = store.History(node, NOON + DAY)
    assert list(history.samples(MONTH_AGO)) == [sample(), sample(60)]
    assert history.malformed == 1
    assert history.first() == NOON


def test_fields_of_a_later_version_are_passed_over(node: Node) -> None:
    store.append(node, sample())
    day_file(node).write_text(LINE[:-1] + ',"new":{"a":[1]}}\n')
    assert known(node) == [sample()]


def test_a_line_is_never_longer_than_its_bound(node: Node) -> None:
    awkward = sample(0, reasons=tuple("\x01é" * 50 + str(number) for number in range(50)), state="\x01" * 900)
    line = store.to_line(awkward)
    assert len(line) <= store.MAX_LINE_BYTES
    store.append(node, awkward)
    assert len(known(node)) == 1


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_no_file_is_neither_written_nor_read(node: Node, tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    day_file(node).parent.mkdir(parents=True)
    if kind == "folder":
        day_file(node).mkdir()
    elif kind == "link":
        day_file(node).symlink_to(elsewhere)
    else:
        os.mkfifo(day_file(node))
    with pytest.raises(errors.RunbookError, match=str(day_file(node))):
        store.append(node, sample())
    with pytest.raises(errors.RunbookError, match=str(day_file(node))):
        known(node)
    assert elsewhere.read_text() == "untouched"


def test_a_day_has_a_bounded_size(node: Node) -> None:
    store.append(node, sample())
    os.truncate(day_file(node), store.MAX_DAY_BYTES)
    with day_file(node).open("ab") as file:
        file.write(b"x\n")
    with pytest.raises(errors.Unsupported, match="sample less often"):
        store.append(node, sample(60))
    os.truncate(day_file(node), 2 * store.MAX_DAY_BYTES)
    with pytest.raises(errors.Damaged, match="too large"):
        known(node)


@pytest.mark.parametrize("written", [0, 1, 50])
def test_a_disk_that_is_full_leaves_the_store_as_it_was(
    node: Node, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    store.append(node, sample())
    before = day_file(node).read_bytes()
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:written], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(errors.RunbookError, match=str(day_file(node))) as caught:
        store.append(node, sample(60))
    assert caught.value.code == ("system" if written else "disk_full")
    assert day_file(node).read_bytes() == before
    monkeypatch.undo()
    store.append(node, sample(60))
    assert known(node) == [sample(), sample(60)]


def test_who_waits_too_long_for_another_writer_is_told(node: Node) -> None:
    store.append(node, sample())
    with (day_file(node).parent / ".lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(errors.Busy, match="another process is writing the samples"):
            store.append(node, sample(60), timeout=0.1)
        assert known(node) == [sample()]  # reading waits for nobody
    store.append(node, sample(60), timeout=0)


# --- pruning ---


def make_days(node: Node, *ages: int) -> None:
    """Put a sample on each of the days so many days before noon's."""
    for age in ages:
        store.append(node, AvailabilitySample(NOON - age * DAY, True, 60), store.MAX_KEEP_DAYS)


def ages(node: Node) -> list[int]:
    """The days that are there, by their age."""
    names = [path.stem for path in day_file(node).parent.glob("*.jsonl")]
    return sorted((NOON.date() - datetime.fromisoformat(name).date()).days for name in names)


def test_days_older_than_asked_for_go(node: Node) -> None:
    make_days(node, 41, 40, 39, 1)
    pruned = store.append(node, sample()).pruned
    assert pruned == [day_file(node, NOON - 41 * DAY)]
    assert ages(node) == [0, 1, 39, 40]
    assert len(store.append(node, sample(1), keep_days=1).pruned) == 2
    assert ages(node) == [0, 1]


def test_only_files_of_samples_go(node: Node) -> None:
    make_days(node, 100, 1)
    others = [day_file(node).with_name(name) for name in ("notes.txt", "2020-99-99.jsonl", "2020-01-01.json")]
    for other in others:
        other.write_text("kept")
    store.append(node, sample())
    assert all(other.exists() for other in others)
    assert not day_file(node, NOON - 100 * DAY).exists()


def test_a_clock_that_jumps_ahead_does_not_take_the_history_with_it(node: Node) -> None:
    make_days(node, 3, 2, 1, 0)
    assert store.append(node, AvailabilitySample(NOON + 9999 * DAY, True, 60)).pruned == []
    assert store.append(node, AvailabilitySample(NOON + 9999 * DAY, True, 60)).pruned == []
    assert store.append(node, sample(60)).pruned == []
    assert len(known(node)) == 5


def test_keep_days_is_a_number_of_days(node: Node) -> None:
    for days in (0, -1, 3661):
        with pytest.raises(errors.BadInput, match="keep_days"):
            store.append(node, sample(), keep_days=days)
    assert not day_file(node).parent.exists()


# --- reading ---


def test_samples_come_in_the_order_of_time_and_those_of_the_future_not_at_all(node: Node) -> None:
    for seconds in (60, 0, 120, -86400, 86400, 7200):
        store.append(node, sample(seconds, reasons=("late",) if seconds == 60 else ()))
    history = store.History(node, NOON + timedelta(seconds=120))
    assert [one.at for one in history.samples(MONTH_AGO)] == [
        NOON + timedelta(seconds=seconds) for seconds in (-86400, 0, 60, 120)
    ]
    assert (history.taken, history.future, history.malformed) == (4, 2, 0)
    assert history.last == sample(120)
    assert history.reasons == {"late": 1}
    assert history.first() == NOON - DAY


def test_the_first_sample_of_all_is_known_when_older_days_are_left_out(node: Node) -> None:
    make_days(node, 39, 20, 1)
    history = store.History(node, NOON)
    assert history.first() == NOON - 39 * DAY
    assert len(list(history.samples(NOON - 2 * DAY))) == 1


@given(
    st.lists(
        st.builds(
            sample,
            st.floats(-80_000, 80_000),
            st.booleans(),
            reasons=st.lists(st.text(max_size=70), max_size=18).map(tuple),
            state=st.one_of(st.none(), st.text(max_size=70)),
            buffer=st.one_of(st.none(), st.integers(-5, 10**6)),
            latency_ms=st.one_of(st.none(), st.floats(0, 1e9)),
        ),
        max_size=8,
    )
)
def test_any_samples_are_read_back_but_for_what_is_cut(
    tmp_path_factory: pytest.TempPathFactory, samples: list[AvailabilitySample]
) -> None:
    node = Node.at(tmp_path_factory.mktemp("store"))
    for one in samples:
        store.append(node, one)
    found = known(node)
    assert [(one.at, one.available) for one in found] == [
        (one.at, one.available) for one in sorted(samples, key=lambda one: one.at)
    ]


@given(st.binary(max_size=300))
def test_any_line_is_a_sample_or_our_error(line: bytes) -> None:
    try:
        store.of_line(line)
    except errors.BadInput:
        return
