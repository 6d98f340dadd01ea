# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a rollout is the same with and without SSH, so that simulated nodes are enough."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.controllers import done, refused, until
from tests.integration.rollout_cases import GOOD
from tests.integration.rollout_records import FORMER, ROLLOUT

from .rollout_ground import Ground, ground


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Ground]:
    with ground(tmp_path, 3) as field:
        yield field


def test_a_plan_and_check_mode_change_nothing(three: Ground) -> None:
    before = three.untouched(*three.nodes)
    shown = three.play("plan", vvtv_release=three.release(GOOD))
    assert shown.code == 0, shown.output
    for word in (ROLLOUT, "2.0.0", "node01", "vvtv.runbook.promote", "guards: a host is put back"):
        assert word in shown.output
    for host in three.nodes:
        # Neither systemd nor the node's command: the plan says that nobody goes back by itself.
        assert re.search(rf"{host} +ok +no +.*(does not run systemd|is not there)", shown.output), (
            shown.output
        )
    off = three.play("plan", vvtv_release=three.release(GOOD), vvtv_guard=False)
    assert "no guards: vvtv_guard or vvtv_canary_auto_rollback is off" in off.output
    checked = three.play("canary", "--check", vvtv_release=three.release(GOOD))
    assert checked.code == 0, checked.output
    assert three.untouched(*three.nodes) == before
    assert not three.store().path.exists()


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


@pytest.mark.thorough
def test_a_soak_whose_sampler_is_killed_proves_nothing(three: Ground) -> None:
    kept = three.kept("node01")
    with three.playing("canary", vvtv_release=three.release(GOOD)) as running:
        running.until(lambda: kept.samples >= 1, "the sampler has begun")
        subprocess.run(["pkill", "-KILL", "-f", f"{kept.path}/soak/engine.zip"], check=True)
        run = refused(running.finish())
    assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD"], run.output
    assert "interrupted" in kept.summary["reasons"]
    done(three.play("reconcile"))
    assert kept.states[-2:] == ["FAILED", "ROLLED_BACK"]
    assert three.running() == dict.fromkeys(three.nodes, FORMER)


def test_a_host_that_does_not_answer_keeps_a_rollout_from_beginning(three: Ground) -> None:
    before = three.untouched("node01", "node03")
    three.lose("node01")
    run = refused(three.play("canary", vvtv_release=three.release(GOOD)))
    assert "nothing was changed: node01 cannot be reached" in run.output
    three.find("node01")
    assert three.untouched("node01", "node03") == before
    assert three.store().last() == {}


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
