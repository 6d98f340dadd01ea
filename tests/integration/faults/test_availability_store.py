# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` at every step of an append and in the middle of its write, and ten who append at once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import availability_store
from ansible_collections.vvtv.runbook.plugins.module_utils._core.availability import AvailabilitySample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.integration.faults.dying import KILLED, Child

DAY = "2026-11-24"
OLD_DAYS = ("2026-10-01", "2026-11-23")

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def append(root: Path, first: int, count: int) -> None:
    """Append ``count`` samples from ``first`` on, and say each number once it is stored."""
    at = Node.at(root)
    for number in range(first, first + count):
        sample = AvailabilitySample(
            NOON + timedelta(milliseconds=number), number % 2 == 0, 60, (f"n{number}",)
        )
        availability_store.append(at, sample, timeout=60)
        os.write(1, b"%d\n" % number)


def start(root: Path, first: int, count: int, kill_at: int = 0, how: str = "between") -> Child:
    """Start an appender, which dies at its ``kill_at``-th step; ``torn`` in the midst of what it writes."""
    return Child(lambda: append(root, first, count), kill_at, torn=how == "torn")


def run(root: Path, first: int, count: int, kill_at: int = 0, how: str = "between") -> tuple[int, list[int]]:
    """Run one to its end; return its status and the samples that it said were stored."""
    child = start(root, first, count, kill_at, how)
    out, errors = child.communicate()
    assert child.returncode is not None and child.returncode in (0, KILLED), errors
    return child.returncode, [int(line) for line in out.split()]


def stored(root: Path, torn: bool = False) -> list[int]:
    """Return the numbers in the store, with a reader that is not our code; only the last line may be torn."""
    path = root / f"runtime/slo/{DAY}.jsonl"
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    if torn and lines[-1]:
        lines[-1] = b""
    assert lines.pop() == b""
    return [int(json.loads(line)["reasons"][0][1:]) for line in lines]


def make_node(root: Path) -> Path:
    """Make a node with samples of two days before, one of which is too old to be kept."""
    folder = root / "runtime/slo"
    folder.mkdir(parents=True)
    for day in OLD_DAYS:
        (folder / f"{day}.jsonl").write_text("kept as it is\n")
    return root


@pytest.mark.parametrize("how", ["between", "torn"])
def test_killed_at_any_step_no_stored_sample_is_lost_and_the_next_append_mends(
    tmp_path: Path, how: str
) -> None:
    steps, status = 0, KILLED
    while status == KILLED:
        steps += 1
        root = make_node(tmp_path / f"node{steps}")
        assert run(root, 0, 1)[0] == 0
        # A line that somebody else's crash has torn is mended on the way, killed or not.
        with (root / f"runtime/slo/{DAY}.jsonl").open("a") as file:
            file.write('{"ts":"2026-11')
        status, acknowledged = run(root, 1, 3, steps, how)
        assert set(stored(root, torn=True)) >= {0, *acknowledged}
        assert run(root, 4, 1) == (0, [4])
        after = stored(root)
        assert set(after) >= {0, *acknowledged, 4}
        assert after == sorted(set(after))
        folder = {path.name for path in (root / "runtime/slo").iterdir()}
        assert folder == {".lock", "2026-11-23.jsonl", f"{DAY}.jsonl"}
        assert (root / "runtime/slo/2026-11-23.jsonl").read_text() == "kept as it is\n"
    assert steps > 20


def test_ten_at_once_lose_no_line(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    children = [start(tmp_path, first, 40) for first in range(0, 400, 40)]
    for child in children:
        out, errors = child.communicate()
        assert child.returncode == 0, errors
        assert len(out.split()) == 40
    assert sorted(stored(tmp_path)) == list(range(400))
    lines = subprocess.run(
        ["wc", "-l", tmp_path / f"runtime/slo/{DAY}.jsonl"], capture_output=True, text=True, check=True
    )
    assert lines.stdout.split()[0] == "400"


def test_ten_at_once_and_some_of_them_killed_lose_no_line_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    children = [start(tmp_path, first, 40) for first in range(0, 400, 40)]
    for child in children[::3]:
        time.sleep(random.uniform(0.0, 0.2))  # noqa: S311 - an instant, not a secret
        child.kill()
    acknowledged = [int(line) for child in children for line in child.communicate()[0].split()]
    assert {child.returncode for child in children} <= {0, KILLED}
    assert len(acknowledged) >= 240
    assert run(tmp_path, 400, 1) == (0, [400])
    assert set(stored(tmp_path)) >= {*acknowledged, 400}
