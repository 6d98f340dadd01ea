# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps a rollout from going on: limits, other rollouts, forged or old evidence, a changed artifact."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Play
from tests.simulator.release import Release

from .rollout_ground import FORMER, Ground, ground

# A baseline host samples as long as it was asked to, also when the test that asked is over.
SAMPLES = ("runtime/baseline",)

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("gates"), 3) as field:
        field.record_dir.mkdir()
        yield field


@pytest.fixture
def rollout(three: Ground) -> Iterator[str]:
    """An id of this test's own; what it left undone is rolled back, so that the next one finds all well."""
    rollout = f"20260131T13{next(_NUMBERS):02}00Z-gates"
    three.given["vvtv_rollout_id"] = rollout
    yield rollout
    for node in three.nodes.values():
        node.faults()
    if three.store(rollout).path.exists():
        three.play("rollback", vvtv_reason="the test is over")
    assert set(three.running().values()) == {FORMER}


def release(three: Ground, version: str = "2.0.0") -> Path:
    return three.release(Release(version))


def refused(run: Play, *words: str) -> None:
    assert run.code == 2, run.output
    for word in words:
        assert word in run.output, run.output


def test_a_plan_and_check_mode_change_nothing(three: Ground, rollout: str) -> None:
    before = three.untouched(*three.nodes)
    shown = three.play("plan", vvtv_release=release(three))
    assert shown.code == 0, shown.output
    for word in (rollout, "2.0.0", "node01", "vvtv.runbook.promote", "guards: a host is put back"):
        assert word in shown.output
    for host in three.nodes:
        # Neither systemd nor the node's command: the plan says that nobody goes back by itself.
        assert re.search(rf"{host} +ok +no +.*(does not run systemd|is not there)", shown.output), (
            shown.output
        )
    off = three.play("plan", vvtv_release=release(three), vvtv_guard=False)
    assert "no guards: vvtv_guard or vvtv_canary_auto_rollback is off" in off.output
    checked = three.play("canary", "--check", vvtv_release=release(three))
    assert checked.code == 0, checked.output
    assert three.untouched(*three.nodes) == before
    assert not three.store(rollout).path.exists()


def test_a_limit_that_contradicts_the_plan_is_refused(three: Ground, rollout: str) -> None:
    before = three.untouched(*three.nodes)
    for playbook, limit, left in (
        ("canary", "node01", "node02, node03"),
        ("rollout", "node02,node03", "node01"),
    ):
        run = three.play(playbook, "--limit", limit, vvtv_release=release(three))
        refused(run, "nothing was changed", f"leaves out {left}")
    assert three.untouched(*three.nodes) == before


def test_what_is_not_well_or_stopped_is_not_touched(three: Ground, rollout: str) -> None:
    """A station in emergency mode, since a restart would end that; a sick one; a stopped line."""
    assert three.play("emergency_on", "--limit", "node01").code == 0
    before = three.untouched("node01", "node03")
    refused(three.play("canary", vvtv_release=release(three)), "EMERGENCY", "nothing was changed")
    assert three.untouched("node01", "node03") == before
    assert three.play("emergency_off", "--limit", "node01").code == 0

    before = three.untouched("node01", "node03")
    three.nodes["node01"].faults(buffer=5)
    refused(three.play("canary", vvtv_release=release(three)), "BUFFER_CRITICAL")
    three.nodes["node01"].faults()

    stop = three.record_dir / "STOP"
    stop.write_text("the final is on\n")
    run = three.play("canary", vvtv_release=release(three))
    stop.unlink()
    refused(run, "the line is stopped", "the final is on")
    assert three.untouched("node01", "node03") == before


def test_while_a_canary_soaks(three: Ground, rollout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is promoted, neither artifact nor plan may change, no other rollout gets the node."""
    monkeypatch.setitem(three.given, "vvtv_canary_soak_hours", 0.1)
    archive = release(three)
    before = three.untouched("node03")
    begun = three.play("canary", vvtv_release=archive, vvtv_wait=False)
    assert begun.code == 0, begun.output
    assert three.store(rollout).last() == {"node01": "SOAKING"}
    refused(three.play("promote"), "SOAKING")
    refused(three.play("canary", vvtv_release=archive, vvtv_canary_soak_hours=0.5), "settings.soak_hours")
    refused(three.play("canary", vvtv_release=archive, vvtv_waves=["100%"]), "waves: of")
    archive.write_bytes(release(three, "2.0.1").read_bytes())
    refused(three.play("canary", vvtv_release=archive), "the artifact changed after the plan")
    other = {"vvtv_rollout_id": "20260131T140000Z-other", "vvtv_release": release(three, "2.5.0")}
    refused(three.play("canary", **other), f"rollout {rollout} of", "has it until", "break_glass")
    assert three.kept("node01", rollout).link == "releases/2.0.0"
    assert three.untouched("node03") == before


@pytest.mark.thorough
def test_two_runs_of_one_rollout_do_not_cross(three: Ground, rollout: str) -> None:
    archive = release(three)
    with three.playing("canary", vvtv_release=archive) as first:
        first.until(lambda: three.kept("node01", rollout).samples >= 1, "the canary soaks")
        refused(three.play("canary", vvtv_release=archive), "has it until")
        assert first.finish().code == 0
    assert three.kept("node01", rollout).states == ["IN_PROGRESS", "SOAKING", "PASSED"]
    lease = json.loads((three.nodes["node01"].root / "runtime/runbook.rollout.json").read_text())
    assert lease["what"] == rollout


def test_forged_or_old_evidence_and_a_sick_canary_promote_nothing(three: Ground, rollout: str) -> None:
    run = three.play("canary", vvtv_release=release(three))
    assert run.code == 0, run.output
    before = three.untouched("node02", "node03", but=SAMPLES)
    evidence = three.store(rollout).path / "evidence/node01/result.env"
    honest = evidence.read_text()
    evidence.chmod(0o640)
    evidence.write_text(honest + "reason=none\n")
    refused(three.play("promote"), "its evidence in the store is not what was fetched")
    evidence.write_text(honest)
    refused(three.play("promote", vvtv_evidence_max_age_hours=0.0001), "it passed", "is the most")
    three.nodes["node01"].faults(buffer=5)
    lax = three.play("promote", vvtv_promote_strict=False)
    assert lax.code == 0, lax.output
    assert three.kept("node01", rollout).result["promotion_status"] == "BLOCKED"
    refused(three.play("promote"), "BUFFER_CRITICAL")
    assert three.untouched("node02", "node03", but=SAMPLES) == before
    assert {one["status"] for one in three.store(rollout).promotions} == {"BLOCKED"}
    assert three.store(rollout).last() == {"node01": "PASSED"}
