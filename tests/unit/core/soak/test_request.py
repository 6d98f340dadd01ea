# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a soak may be asked for, and its frozen form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import request
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak.limits import Limits, limits_of
from tests.unit.core.conftest import ME

from .soaks import START, asked, limits


@pytest.mark.parametrize(
    ("plan", "first", "last", "due"),
    [
        ({}, 0, 60, 61),
        ({"hours": 2.0, "interval": 0.1, "warmup": 0.3}, 3, 72_003 - 3 + 3, 0),
        ({"warmup": 90.0}, 2, 61, 60),
        ({"warmup": 60.0}, 1, 61, 61),
        ({"max_samples": 10}, 0, 9, 10),
        ({"max_samples": 10, "warmup": 60.0}, 1, 10, 10),
        ({"max_samples": 1000}, 0, 60, 61),
        ({"hours": 0.001, "interval": 0.9}, 0, 4, 5),
        ({"hours": 0.1 * 3, "interval": 0.3 * 60}, 0, 60, 61),
    ],
)
def test_ticks(plan: dict[str, Any], first: int, last: int, due: int) -> None:
    if not due:
        with pytest.raises(BadInput, match="samples at most"):
            request.Plan(**plan)
        return
    made = request.Plan(**plan)
    assert (made.first_judged, made.last_tick, made.due()) == (first, last, due)
    assert made.due(0) == (1 if first == 0 else 0)
    assert made.due(1e9) == due


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hours": -1.0}, "hours"),
    ({"hours": float("nan")}, "hours"),
    ({"hours": 0.0}, "could never pass"),
    ({"hours": 24.0 * 40}, "31 days"),
    ({"interval": 0.0}, "interval"),
    ({"warmup": -1.0}, "warmup"),
    ({"warmup": float("inf")}, "warmup"),
    ({"max_samples": -1}, "max_samples"),
    ({"max_samples": 2}, "could never pass"),
    ({"limits": Limits(min_samples=100)}, "could never pass"),
    ({"hours": 24.0, "interval": 1.0}, "50000 samples"),
    ({"api_url": "ftp://x"}, "api_url"),
    ({"api_timeout": 0.0}, "api_timeout"),
]


@pytest.mark.parametrize(("plan", "message"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_is_refused(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        request.Plan(**plan)


WRONG_LIMITS: list[tuple[dict[str, Any], str]] = [
    ({"min_samples": 0}, "min_samples"),
    ({"min_samples": True}, "min_samples"),
    ({"min_samples": 2.0}, "min_samples"),
    ({"max_failures": -1}, "max_failures"),
    ({"max_errors": 10**9}, "max_errors"),
    ({"min_coverage": 1.1}, "min_coverage"),
    ({"min_coverage": float("nan")}, "min_coverage"),
    ({"slo_target": "0.9"}, "slo_target"),
    ({"no_cycle": "never"}, "no_cycle"),
    ({"max_failure": 1}, "max_failure'"),
    ({"checks": []}, "checks"),
    ({"checks": {"": {}}}, "checks"),
    ({"checks": {"X": {"most": 1}}}, "X may hold"),
    ({"checks": {"X": {"max_failures": "1"}}}, "X: max_failures"),
    ({"checks": {"X": {"mode": "ignore"}}}, "X: mode"),
    ({"checks": {"X": 3}}, "X may hold"),
]


@pytest.mark.parametrize(("given_ones", "message"), WRONG_LIMITS, ids=range(len(WRONG_LIMITS)))
def test_limits_that_cannot_be_are_refused(given_ones: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        limits_of(given_ones)


def test_limits_of_a_check_fall_back() -> None:
    one = limits(max_failures=5, max_consecutive_failures=2, checks={"X": {"max_failures": 9}, "Y": {}})
    assert (one.of("X"), one.of("Y"), one.of("Z")) == ((9, 9, "judge"), (5, 2, "judge"), (5, 2, "judge"))
    assert limits(max_failures=5).of("Z") == (5, 5, "judge")


# --- frozen ---


def test_a_frozen_request_is_the_same(tmp_path: Path) -> None:
    wanted = asked(
        limits(checks={"X": {"mode": "observe"}}, max_consecutive_failures=3),
        thresholds=Thresholds(qa_floor=0.7),
        warmup=60.0,
    )
    assert request.find(tmp_path) is None
    request.write(tmp_path, wanted, ME)
    found = request.find(tmp_path)
    assert found == wanted
    assert found is not None
    assert found.scope.qa_history_until == START


def _changed(path: Path, keys: list[str], value: Any) -> None:
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(document))


SPOILT: list[tuple[list[str], Any]] = [
    (["v"], 2),
    (["attempt"], 0),
    (["attempt"], "1"),
    (["started_at"], "now"),
    (["node"], {}),
    (["node", "more"], "/x"),
    (["plan", "interval"], 0),
    (["plan", "interval"], "60"),
    (["plan", "hours"], None),
    (["plan", "thresholds", "qa_floor"], 7),
    (["plan", "thresholds", "other"], 7),
    (["plan", "scope", "newest"], 10**6),
    (["plan", "limits", "checks"], {"X": 1}),
    (["plan", "api_url"], "file:///etc/passwd"),
]


@pytest.mark.parametrize(("keys", "value"), SPOILT, ids=range(len(SPOILT)))
def test_a_spoilt_request_is_said_to_be_one(tmp_path: Path, keys: list[str], value: Any) -> None:
    request.write(tmp_path, asked(), ME)
    _changed(tmp_path / request.NAME, keys, value)
    with pytest.raises(Damaged) as caught:
        request.find(tmp_path)
    assert caught.value.path == str(tmp_path / request.NAME)


@given(st.binary(max_size=200))
def test_anything_else_is_no_request(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    soak = tmp_path_factory.mktemp("soak")
    (soak / request.NAME).write_bytes(data)
    with pytest.raises(Damaged):
        request.find(soak)


def test_a_link_is_no_request(tmp_path: Path) -> None:
    request.write(tmp_path, asked(), ME)
    (tmp_path / request.NAME).rename(tmp_path / "elsewhere")
    (tmp_path / request.NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged, match="symbolic link"):
        request.find(tmp_path)


def test_elapsed_ends_with_the_soak() -> None:
    wanted = replace(asked(), started_at=START)
    assert wanted.elapsed(START) == 0
    assert wanted.elapsed(wanted.window[1].replace(year=2027)) == 540
