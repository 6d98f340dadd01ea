# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes for the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator import database, fleet

# Its assertions tell what they compared, as those of a test's own file do.
pytest.register_assert_rewrite("tests.integration.rollout_cases")

# What runs on the newest ansible-core as well: of some modules the tests in four steps. Playbooks run on it
# in the demonstration and over SSH.
_FOUR_STEPS = re.compile(
    r"/modules/test_(backup|restore|release|keys|owner_card).*::test_(check_|\w*_checks)"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on both: of the journal modes, which ansible-core does not know, one."""
    for item in items:
        if _FOUR_STEPS.search(item.nodeid) and "[wal" not in item.nodeid:
            item.add_marker("both_cores")
    # The longest first: at the end no process has to wait for another one's.
    items.sort(key=lambda item: ("/test_rollout_" not in item.nodeid, "/playbooks/" not in item.nodeid))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what has a station in each journal mode, or in those that its file names in ``JOURNALS``."""
    if "station" in metafunc.fixturenames:
        modes = getattr(metafunc.module, "JOURNALS", database.JOURNAL_MODES)
        metafunc.parametrize("station", modes, indirect=True)


@pytest.fixture
def station(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[fleet.Node]:
    """A simulated node that writes all the time."""
    with fleet.start_node(tmp_path / "node", size="1M", journal_mode=request.param) as node:
        yield node


@pytest.fixture
def quiet(station: fleet.Node) -> fleet.Node:
    """The same between two commit windows: only the lease is written."""
    station.faults(pipeline="quiet")
    return station
