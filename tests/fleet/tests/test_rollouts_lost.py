# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts over SSH whose hosts are lost on the way, or get sick in ways of their own.

node1 is the canary, node2 the baseline host. Each test is a rollout of its own. A host that answers no more is
found out within some six seconds; one that refuses, at once.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.node import Node
from tests.integration.controllers import until
from tests.integration.rollout_records import assert_same
from tests.simulator.release import Phase, Release

from .rollout_fleet import FORMER, RolloutFleet, done, one_rollout, rollouts

#: Exit codes of ansible-playbook.
FAILED, UNREACHABLE = 2, 4
#: Lost hosts are found out soon. What is given to every run is stronger than the inventory.
SOON = {
    "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s"
    " -o ServerAliveInterval=2 -o ServerAliveCountMax=2",
    "ansible_ssh_timeout": 5,
    "vvtv_ready_secs": 20,
}
_MINUTES = itertools.count()


@pytest.fixture(scope="module")
def field() -> Iterator[RolloutFleet]:
    check.require()
    with fleets.up(4, releases=(13, 12), name="lost") as fleet, rollouts(fleet, **SOON) as field:
        yield field


@pytest.fixture
def rollout(field: RolloutFleet) -> Iterator[str]:
    with one_rollout(field, f"20260131T14{next(_MINUTES):02}00Z-lost") as rollout:
        yield rollout
        field.fleet.heal()


def refused(field: RolloutFleet, playbook: str, *words: str, **wanted: object) -> None:
    run = field.play(playbook, **wanted)
    assert run.code in (FAILED, UNREACHABLE), run.output
    for word in words:
        assert word in run.output, run.output


def rows(node: Node, discarded: dict[str, str]) -> int:
    """How many audit events and metric samples a node's database has from a window of time."""
    window = (discarded["since"], discarded["until"])
    with closing(sqlite3.connect(node.disk / "vvtv/runtime/state/vvtv.db")) as db:
        return sum(
            int(db.execute(f"SELECT count(*) FROM {table} WHERE ts > ? AND ts < ?", window).fetchone()[0])
            for table in ("audit_events", "metric_samples")
        )


def test_a_canary_lost_while_it_is_changed_is_put_back_when_it_answers_again(
    field: RolloutFleet, rollout: str
) -> None:
    canary, before = field.fleet["node1"], field.rest()
    with field.playing("canary", vvtv_release=field.release(Release("3.0.0"))) as running:
        running.until(lambda: "backup" in field.kept("node1", rollout).facts, "the canary has a backup")
        canary.cut()
        run = running.finish()
    assert run.code in (FAILED, UNREACHABLE), run.output
    assert field.kept("node1", rollout).states == ["IN_PROGRESS"]
    assert field.store(rollout).last()["node1"] in ("IN_PROGRESS", "UNKNOWN")
    assert_same(before, field.rest())
    refused(field, "promote", "nothing was changed: node1 cannot be reached")
    # Nothing can be settled yet either, but now it is said what the host is.
    refused(field, "reconcile", "node1")
    assert field.store(rollout).last()["node1"] == "UNKNOWN"
    canary.mend()
    refused(field, "promote", "may not go on", "node1")
    done(field.play("reconcile"))
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
    assert field.kept("node1", rollout).states[-1] == "ROLLED_BACK"
    assert field.links()["node1"] == f"releases/{FORMER}"
    assert_same(before, field.rest())


def test_a_canary_lost_in_its_soak_soaks_on_and_is_judged_later(field: RolloutFleet, rollout: str) -> None:
    canary, before = field.fleet["node1"], field.rest()
    archive = field.release(Release("3.1.0"))
    with field.playing("canary", vvtv_release=archive, vvtv_soak_unreachable_grace_secs=2) as running:
        running.until(lambda: field.kept("node1", rollout).samples >= 1, "the canary soaks")
        canary.cut()
        run = running.finish()
    assert run.code == UNREACHABLE, run.output
    assert "asking again" in run.output
    assert field.store(rollout).last()["node1"] in ("SOAKING", "UNKNOWN")
    until(lambda: field.kept("node1", rollout).summary, "the soak ends by itself")
    assert field.running()["node1"] == "3.1.0"
    refused(field, "collect", "node1")
    assert field.store(rollout).last()["node1"] == "UNKNOWN"
    canary.mend()
    done(field.play("collect"))
    assert field.store(rollout).last()["node1"] == "PASSED"
    assert field.kept("node1", rollout).states == ["IN_PROGRESS", "SOAKING", "PASSED"]
    assert field.guard("node1", rollout)["LoadState"] == "not-found"
    assert_same(before, field.rest())


