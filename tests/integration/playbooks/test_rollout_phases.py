# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rollouts that nobody waits for, that break off anywhere, that end in doubt: the record settles each."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.controllers import until
from tests.integration.helpers import Play
from tests.integration.rollout_records import ROLLOUT, WATCHED
from tests.simulator.release import Phase, Release

from .rollout_ground import FORMER, Ground, ground

BACKUP = f"rollout-{ROLLOUT.lower()}"
GOOD, BAD = Release("2.0.0"), Release("2.1.0", (Phase(2, {"qa": 0.4}),))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Ground]:
    with ground(tmp_path, 3) as field:
        yield field


def done(run: Play) -> Play:
    assert run.code == 0, run.output
    return run


def failed(run: Play) -> Play:
    assert run.code == 2, run.output
    return run


def named_backups(field: Ground, host: str, name: str) -> int:
    """How many backups of a name a node has, by their public facts."""
    found = field.nodes[host].root.glob("runtime/backups/2*/backup.json")
    return sum(json.loads(path.read_text()).get("name") == name for path in found)


def test_a_run_that_is_killed_in_every_phase_is_continued_and_changes_the_host_once(three: Ground) -> None:
    root, kept, archive = three.nodes["node01"].root, three.kept("node01"), three.release(GOOD)
    others = three.untouched("node03")
    phases: dict[str, Callable[[], object]] = {
        "the plan is frozen": (three.store().path / "plan.json").exists,
        "the turn has begun": lambda: kept.states,
        "there is a backup": lambda: named_backups(three, "node01", BACKUP),
        "the archive is there": lambda: list(kept.path.glob("candidate/*.tar.gz")),
        "it is unpacked": (root / "releases/2.0.0").is_dir,
        "it is the current one": lambda: kept.link == "releases/2.0.0",
        "it soaks": lambda: kept.states[-1:] == ["SOAKING"],
        "there are samples": lambda: kept.samples >= 2,
        "it has passed": lambda: kept.states[-1:] == ["PASSED"],
    }
    before, pids = three.nodes["node01"].pid, set()
    for what, holds in phases.items():
        with three.playing("canary", vvtv_release=archive) as running:
            running.until(holds, what)
            running.kill()
        pids.add(three.nodes["node01"].pid)
    done(three.play("canary", vvtv_release=archive))
    assert kept.states == ["IN_PROGRESS", "SOAKING", "PASSED"]
    assert three.store().last() == {"node01": "PASSED"}
    assert named_backups(three, "node01", BACKUP) == 1
    assert kept.result["backup_dir"] == kept.facts["backup_path"] != ""
    assert len(pids - {before, None}) == 1, "the station was restarted more than once"
    assert three.untouched("node03") == others
    assert not list(three.nodes["node01"].root.glob("releases/.*"))


@pytest.mark.thorough
def test_a_way_back_that_is_killed_is_finished_by_the_next_run(three: Ground) -> None:
    kept, archive = three.kept("node01"), three.release(BAD)
    phases: dict[str, Callable[[], object]] = {
        "it has failed": lambda: kept.states[-1:] == ["FAILED"],
        "the former release is back": lambda: kept.link == f"releases/{FORMER}",
    }
    for what, holds in phases.items():
        with three.playing("canary", vvtv_release=archive) as running:
            running.until(holds, what)
            running.kill()
    failed(three.play("canary", vvtv_release=archive))
    # On a busy machine it may be sick before it soaks.
    states = [state for state in kept.states if state != "SOAKING"]
    assert states == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]
    assert three.store().last() == {"node01": "ROLLED_BACK"}
    assert three.running() == dict.fromkeys(three.nodes, FORMER)
    assert kept.result["status"] == "FAIL_ROLLBACK_APPLIED"


@pytest.mark.thorough
def test_nobody_needs_to_wait_for_a_soak(three: Ground) -> None:
    three.change(vvtv_canary_soak_hours=15 / 3600)
    archive, kept = three.release(GOOD), three.kept("node01")
    begun = done(three.play("canary", vvtv_release=archive, vvtv_wait=False))
    assert "vvtv.runbook.collect" in begun.output
    assert kept.states[-1] == "SOAKING"
    done(three.play("collect"))
    until((kept.path / "soak/ended.json").exists, "the soak ends")
    done(three.play("collect"))
    assert kept.states[-1] == "PASSED"
    done(three.play("promote", vvtv_wait=False))
    assert three.store().last() == {"node01": "PROMOTED", "node02": "SOAKING"}
    until((three.kept("node02").path / "soak/ended.json").exists, "the wave's soak ends")
    done(three.play("promote"))
    assert set(three.store().last().values()) == {"PROMOTED"}
    assert set(three.running().values()) == {GOOD.version}


def test_a_sick_baseline_holds_the_canary_and_a_new_soak_settles_it(three: Ground) -> None:
    three.nodes["node02"].faults(qa=0.4)
    run = failed(three.play("canary", vvtv_release=three.release(BAD)))
    assert "baseline hosts fail in the same way" in run.output
    kept = three.kept("node01")
    assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD"]
    assert kept.link == f"releases/{BAD.version}"
    assert (kept.result["status"], kept.summary["verdict"]) == ("FAIL_ROLLBACK_SKIPPED", "FAIL")
    failed(three.play("promote"))
    assert three.links()["node03"] == f"releases/{FORMER}"
    # What was wrong with both is over.
    three.nodes["node01"].faults(qa=0.95)
    three.nodes["node02"].faults()
    done(three.play("reconcile", vvtv_reconcile="resoak"))
    assert kept.states[-1] == "SOAKING"
    until((kept.path / "soak/ended.json").exists, "the new soak ends")
    done(three.play("collect"))
    assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD", "SOAKING", "PASSED"]


