# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases: one holder at a time, until they end or are broken with a reason that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Busy, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import lease
from tests.unit.core.conftest import ME
from tests.unit.core.nodes import Clock

PATH = "lease.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands until it is moved."""
    return Clock(monkeypatch)


def test_it_is_taken_prolonged_and_given_back(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / PATH
    assert lease.find(path) is None
    first = lease.take(path, "one", "anna", 60, ME)
    clock.forward(seconds=30)
    again = lease.take(path, "one", "bert", 60, ME)
    assert (again.since, again.expires_at) == (first.since, first.expires_at + (clock.now - first.since))
    assert lease.find(path) == again
    assert not lease.give_back(path, "two")
    assert lease.give_back(path, "one")
    assert not lease.give_back(path, "one")
    assert list(tmp_path.iterdir()) == []


def test_another_is_refused_until_it_is_over(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / PATH
    lease.take(path, "one", "anna", 60, ME)
    clock.forward(seconds=59)
    said = f"rollout one of anna has it until {clock.text(seconds=1)}; finish or roll back that one"
    with pytest.raises(Busy, match=said.replace("+", ".")):
        lease.take(path, "two", "bert", 60, ME)
    with pytest.raises(Busy):
        lease.take(path, "two", "bert", 60, ME, "  ")
    clock.forward(seconds=1)
    taken = lease.take(path, "two", "bert", 60, ME)
    assert (taken.what, taken.since, taken.broken) == ("two", clock.now, None)


def test_it_can_be_broken_with_a_reason_that_is_kept(tmp_path: Path) -> None:
    path = tmp_path / PATH
    lease.take(path, "one", "anna", 60, ME)
    lease.take(path, "two", "bert", 60, ME, "anna is\nill")
    found = lease.find(path)
    assert found is not None
    assert (found.what, found.holder, found.broken) == ("two", "bert", "anna is ill")


def test_where_the_holder_counts_the_same_rollout_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / PATH
    lease.take(path, "one", "run 1", 60, ME, same_holder=False)
    lease.take(path, "one", "run 1", 60, ME, same_holder=False)
    with pytest.raises(Busy, match="of run 1 has it"):
        lease.take(path, "one", "run 2", 60, ME, same_holder=False)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), lease.MAX_SECONDS + 1])
def test_its_time_is_bounded(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(BadInput, match="a lease must last"):
        lease.take(tmp_path / PATH, "one", "anna", seconds, ME)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "data", [b"", b"7", b"{}", b'{"what": 1', b"[" * 9999, b'{"broken": null, "what": "x"}']
)
def test_anything_else_is_damage_and_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / PATH
    path.write_bytes(data)
    with pytest.raises(Damaged, match="is no lease; look at it, then remove it"):
        lease.take(path, "one", "anna", 60, ME, "because")
    assert path.read_bytes() == data
