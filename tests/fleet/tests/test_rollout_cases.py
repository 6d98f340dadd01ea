# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not happen to a rollout, over SSH on Debian 12 and 13."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.fleet import check
from tests.fleet import fleet as fleets
from tests.integration.rollout_cases import RolloutCases

from .rollout_fleet import RolloutFleet, one_rollout, rollouts

_MINUTES = itertools.count()


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    with fleets.up(4, releases=(12, 13), name="cases") as fleet, rollouts(fleet) as field:
        yield field


@pytest.fixture
def rollout(field: RolloutFleet) -> Iterator[str]:
    with one_rollout(field, f"20260131T16{next(_MINUTES):02}00Z-cases") as rollout:
        yield rollout


class TestOverSsh(RolloutCases):
    """All of them; see there."""
