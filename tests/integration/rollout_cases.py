# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not happen to a rollout, wherever its nodes are.

Once over simulated nodes, where it runs on both cores (``tests/integration/playbooks``), and once over SSH
(``tests/fleet``). Each has a fixture ``field``, whose first host is the canary and whose second one is the
baseline host, and a fixture ``rollout``, the id of a rollout that is cleared away after the test.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Protocol

import pytest

from tests.integration.controllers import done, refused, until
from tests.integration.helpers import Play
from tests.integration.rollout_records import WATCHED, Kept, Store, assert_same
from tests.simulator.faults import FaultValue
from tests.simulator.release import Phase, Release

GOOD, BAD = Release("2.0.0"), Release("2.1.0", (Phase(3, {"qa": 0.4}),))
#: A case may take longer than a guard would wait for.
PATIENT = {"vvtv_guard_margin_minutes": 60}


class Field(Protocol):
    """Nodes to roll out to, the controller that does it, and readers that are not our code."""

    given: dict[str, Any]
    record_dir: Path

    @property
    def hosts(self) -> list[str]:
        """Their names: the canary, the baseline host, the others."""

    def play(self, name: str, *options: str, **wanted: Any) -> Play:
        """Run a playbook to its end."""

    def playing(self, name: str, *options: str, **wanted: Any) -> Any:
        """Run one beside a block."""

    def release(self, release: Release) -> Path:
        """Make a release's archive."""

    def store(self, rollout: str) -> Store:
        """The records on the controller."""

    def kept(self, host: str, rollout: str) -> Kept:
        """What a node keeps."""

    def running(self) -> dict[str, str]:
        """What each station says it runs."""

    def links(self) -> dict[str, str | None]:
        """What is in force on each node."""

    def fault(self, host: str, **wanted: FaultValue) -> None:
        """Set exactly these faults; none mends."""

    def pid(self, host: str) -> int | None:
        """A station's process."""

    def choose_canaries(self, *hosts: str) -> None:
        """Let these be the canaries."""

    def untouched(self, *hosts: str, but: Sequence[str] = ()) -> dict[str, str]:
        """All that a rollout could touch."""


def named_backups(kept: Kept, name: str) -> int:
    """How many backups of a name a node has, by their public facts."""
    found = kept.root.glob("runtime/backups/2*/backup.json")
    return sum(json.loads(path.read_text()).get("name") == name for path in found)


def phases_of(field: Field, rollout: str) -> dict[str, Callable[[], object]]:
    """By what one sees, on the canary's disk, how far its turn is."""
    kept = field.kept(field.hosts[0], rollout)
    return {
        "the plan is frozen": (field.store(rollout).path / "plan.json").exists,
        "the turn has begun": lambda: kept.states,
        "there is a backup": lambda: named_backups(kept, f"rollout-{rollout.lower()}"),
        "the archive is there": lambda: list(kept.path.glob("candidate/*.tar.gz")),
        "it is unpacked": (kept.root / "releases/2.0.0").is_dir,
        "it is the current one": lambda: kept.link == "releases/2.0.0",
        "it soaks": lambda: kept.states[-1:] == ["SOAKING"],
        "there are samples": lambda: kept.samples >= 2,
        "it has passed": lambda: kept.states[-1:] == ["PASSED"],
    }


