# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not happen to a rollout: over SSH on Debian 12 and 13, by the oldest ansible-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import check
from tests.fleet import fleet as fleets
from tests.integration.rollout_cases import RolloutCases

from .rollout_fleet import RolloutFleet, rollouts

# In make test what is not thorough runs on simulated nodes.
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    with fleets.up(4, releases=(12, 13), name="cases") as fleet, rollouts(fleet, "oldest") as field:
        yield field


class TestOverSsh(RolloutCases):
    """All of them; see there."""
