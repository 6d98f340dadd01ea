# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet for all tests: a node of each Debian release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import check
from tests.fleet import fleet as fleets
from tests.fleet.node import Node


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[fleets.Fleet]:
    check.require()
    with fleets.up(2, releases=(12, 13), name="selftest") as fleet:
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
