# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not happen to a rollout, on nodes without systemd and without SSH, and so on both cores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.integration.rollout_cases import RolloutCases
from tests.integration.rollout_records import FORMER

from .rollout_ground import Ground, ground

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("cases"), 4) as field:
        yield field


@pytest.fixture
def rollout(field: Ground) -> Iterator[str]:
    """An id of this test's own; what it left undone is rolled back, so that the next one finds all well."""
    rollout = f"20260131T13{next(_NUMBERS):02}00Z-cases"
    field.given["vvtv_rollout_id"] = rollout
    yield rollout
    field.choose_canaries(field.hosts[0])
    for host in field.hosts:
        field.fault(host)
    if set(field.store(rollout).last().values()) - {"ROLLED_BACK"}:
        field.play("rollback", vvtv_reason="the test is over")
    assert set(field.running().values()) == {FORMER}


class TestSimulated(RolloutCases):
    """All of them; see there."""
