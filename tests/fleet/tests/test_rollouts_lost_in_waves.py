# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rollout over SSH from its canary to its end, while hosts are lost: in soaks, and in a wave.

node1 is the canary, node2 the baseline host and the first wave, node3 and node4 the second one. Each test
goes on where the one before ended.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.integration.controllers import UNREACHABLE, done, until
from tests.integration.rollout_records import FORMER, assert_same, lines
from tests.simulator.release import Release

from .rollout_fleet import LOST_SOON, RolloutFleet, one_rollout, refused, rollouts

pytestmark = pytest.mark.thorough

ROLLOUT = "20260131T150000Z-waves"
NEW = "4.0.0"


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    with (
        fleets.up(4, releases=(12, 13), name="waves") as fleet,
        rollouts(fleet, "oldest", **LOST_SOON) as field,
        one_rollout(field, ROLLOUT),
    ):
        yield field


def test_a_canary_lost_for_too_long_soaks_on_and_is_judged_later(field: RolloutFleet) -> None:
    canary, before = field.fleet["node1"], field.rest()
    wanted = {"vvtv_soak_unreachable_grace_secs": 2, "vvtv_waves": [1, "100%"]}
    with field.playing("canary", vvtv_release=field.release(Release(NEW)), **wanted) as running:
        running.until(lambda: field.kept("node1", ROLLOUT).samples >= 1, "the canary soaks")
        canary.cut()
        run = running.finish()
    assert run.code == UNREACHABLE, run.output
    assert field.store(ROLLOUT).last()["node1"] in ("SOAKING", "UNKNOWN")
    until(lambda: field.kept("node1", ROLLOUT).summary, "the soak ends by itself")
    canary.refuse()
    assert field.play("collect").code != 0
    assert field.store(ROLLOUT).last()["node1"] == "UNKNOWN"
    canary.mend()
    done(field.play("collect"))
    assert field.store(ROLLOUT).last()["node1"] == "PASSED"
    assert field.kept("node1", ROLLOUT).states == ["IN_PROGRESS", "SOAKING", "PASSED"]
    assert field.guard("node1", ROLLOUT)["LoadState"] == "not-found"
    assert_same(before, field.rest())


def test_no_wave_begins_after_one_that_lost_a_host(field: RolloutFleet) -> None:
    later = field.untouched("node3", "node4")
    with field.playing("promote") as running:
        running.until(lambda: field.is_guarded("node2", ROLLOUT), "node2 is changed")
        field.fleet["node2"].refuse()
        refused(running.finish(), "UNREACHABLE")
    assert field.store(ROLLOUT).last()["node2"] in ("IN_PROGRESS", "UNKNOWN")
    field.fleet["node2"].mend()
    done(field.play("reconcile"))
    assert field.store(ROLLOUT).last() == {"node1": "PROMOTED", "node2": "ROLLED_BACK"}
    refused(field.play("promote"), "may not go on", "node2 is ROLLED_BACK")
    assert_same(later, field.untouched("node3", "node4"))


def test_within_the_budget_it_goes_past_a_silent_host_and_a_short_loss_is_none(field: RolloutFleet) -> None:
    wanted = {"vvtv_soak_unreachable_grace_secs": 60, "vvtv_failure_budget": 2}
    field.fleet["node4"].refuse()
    with field.playing("promote", **wanted) as running:
        running.until(lambda: field.kept("node3", ROLLOUT).samples >= 1, "node3 soaks")
        field.fleet["node3"].cut()
        running.until(lambda: "node3: cannot be reached, asking again" in running.output, "it is missed")
        field.fleet["node3"].mend()
        run = running.finish()
    assert run.code == 0, run.output
    known = {"node1": "PROMOTED", "node2": "ROLLED_BACK", "node3": "PROMOTED", "node4": "UNKNOWN"}
    assert field.store(ROLLOUT).last() == known
    field.fleet["node4"].mend()
    assert field.running() == {"node1": NEW, "node2": FORMER, "node3": NEW, "node4": FORMER}


def test_a_host_that_was_silent_gets_its_turn_when_it_answers_again(field: RolloutFleet) -> None:
    done(field.play("promote", vvtv_failure_budget=2))
    assert field.store(ROLLOUT).last()["node4"] == "PROMOTED"
    assert field.running() == {"node1": NEW, "node2": FORMER, "node3": NEW, "node4": NEW}
    assert field.kept("node4", ROLLOUT).states == ["IN_PROGRESS", "SOAKING", "PASSED", "PROMOTED"]


def test_one_host_goes_back_alone_then_its_wave_then_all_and_what_is_discarded_is_kept(
    field: RolloutFleet,
) -> None:
    done(field.play("rollback", "--limit", "node4", vvtv_reason="only this one"))
    assert field.running() == {"node1": NEW, "node2": FORMER, "node3": NEW, "node4": FORMER}
    done(field.play("rollback", vvtv_rollback_batch=2, vvtv_reason="only the last wave"))
    assert field.running() == {"node1": NEW, "node2": FORMER, "node3": FORMER, "node4": FORMER}
    done(field.play("rollback", vvtv_reason="and what is left"))
    assert set(field.store(ROLLOUT).last().values()) == {"ROLLED_BACK"}
    assert set(field.running().values()) == {FORMER}
    ended = [_last(field, host)["at"] for host in ("node4", "node3", "node1")]
    assert ended == sorted(ended), "the last ones go back first"
    for host in ("node1", "node3", "node4"):
        kept = field.kept(host, ROLLOUT)
        discarded = kept.facts["rollback"]["discarded"]
        assert (kept.root / str(discarded["path"]).removeprefix(f"{station.ROOT}/")).exists()
        # What the station wrote in that window of time is not in the database any more.
        with closing(sqlite3.connect(kept.root / "runtime/state/vvtv.db")) as db:
            window = (discarded["since"], discarded["until"])
            found = db.execute("SELECT count(*) FROM metric_samples WHERE ts > ? AND ts < ?", window)
            assert found.fetchone() == (0,), discarded


def _last(field: RolloutFleet, host: str) -> dict[str, str]:
    return dict(lines((field.kept(host, ROLLOUT).path / "record.jsonl").read_text())[-1])