class RolloutCases:
    """The tests; whoever has nodes makes a subclass of it whose name pytest collects."""

    def test_a_limit_that_contradicts_the_plan_is_refused(self, field: Field, rollout: str) -> None:
        canary, *others = field.hosts
        before = field.untouched(*field.hosts, but=WATCHED)
        for playbook, limit, left in (
            ("canary", canary, ", ".join(others)),
            ("rollout", ",".join(others), canary),
        ):
            run = field.play(playbook, "--limit", limit, vvtv_release=field.release(GOOD))
            refused(run, "nothing was changed", f"leaves out {left}")
        assert_same(before, field.untouched(*field.hosts, but=WATCHED))

    @pytest.mark.thorough
    def test_check_mode_changes_nothing(self, field: Field, rollout: str) -> None:
        before = field.untouched(*field.hosts, but=WATCHED)
        done(field.play("rollout", "--check", vvtv_release=field.release(GOOD)))
        assert_same(before, field.untouched(*field.hosts, but=WATCHED))
        assert not field.store(rollout).path.exists()

    @pytest.mark.thorough
    def test_what_is_not_well_or_stopped_is_not_touched(self, field: Field, rollout: str) -> None:
        """A station in emergency mode, since a restart would end that; a sick one; a stopped line."""
        canary, _watched, other, *_more = field.hosts
        archive = field.release(GOOD)
        done(field.play("emergency_on", "--limit", canary))
        before = field.untouched(canary, other)
        refused(field.play("canary", vvtv_release=archive), "EMERGENCY", "nothing was changed")
        assert_same(before, field.untouched(canary, other))
        done(field.play("emergency_off", "--limit", canary))

        before = field.untouched(canary, other)
        field.fault(canary, buffer=5)
        refused(field.play("canary", vvtv_release=archive), "BUFFER_CRITICAL")
        field.fault(canary)

        field.record_dir.mkdir(exist_ok=True)
        stop = field.record_dir / "STOP"
        stop.write_text("the final is on\n")
        run = field.play("canary", vvtv_release=archive)
        stop.unlink()
        refused(run, "the line is stopped", "the final is on")
        assert_same(before, field.untouched(canary, other))

    @pytest.mark.thorough
    def test_while_a_canary_soaks(self, field: Field, rollout: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is promoted, neither artifact nor plan may change, no other rollout gets the node."""
        canary, _watched, other, *_more = field.hosts
        monkeypatch.setitem(field.given, "vvtv_canary_soak_hours", 0.1)
        archive = field.release(GOOD)
        before = field.untouched(other)
        done(field.play("canary", vvtv_release=archive, vvtv_wait=False))
        assert field.store(rollout).last() == {canary: "SOAKING"}
        refused(field.play("promote"), "SOAKING")
        refused(field.play("canary", vvtv_release=archive, vvtv_canary_soak_hours=0.5), "settings.soak_hours")
        refused(field.play("canary", vvtv_release=archive, vvtv_waves=["100%"]), "waves: of")
        archive.write_bytes(field.release(Release("2.0.1")).read_bytes())
        refused(field.play("canary", vvtv_release=archive), "the artifact changed after the plan")
        later = {"vvtv_rollout_id": "20260131T140000Z-other", "vvtv_release": field.release(Release("2.5.0"))}
        refused(field.play("canary", **later), f"rollout {rollout} of", "has it until", "break_glass")
        assert field.kept(canary, rollout).link == "releases/2.0.0"
        assert_same(before, field.untouched(other))

    @pytest.mark.thorough
    def test_two_runs_of_one_rollout_do_not_cross(self, field: Field, rollout: str) -> None:
        canary, archive = field.hosts[0], field.release(GOOD)
        kept = field.kept(canary, rollout)
        with field.playing("canary", vvtv_release=archive) as first:
            first.until(lambda: kept.samples >= 1, "the canary soaks")
            refused(field.play("canary", vvtv_release=archive), "has it until")
            done(first.finish())
        assert kept.states == ["IN_PROGRESS", "SOAKING", "PASSED"]
        lease = json.loads((kept.root / "runtime/runbook.rollout.json").read_text())
        assert lease["what"] == rollout

    def test_forged_or_old_evidence_and_a_sick_canary_promote_nothing(
        self, field: Field, rollout: str
    ) -> None:
        canary, *others = field.hosts
        done(field.play("canary", vvtv_release=field.release(GOOD)))
        before = field.untouched(*others, but=WATCHED)
        evidence = field.store(rollout).path / f"evidence/{canary}/result.env"
        honest = evidence.read_text()
        evidence.chmod(0o640)
        evidence.write_text(honest + "reason=none\n")
        refused(field.play("promote"), "its evidence in the store is not what was fetched")
        evidence.write_text(honest)
        refused(field.play("promote", vvtv_evidence_max_age_hours=0.0001), "it passed", "is the most")
        field.fault(canary, buffer=5)
        done(field.play("promote", vvtv_promote_strict=False))
        assert field.kept(canary, rollout).result["promotion_status"] == "BLOCKED"
        refused(field.play("promote"), "BUFFER_CRITICAL")
        assert_same(before, field.untouched(*others, but=WATCHED))
        assert {one["status"] for one in field.store(rollout).promotions} == {"BLOCKED"}
        assert field.store(rollout).last() == {canary: "PASSED"}

    @pytest.mark.thorough
    def test_a_run_that_is_killed_in_every_phase_is_continued_and_changes_the_host_once(
        self, field: Field, rollout: str
    ) -> None:
        canary, _watched, other, *_more = field.hosts
        archive, kept, others = field.release(GOOD), field.kept(canary, rollout), field.untouched(other)
        before, pids = field.pid(canary), set()
        for what, holds in phases_of(field, rollout).items():
            with field.playing("canary", vvtv_release=archive, **PATIENT) as running:
                running.until(holds, what)
                running.kill()
            pids.add(field.pid(canary))
        done(field.play("canary", vvtv_release=archive, **PATIENT))
        assert kept.states == ["IN_PROGRESS", "SOAKING", "PASSED"]
        assert field.store(rollout).last() == {canary: "PASSED"}
        assert named_backups(kept, f"rollout-{rollout.lower()}") == 1
        assert kept.result["backup_dir"] == kept.facts["backup_path"] != ""
        assert len(pids - {before, None}) == 1, "the station was restarted more than once"
        assert_same(others, field.untouched(other))
        assert not list(kept.root.glob("releases/.*"))

    @pytest.mark.thorough
    def test_a_way_back_that_is_killed_is_finished_by_the_next_run(self, field: Field, rollout: str) -> None:
        canary, archive = field.hosts[0], field.release(BAD)
        kept, former = field.kept(canary, rollout), field.running()
        link = field.links()[canary]
        phases: dict[str, Callable[[], object]] = {
            "it has failed": lambda: kept.states[-1:] == ["FAILED"],
            "the former release is back": lambda: kept.link == link,
        }
        for what, holds in phases.items():
            with field.playing("canary", vvtv_release=archive, **PATIENT) as running:
                running.until(holds, what)
                running.kill()
        refused(field.play("canary", vvtv_release=archive, **PATIENT))
        # On a busy machine it may be sick before it soaks.
        states = [state for state in kept.states if state != "SOAKING"]
        assert states == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]
        assert field.store(rollout).last() == {canary: "ROLLED_BACK"}
        assert field.running() == former
        assert kept.result["status"] == "FAIL_ROLLBACK_APPLIED"

    @pytest.mark.thorough
    def test_a_sick_baseline_holds_the_canary_and_a_new_soak_settles_it(
        self, field: Field, rollout: str
    ) -> None:
        canary, watched, other, *_more = field.hosts
        kept, former = field.kept(canary, rollout), field.links()[other]
        field.fault(watched, qa=0.4)
        run = field.play("canary", vvtv_release=field.release(BAD), **PATIENT)
        refused(run, "baseline hosts fail in the same way")
        assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD"]
        assert kept.link == f"releases/{BAD.version}"
        assert (kept.result["status"], kept.summary["verdict"]) == ("FAIL_ROLLBACK_SKIPPED", "FAIL")
        refused(field.play("promote"))
        assert field.links()[other] == former
        # What was wrong with both is over.
        field.fault(canary, qa=0.95)
        field.fault(watched)
        done(field.play("reconcile", vvtv_reconcile="resoak"))
        assert kept.states[-1] == "SOAKING"
        until((kept.path / "soak/ended.json").exists, "the new soak ends")
        done(field.play("collect"))
        assert kept.states == ["IN_PROGRESS", "SOAKING", "HELD", "SOAKING", "PASSED"]

    @pytest.mark.thorough
    def test_a_rollback_that_fails_freezes_the_rollout_until_an_operator_has_mended_it(
        self, field: Field, rollout: str
    ) -> None:
        canary, archive = field.hosts[0], field.release(BAD)
        kept, former, running_before = field.kept(canary, rollout), field.links()[canary], field.running()
        aside = kept.root / "aside"
        with field.playing("canary", vvtv_release=archive) as running:
            running.until(lambda: kept.states[-1:] == ["SOAKING"], "it soaks")
            shutil.move(kept.root / str(former), aside)
            run = refused(running.finish(), "NEEDS_OPERATOR")
        assert kept.states[-1] == "NEEDS_OPERATOR", run.output
        assert field.store(rollout).last() == {canary: "NEEDS_OPERATOR"}
        for playbook in ("canary", "promote"):
            refused(field.play(playbook, vvtv_failure_budget=5), "needs an operator")
        shutil.move(aside, kept.root / str(former))
        done(field.play("reconcile"))
        assert kept.states[-1] == "ROLLED_BACK"
        assert field.running() == running_before

    @pytest.mark.thorough
    def test_one_sick_canary_of_two_goes_back_at_once_and_the_other_one_is_settled_later(
        self, field: Field, rollout: str
    ) -> None:
        canary, watched, second, other = field.hosts
        field.choose_canaries(canary, second)
        before = field.untouched(other)
        soak = {"vvtv_canary_soak_hours": 20 / 3600, "vvtv_release": field.release(GOOD)}
        with field.playing("canary", **soak) as running:
            running.until(lambda: field.kept(second, rollout).samples >= 1, "both canaries soak")
            field.fault(second, buffer=5)
            running.until(lambda: "FAILED" in field.kept(second, rollout).states, "one of them has failed")
            field.fault(second)
            refused(running.finish())
        assert field.store(rollout).last() == {canary: "SOAKING", second: "ROLLED_BACK"}
        assert "BUFFER_CRITICAL" in field.kept(second, rollout).summary["reasons"]
        until((field.kept(canary, rollout).path / "soak/ended.json").exists, "the other soak ends")
        refused(field.play("collect"))
        assert field.store(rollout).last() == {canary: "PASSED", second: "ROLLED_BACK"}
        refused(field.play("promote"))
        assert_same(before, field.untouched(other))
        assert field.links()[watched] == field.links()[other]

    @pytest.mark.thorough
    def test_a_pipeline_that_stands_still_passes_nothing(self, field: Field, rollout: str) -> None:
        canary = field.hosts[0]
        frozen = Release("2.3.0", (Phase(0, {"pipeline": "frozen"}),))
        refused(field.play("canary", vvtv_release=field.release(frozen), vvtv_ready_secs=8))
        assert field.store(rollout).last()[canary] in ("ROLLED_BACK", "HELD")
        assert field.kept(canary, rollout).result["status"] != "PASS"