@pytest.mark.thorough
def test_a_soak_whose_sampler_is_killed_proves_nothing(three: Ground) -> None:
    kept = three.kept("node01")
    with three.playing("canary", vvtv_release=three.release(GOOD)) as running:
        running.until(lambda: kept.samples >= 1, "the sampler has begun")
        subprocess.run(["pkill", "-KILL", "-f", f"{kept.path}/soak/engine.zip"], check=True)
        run = failed(running.finish())
    assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD"], run.output
    assert "interrupted" in kept.summary["reasons"]
    done(three.play("reconcile"))
    assert kept.states[-2:] == ["FAILED", "ROLLED_BACK"]
    assert three.running() == dict.fromkeys(three.nodes, FORMER)


def test_a_rollback_that_fails_freezes_the_rollout_until_an_operator_has_mended_it(three: Ground) -> None:
    root, kept, archive = three.nodes["node01"].root, three.kept("node01"), three.release(BAD)
    aside = root / "aside"
    with three.playing("canary", vvtv_release=archive) as running:
        running.until(lambda: kept.states[-1:] == ["SOAKING"], "it soaks")
        shutil.move(root / f"releases/{FORMER}", aside)
        run = failed(running.finish())
    assert kept.states[-1] == "NEEDS_OPERATOR"
    assert three.store().last() == {"node01": "NEEDS_OPERATOR"}
    assert "NEEDS_OPERATOR" in run.output
    for playbook in ("canary", "promote"):
        assert "needs an operator" in failed(three.play(playbook, vvtv_failure_budget=5)).output
    shutil.move(aside, root / f"releases/{FORMER}")
    done(three.play("reconcile"))
    assert kept.states[-1] == "ROLLED_BACK"
    assert three.running() == dict.fromkeys(three.nodes, FORMER)


def test_one_sick_canary_of_two_goes_back_at_once_and_the_other_one_is_settled_later(tmp_path: Path) -> None:
    with ground(tmp_path, 4, canaries=("node01", "node02"), baselines=("node03",)) as four:
        before = four.untouched("node03", "node04", but=WATCHED)
        soak = {"vvtv_canary_soak_hours": 20 / 3600, "vvtv_release": four.release(GOOD)}
        with four.playing("canary", **soak) as running:
            running.until(lambda: four.kept("node02").samples >= 1, "both canaries soak")
            four.nodes["node02"].faults(buffer=5)
            running.until(lambda: "FAILED" in four.kept("node02").states, "one of them has failed")
            four.nodes["node02"].faults()
            failed(running.finish())
        assert four.store().last() == {"node01": "SOAKING", "node02": "ROLLED_BACK"}
        assert "BUFFER_CRITICAL" in four.kept("node02").summary["reasons"]
        assert four.untouched("node03", "node04", but=WATCHED) == before
        until((four.kept("node01").path / "soak/ended.json").exists, "the other soak ends")
        failed(four.play("collect"))
        assert four.store().last() == {"node01": "PASSED", "node02": "ROLLED_BACK"}
        failed(four.play("promote"))
        assert four.untouched("node04") == {"node04": before["node04"]}


def test_a_host_that_does_not_answer_keeps_a_rollout_from_beginning(three: Ground) -> None:
    before = three.untouched("node01", "node03")
    three.lose("node01")
    run = failed(three.play("canary", vvtv_release=three.release(GOOD)))
    assert "nothing was changed: node01 cannot be reached" in run.output
    three.find("node01")
    assert three.untouched("node01", "node03") == before
    assert three.store().last() == {}


@pytest.mark.thorough
def test_a_pipeline_that_stands_still_passes_nothing(three: Ground) -> None:
    frozen = Release("2.3.0", (Phase(0, {"pipeline": "frozen"}),))
    run = three.play("canary", vvtv_release=three.release(frozen), vvtv_ready_secs=8)
    assert run.code == 2, run.output
    assert three.store().last()["node01"] in ("ROLLED_BACK", "HELD")
    assert three.kept("node01").result["status"] != "PASS"


@pytest.mark.thorough
def test_an_owner_card_alone_is_rolled_out_and_back_without_a_restart(three: Ground) -> None:
    card = three.home / "card.yaml"
    former = three.nodes["node01"].owner_card.read_text()
    card.write_text(former.replace("buffer_target_minutes: 120", "buffer_target_minutes: 121"))
    assert card.read_text() != former
    pids = {name: node.pid for name, node in three.nodes.items()}
    done(three.play("rollout", vvtv_card=card, vvtv_canary_auto_promote=True, vvtv_waves=["100%"]))
    assert {node.owner_card.read_text() for node in three.nodes.values()} == {card.read_text()}
    done(three.play("rollback", vvtv_reason="the old target was better"))
    assert {node.owner_card.read_text() for node in three.nodes.values()} == {former}
    assert {name: node.pid for name, node in three.nodes.items()} == pids
