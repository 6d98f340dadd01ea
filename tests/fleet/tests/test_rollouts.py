# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts over SSH on Debian 12 and 13, with systemd: restarts, samplers and guards are units.

node1 is the canary, node2 the baseline host, node3 what else there is. Each test is a rollout of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.integration.controllers import done, until
from tests.integration.rollout_records import FORMER, assert_same
from tests.simulator.release import Phase, Release

from .rollout_fleet import RolloutFleet, rollouts

SICK = {"qa": 0.4}
#: A guard that fires soon after the soak should have ended.
GUARD = {"vvtv_guard_margin_minutes": 0, "vvtv_ready_secs": 20}


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    with fleets.up(3, releases=(12, 13), name="rollouts") as fleet, rollouts(fleet, "oldest") as field:
        yield field


def soaking(field: RolloutFleet, rollout: str) -> bool:
    """Whether the canary soaks by its own record and, a moment later, by the store's."""
    if field.kept("node1", rollout).states[-1:] != ["SOAKING"]:
        return False
    return field.store(rollout).last().get("node1") == "SOAKING"


def test_a_good_candidate_goes_everywhere_and_every_guard_is_confirmed(
    field: RolloutFleet, rollout: str
) -> None:
    before, release = field.rest(), field.release(Release("2.0.0"))
    shown = done(field.play("plan", vvtv_release=release)).output
    for node in field.fleet:
        assert re.search(rf"{node.name} +ok +yes +-$", shown, re.MULTILINE), shown
    with field.playing("canary", vvtv_release=release) as running:
        running.until(lambda: field.kept("node1", rollout).states[-1:] == ["SOAKING"], "the canary soaks")
        assert field.guard("node1", rollout)["ActiveState"] == "active"
        assert field.running()["node1"] == "2.0.0"
        done(running.finish())
    assert field.guard("node1", rollout)["LoadState"] == "not-found"
    assert_same(before, field.rest())
    done(field.play("promote"))
    assert set(field.running().values()) == {"2.0.0"}
    assert set(field.store(rollout).last().values()) == {"PROMOTED"}
    for node in field.fleet:
        assert field.guard(node.name, rollout)["LoadState"] == "not-found"


def test_a_bad_candidate_goes_back_and_the_rest_is_byte_for_byte_the_same(
    field: RolloutFleet, rollout: str
) -> None:
    before = field.rest()
    run = field.play("canary", vvtv_release=field.release(Release("2.1.0", (Phase(4, SICK),))))
    assert run.code == 2, run.output
    assert field.kept("node1", rollout).states == ["IN_PROGRESS", "SOAKING", "FAILED", "ROLLED_BACK"]
    assert_same(before, field.rest())
    assert set(field.running().values()) == {FORMER}
    assert field.guard("node1", rollout)["LoadState"] == "not-found"


@pytest.mark.thorough
def test_a_candidate_that_crashes_again_and_again_goes_back(field: RolloutFleet, rollout: str) -> None:
    """systemd refuses to start a unit that was started too often: the way back must not be refused."""
    crashes = Release("2.2.0", (Phase(0.2, {"crash": "now"}),), ready_after=None)
    run = field.play("canary", vvtv_release=field.release(crashes), vvtv_ready_secs=8)
    assert run.code == 2, run.output
    assert field.kept("node1", rollout).states[-1] == "ROLLED_BACK"
    station.wait_answers(field.fleet["node1"])


def test_when_the_controller_is_gone_and_power_fails_the_guard_puts_the_node_back(
    field: RolloutFleet, rollout: str
) -> None:
    canary = field.fleet["node1"]
    with field.playing("canary", vvtv_release=field.release(Release("2.3.0")), **GUARD) as running:
        running.until(lambda: soaking(field, rollout), "the canary soaks, as the store knows too")
        running.kill()
    field.hang_up()
    canary.power_cut()
    canary.start()
    until(lambda: field.kept("node1", rollout).states[-1:] == ["ROLLED_BACK"], "the guard fires", timeout=120)
    station.wait_answers(canary)
    assert field.running()["node1"] == FORMER
    assert field.kept("node1", rollout).result["status"] == "FAIL_ROLLBACK_APPLIED"
    # The store learns what the node did by itself.
    assert field.store(rollout).last()["node1"] == "SOAKING"
    field.play("collect")
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
