# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts over SSH whose canary is lost on the way, or has a wrong clock.

node1 is the canary, node2 the baseline host, node3 what else there is. Each test is a rollout of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.integration.controllers import done
from tests.integration.rollout_records import FORMER, assert_same
from tests.simulator.release import Phase, Release

from .rollout_fleet import LOST_SOON, RolloutFleet, refused, rollouts

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    # A clock can be put wrong on Debian 13 only.
    with fleets.up(3, releases=(13, 12), name="lost") as fleet, rollouts(fleet, **LOST_SOON) as field:
        yield field


def test_a_canary_lost_while_it_is_changed_goes_back_when_it_answers_again(
    field: RolloutFleet, rollout: str
) -> None:
    canary, before = field.fleet["node1"], field.rest()
    with field.playing("canary", vvtv_release=field.release(Release("3.0.0"))) as running:
        running.until(lambda: field.is_guarded("node1", rollout), "the canary is changed")
        canary.cut()
        refused(running.finish(), "UNREACHABLE")
    assert field.kept("node1", rollout).states == ["IN_PROGRESS"]
    assert field.store(rollout).last()["node1"] in ("IN_PROGRESS", "UNKNOWN")
    assert_same(before, field.rest())
    # Nothing can be settled while it is away, but then it is said what the host is.
    canary.refuse()
    refused(field.play("reconcile"), "UNREACHABLE")
    assert field.store(rollout).last()["node1"] == "UNKNOWN"
    refused(field.play("promote"), "nothing was changed: node1 cannot be reached")
    canary.mend()
    refused(field.play("promote"), "may not go on", "node1 is UNKNOWN")
    done(field.play("reconcile"))
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
    assert field.kept("node1", rollout).states == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]
    assert field.links()["node1"] == f"releases/{FORMER}"
    assert_same(before, field.rest())


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (Release("3.1.0", ready_after=None), "Change | The station is ready: "),
        (Release("3.2.0", (Phase(4, {"http_500": "all"}),)), "the API gave no good answer"),
    ],
    ids=["never ready", "answers 500"],
)
def test_a_canary_lost_on_its_way_back_comes_back_and_says_why(
    field: RolloutFleet, rollout: str, candidate: Release, reason: str
) -> None:
    canary, before = field.fleet["node1"], field.rest()
    wanted = {"vvtv_ready_secs": 6, "vvtv_canary_soak_hours": 10 / 3600}
    with field.playing("canary", vvtv_release=field.release(candidate), **wanted) as running:
        running.until(lambda: "FAILED" in field.kept("node1", rollout).states, "the canary goes back")
        canary.cut()
        refused(running.finish(), "UNREACHABLE")
    assert field.store(rollout).last()["node1"] in ("FAILED", "UNKNOWN")
    canary.mend()
    done(field.play("reconcile"))
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
    result = field.kept("node1", rollout).result
    assert (result["status"], result["state"]) == ("FAIL_ROLLBACK_APPLIED", "ROLLED_BACK")
    assert reason in result["reason"], result
    assert field.links()["node1"] == f"releases/{FORMER}"
    assert_same(before, field.rest())


def test_a_canary_whose_clock_is_wrong_is_not_changed(field: RolloutFleet, rollout: str) -> None:
    """Behind, so that no sample from the future is left in its database."""
    archive, canary = field.release(Release("3.3.0")), field.fleet["node1"]
    for units, finding in (((station.UNIT,), "CLOCK_SKEW"), ((), "SAMPLE_FROM_FUTURE")):
        with canary.broken(canary.skew, -400, units):
            station.wait_answers(canary)
            before = field.untouched("node1", "node3")
            refused(field.play("canary", vvtv_release=archive), finding)
            assert_same(before, field.untouched("node1", "node3"))
            assert field.kept("node1", rollout).states == []
