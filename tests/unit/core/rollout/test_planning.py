# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning on the bastion: digests of real files, ids, leases, and what an operator may leave out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Busy,
    Damaged,
    NotFound,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.plan import Differs
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.planning import (
    Planner,
    Wanted,
    make_plan,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store, rollouts
from tests.simulator.owner_card import SAMPLE
from tests.unit.core.conftest import sha256sum
from tests.unit.core.nodes import Clock
from tests.unit.core.rollout.bases import ID, here

HOSTS = ["a", "b", "c"]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """An archive on the bastion."""
    path = tmp_path / "vvtv-1.4.0.tar.gz"
    path.write_bytes(b"a release")
    return path


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A valid card on the bastion."""
    path = tmp_path / "card.yaml"
    path.write_text(SAMPLE)
    return path


def plan(
    base: Path, rollout: str | None = ID, check: bool = False, run: Run | None = None, **wanted: Any
) -> Outcome:
    """Plan with a store below a folder."""
    planner = Planner(run or here(), 3600, wanted.pop("break_glass", None))
    return make_plan(str(base / "store"), rollout, Wanted(**wanted), planner, check)


def first(base: Path, release: Path, **more: Any) -> dict[str, Any]:
    """Make the plan that the tests go on from; return it."""
    wanted = {"hosts": HOSTS, "canaries": ["a"], "release": str(release), "settings": {"hours": 1}, **more}
    found: dict[str, Any] = plan(base, **wanted).facts["plan"]
    return found


def test_a_new_plan_has_the_digests_of_the_files(tmp_path: Path, release: Path, card: Path) -> None:
    made = first(tmp_path, release, card=str(card))
    assert made["candidate"] == {
        "release_id": "vvtv-1.4.0",
        "release_sha256": sha256sum(release),
        "release_path": str(release),
        "card_sha256": sha256sum(card),
        "card_path": str(card),
    }
    assert (made["waves"], made["canaries"], made["settings"]) == ([["b"], ["c"]], ["a"], {"hours": 1})
    assert Store.of(tmp_path / "store", ID).require_plan().result() == made


def test_check_mode_foretells_and_writes_nothing(tmp_path: Path, release: Path) -> None:
    foretold = plan(tmp_path, check=True, hosts=HOSTS, canaries=["a"], release=str(release))
    assert (foretold.facts["new"], foretold.changed, len(foretold.actions)) == (True, True, 1)
    assert not (tmp_path / "store").exists()
    done = plan(tmp_path, hosts=HOSTS, canaries=["a"], release=str(release))
    times = ("created_at",)
    same = [{k: v for k, v in o.facts["plan"].items() if k not in times} for o in (foretold, done)]
    assert same[0] == same[1]
    for check in (False, True):
        again = plan(tmp_path, check=check, hosts=HOSTS, canaries=["a"], release=str(release))
        assert (again.changed, again.facts["new"], again.facts["plan"]) == (False, False, done.facts["plan"])


def test_a_new_id_is_made_of_the_instant(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    for _turn in range(3):
        plan(tmp_path, None, hosts=HOSTS, canaries=["a"], release=str(release))
    assert rollouts(tmp_path / "store") == ("20260131T235959Z", "20260201T000000Z", "20260201T000001Z")


def test_what_is_left_out_is_as_it_was_frozen(tmp_path: Path, release: Path, card: Path) -> None:
    made = first(tmp_path, release, card=str(card), waves=["100%"], baselines=["z"], playbook="canary")
    for wanted in ({}, {"hosts": HOSTS}, {"release": str(release)}, {"card": str(card)}, {"waves": [2]}):
        assert plan(tmp_path, **wanted).facts["plan"] == made
    assert made["playbook"] == "canary"


def test_the_same_candidate_may_lie_elsewhere(tmp_path: Path, release: Path) -> None:
    made = first(tmp_path, release)
    moved = release.rename(tmp_path / "moved.tar.gz")
    with pytest.raises(BadInput, match="release is no file on the controller; say where it is now"):
        plan(tmp_path)
    found = plan(tmp_path, release=str(moved), release_id="vvtv-1.4.0").facts["plan"]
    assert found["candidate"] == {**made["candidate"], "release_path": str(moved)}


def test_a_changed_artifact_is_another_candidate(tmp_path: Path, release: Path) -> None:
    first(tmp_path, release)
    release.write_bytes(b"another release")
    for check in (False, True):
        with pytest.raises(Differs, match="the artifact changed after the plan"):
            plan(tmp_path, check=check)
    with pytest.raises(Differs, match="hosts: d new; .*settings.hours: 1 was planned, now 2"):
        plan(tmp_path, hosts=[*HOSTS, "d"], settings={"hours": 2})


def test_an_existing_plan_holds_whatever_is_asked_for(tmp_path: Path, release: Path) -> None:
    with pytest.raises(NotFound, match="has no plan of rollout"):
        plan(tmp_path, existing=True)
    with pytest.raises(BadInput, match="it is not said which rollout"):
        plan(tmp_path, None, existing=True)
    assert not (tmp_path / "store").exists()
    made = first(tmp_path, release)
    found = plan(tmp_path, existing=True, hosts=["z"], settings={}, waves=[1])
    assert (found.facts["plan"], found.changed, found.warnings) == (made, False, [])
    release.write_bytes(b"another release")
    found = plan(tmp_path, existing=True)
    assert found.facts["plan"] == made
    assert "the candidate is not what was planned" in found.warnings[0]
    release.unlink()
    assert "the candidate cannot be read" in plan(tmp_path, existing=True).warnings[0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "has no plan yet, and a new one needs hosts"),
        ({"hosts": HOSTS}, "needs a release, an OwnerCard, or both"),
        ({"hosts": HOSTS, "release_id": "x"}, "release_id names a release, which needs its archive"),
        ({"hosts": HOSTS, "release": "vvtv.tar"}, "release must be an absolute path"),
        ({"hosts": HOSTS, "release": "/nowhere.tar"}, "release is no file on the controller"),
        ({"hosts": HOSTS, "card": "/"}, "card is no file on the controller"),
    ],
)
def test_what_cannot_be_planned_leaves_nothing(tmp_path: Path, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        plan(tmp_path, **wanted)
    assert not (tmp_path / "store").exists()


def test_an_invalid_card_is_refused_before_anything_begins(tmp_path: Path, card: Path) -> None:
    card.write_text("schema_version: 0\n")
    with pytest.raises(Damaged, match="is no valid OwnerCard"):
        plan(tmp_path, hosts=HOSTS, canaries=["a"], card=str(card))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "release_id"),
    [("v1.tar", "v1"), ("v1.tgz", "v1"), ("v1.TAR.GZ", "v1"), ("v1.tar.zst", "v1"), ("v1.2", "v1.2")],
)
def test_a_release_is_named_by_its_file(tmp_path: Path, name: str, release_id: str) -> None:
    (tmp_path / name).touch()
    found = plan(tmp_path, hosts=HOSTS, canaries=["a"], release=str(tmp_path / name)).facts["plan"]
    assert found["candidate"]["release_id"] == release_id


def test_another_live_run_is_refused_unless_the_glass_is_broken(tmp_path: Path, release: Path) -> None:
    first(tmp_path, release)
    other = Run.of(os.getppid())
    for wanted in ({}, {"existing": True}):
        with pytest.raises(Busy, match="has it until"):
            plan(tmp_path, run=other, **wanted)
        assert "has the rollout until" in plan(tmp_path, run=other, check=True, **wanted).warnings[0]
    done = plan(tmp_path, run=other, break_glass="it hangs")
    assert done.actions == ["took the rollout from another run: it hangs"]
    assert "may still go on" in done.warnings[0]