def test_a_canary_lost_on_its_way_back_comes_back(field: RolloutFleet, rollout: str) -> None:
    canary, before = field.fleet["node1"], field.rest()
    candidate = Release("3.2.0", (Phase(3, {"buffer": 5}),))
    with field.playing("canary", vvtv_release=field.release(candidate)) as running:
        running.until(lambda: "FAILED" in field.kept("node1", rollout).states, "the canary goes back")
        canary.cut()
        run = running.finish()
    assert run.code in (FAILED, UNREACHABLE), run.output
    assert field.store(rollout).last()["node1"] in ("FAILED", "UNKNOWN")
    refused(field, "promote", "nothing was changed: node1 cannot be reached")
    canary.mend()
    done(field.play("reconcile"))
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
    kept = field.kept("node1", rollout)
    assert kept.states == ["IN_PROGRESS", "SOAKING", "FAILED", "ROLLED_BACK"]
    assert "buffer" in kept.result["reason"], kept.result
    assert field.links()["node1"] == f"releases/{FORMER}"
    assert_same(before, field.rest())


def test_a_host_lost_in_a_wave_counts_and_the_others_go_back_in_reverse_order(
    field: RolloutFleet, rollout: str
) -> None:
    archive = field.release(Release("3.3.0"))
    patient = {"vvtv_soak_unreachable_grace_secs": 60, "vvtv_waves": [1, "100%"]}
    with field.playing("canary", vvtv_release=archive, **patient) as running:
        running.until(lambda: field.kept("node1", rollout).samples >= 1, "the canary soaks")
        field.fleet["node1"].cut()
        running.until(lambda: "asking again" in running.output, "it is missed")
        field.fleet["node1"].mend()
        done(running.finish())
    assert field.kept("node1", rollout).states[-1] == "PASSED"

    later = field.untouched("node3", "node4")
    with field.playing("promote") as running:
        running.until(lambda: "backup" in field.kept("node2", rollout).facts, "node2 has a backup")
        field.fleet["node2"].refuse()
        run = running.finish()
    assert run.code in (FAILED, UNREACHABLE), run.output
    refused(field, "reconcile", "node2")
    assert field.store(rollout).last() == {"node1": "PROMOTED", "node2": "UNKNOWN"}
    field.fleet["node2"].mend()
    refused(field, "promote", "may not go on", "node2 is UNKNOWN")
    done(field.play("reconcile"))
    refused(field, "promote", "may not go on", "node2 is ROLLED_BACK")
    assert_same(later, field.untouched("node3", "node4"))
    done(field.play("promote", vvtv_failure_budget=1))
    assert field.store(rollout).last() == {
        "node1": "PROMOTED",
        "node2": "ROLLED_BACK",
        "node3": "PROMOTED",
        "node4": "PROMOTED",
    }
    assert field.running() == {"node1": "3.3.0", "node2": FORMER, "node3": "3.3.0", "node4": "3.3.0"}

    done(field.play("rollback", vvtv_rollback_batch=2, vvtv_reason="only the last wave"))
    assert field.running() == {"node1": "3.3.0", "node2": FORMER, "node3": FORMER, "node4": FORMER}
    done(field.play("rollback", vvtv_reason="and all the others"))
    assert set(field.store(rollout).last().values()) == {"ROLLED_BACK"}
    for host in ("node1", "node3", "node4"):
        kept = field.kept(host, rollout)
        discarded = kept.facts["rollback"]["discarded"]
        assert Path(str(kept.root) + discarded["path"].removeprefix(station.ROOT)).exists()
        assert rows(field.fleet[host], discarded) == 0
    ends = {host: back_at(field, host, rollout) for host in ("node1", "node3", "node4")}
    assert ends["node4"] < ends["node3"] < ends["node1"]


def back_at(field: RolloutFleet, host: str, rollout: str) -> str:
    text = (field.kept(host, rollout).path / "record.jsonl").read_text()
    return str(json.loads(text.splitlines()[-1])["at"])


def test_a_canary_whose_clock_is_wrong_is_not_changed(field: RolloutFleet, rollout: str) -> None:
    """Behind, so that no sample from the future is left in its database."""
    archive, canary = field.release(Release("3.4.0")), field.fleet["node1"]
    for units, finding in (((station.UNIT,), "CLOCK_SKEW"), ((), "SAMPLE_FROM_FUTURE")):
        with canary.broken(canary.skew, -400, units):
            station.wait_answers(canary)
            before = field.untouched("node1", "node3", "node4")
            refused(field, "canary", finding, vvtv_release=archive)
            assert_same(before, field.untouched("node1", "node3", "node4"))
            assert field.kept("node1", rollout).states == []


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (Release("3.5.0", ready_after=None), "The station is ready"),
        (Release("3.6.0", (Phase(4, {"http_500": "all"}),)), "the API gave no good answer"),
    ],
    ids=["never ready", "answers 500"],
)
def test_each_sickness_goes_back_and_is_named(
    field: RolloutFleet, rollout: str, candidate: Release, reason: str
) -> None:
    before = field.rest()
    run = field.play("canary", vvtv_release=field.release(candidate), vvtv_ready_secs=6)
    assert run.code == FAILED, run.output
    result = field.kept("node1", rollout).result
    assert (result["status"], result["state"]) == ("FAIL_ROLLBACK_APPLIED", "ROLLED_BACK")
    assert reason in result["reason"], result
    assert field.links()["node1"] == f"releases/{FORMER}"
    assert field.store(rollout).last()["node1"] == "ROLLED_BACK"
    assert_same(before, field.rest())
