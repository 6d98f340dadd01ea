# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet for all tests that need no other: a node of each Debian release."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.fleet import check
from tests.fleet import fleet as fleets
from tests.fleet.node import Node

from .rollout_fleet import RolloutFleet, one_rollout

# Its assertions tell what they compared, as those of a test's own file do.
pytest.register_assert_rewrite("tests.integration.rollout_cases")

_MINUTES = itertools.count()
#: These files take longest, so they begin first.
_LONG = (
    *("test_rollout_cases", "test_rollouts", "test_rollouts_lost_in_waves", "test_operations"),
    *("test_role_node", "test_rollback_guard", "test_broken", "test_broken_conditions"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[fleets.Fleet]:
    check.require()
    # Several processes may share the tests' files among them.
    name = f"selftest-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    with fleets.up(2, releases=(12, 13), name=name) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared_fleet: fleets.Fleet) -> fleets.Fleet:
    return shared_fleet


@pytest.fixture
def healed(shared_fleet: fleets.Fleet) -> Iterator[None]:
    """For tests that break something."""
    yield
    shared_fleet.heal()


@pytest.fixture(params=[12, 13])
def node(request: pytest.FixtureRequest, fleet: fleets.Fleet) -> Node:
    """The node of each release in turn."""
    return fleet.of_release(request.param)[0]


@pytest.fixture
def one(fleet: fleets.Fleet) -> Node:
    """A node for what is the same in every release."""
    node: Node = fleet[1]
    return node


@pytest.fixture
def rollout(field: RolloutFleet) -> Iterator[str]:
    """The id of a rollout of the test's own, for files that have a ``field`` to roll out on."""
    with one_rollout(field, f"20260131T12{next(_MINUTES):02}00Z-fleet") as rollout:
        yield rollout
