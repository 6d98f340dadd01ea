# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A promotion is bound to its evidence: each way in which it does not hold is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import promotion
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.begun import Candidate
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.gate import (
    Ask,
    GateClosed,
    ask_promotion,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.plan import Artifacts
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store
from tests.unit.core.nodes import Clock
from tests.unit.core.rollout.bases import (
    CANDIDATE,
    ID,
    OTHER_ID,
    PASS,
    here,
    lead,
    make_plan,
    make_store,
)

HOSTS = ("a", "b", "c", "d")
WELL = {"healthy": True, "state": "RUNNING", "findings": [], "alerts": []}
SOAK = "12" * 32


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands until it is moved."""
    return Clock(monkeypatch)


def result_env(rollout: str = ID, candidate: Candidate = CANDIDATE, **change: str) -> bytes:
    """What a node's result.env says."""
    said = {
        "status": "PASS",
        "rollout": rollout,
        "release_id": candidate.release_id or "",
        "release_sha256": candidate.release_sha256 or "",
        "card_sha256": candidate.card_sha256 or "",
        "soak_sha256": SOAK,
        **change,
    }
    return "".join(f"{name}={value}\n" for name, value in said.items()).encode()


def prove(store: Store, host: str = "a", soak: str = SOAK, **change: str) -> None:
    """Let a canary pass, with its evidence in the store."""
    lead(store, host, "PASSED", {"verdict": PASS, "soak_sha256": soak})
    found = {
        "result.env": result_env(store.rollout, soak_sha256=soak, **change),
        "soak/summary.txt": b"VVTV soak\nverdict=PASS\n",
    }
    store.keep_evidence(host, found)
    store.append(host, "PASSED", {"evidence": {name: files.sha256_hex(data) for name, data in found.items()}})


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    """A store whose one canary passed."""
    made = make_store(tmp_path)
    prove(made)
    return made


def ask(store: Store, check: bool = False, **given: Any) -> Outcome:
    """Ask for the promotion."""
    options = {"run": here(), "play_hosts": HOSTS, "health": {"a": WELL}, "strict": False, **given}
    return ask_promotion(store, Ask(**options), check)


def codes(store: Store, **given: Any) -> list[str]:
    """Return why it is blocked; nothing when it is granted."""
    told = ask(store, **given)
    reasons = told.facts["gate"]["reasons"]
    assert told.facts["gate"]["proceed"] == (not reasons)
    assert told.facts["promotion"]["status"] == ("BLOCKED" if reasons else "PROMOTED")
    return [reason["code"] for reason in reasons]


def test_evidence_that_holds_promotes_and_is_kept(store: Store) -> None:
    foretold = ask(store, check=True)
    assert (foretold.changed, store.promotions.exists()) == (True, False)
    done = ask(store, by="anna@bastion")
    assert done.facts["gate"]["proceed"]
    (line,) = store.promotions.read_text().splitlines()
    assert json.loads(line) == done.facts["promotion"]
    assert done.facts["promotion"]["evidence"] == {"a": SOAK}
    assert (done.facts["promotion"]["by"], done.facts["promotion"]["alerts"]) == ("anna@bastion", 0)
    again = ask(store)
    assert (again.changed, again.facts["promotion"]) == (False, done.facts["promotion"])
    assert len(store.promotions.read_text().splitlines()) == 1


def test_a_blocked_one_is_an_error_when_it_is_strict(store: Store) -> None:
    with pytest.raises(GateClosed, match="a: how it is now is not known") as caught:
        ask(store, strict=True, health={})
    assert caught.value.facts["promotion"]["status"] == "BLOCKED"
    assert promotion.granted(store, store.require_plan()) is None
    assert not ask(store, health={}).changed, "said once"
    assert codes(store) == []


def change_evidence(name: str, data: bytes | None) -> Callable[[Store], None]:
    def change(store: Store) -> None:
        path = store.evidence_dir("a") / name
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)

    return change


def restate(**change: Any) -> Callable[[Store], None]:
    """Let the record go with changed evidence, as if the node had said so."""

    def do(store: Store) -> None:
        found = {**store.evidence("a"), **change}
        store.keep_evidence("a", found)
        digests = {name: files.sha256_hex(data) for name, data in found.items()}
        store.append("a", "PASSED", {"evidence": digests})

    return do


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (change_evidence("result.env", None), "no_evidence"),
        (change_evidence("soak/summary.txt", None), "no_evidence"),
        (change_evidence("result.env", result_env() + b"x=1\n"), "evidence_changed"),
        (change_evidence("soak/summary.txt", b"verdict=PASS\n"), "evidence_changed"),
        (change_evidence("result.env", b"x" * 99_999), "no_evidence"),
        (restate(**{"result.env": result_env(status="FAIL_ROLLBACK_SKIPPED")}), "not_pass"),
        (restate(**{"result.env": b""}), "not_pass"),
        (restate(**{"result.env": result_env() + b"status=PASS\n"}), "not_pass"),
        (restate(**{"soak/summary.txt": b"verdict=FAIL\n"}), "not_pass"),
        (restate(**{"soak/summary.txt": b"verdict=FAIL\nverdict=PASS\n"}), "not_pass"),
        (restate(**{"result.env": result_env(rollout=OTHER_ID)}), "other_rollout"),
        (restate(**{"result.env": result_env(release_sha256="00" * 32)}), "other_candidate"),
        (restate(**{"result.env": result_env(card_sha256="")}), "other_candidate"),
        (restate(**{"result.env": result_env(soak_sha256="")}), "no_soak"),
        (restate(**{"result.env": result_env(soak_sha256="34" * 32)}), "no_soak"),
        (lambda store: store.append("a", "FAILED"), "canary_not_passed"),
        (lambda store: store.append("a", "UNKNOWN"), "canary_not_passed"),
    ],
)
def test_evidence_that_does_not_hold_promotes_nothing(
    store: Store, spoil: Callable[[Store], object], code: str
) -> None:
    spoil(store)
    assert code in codes(store)


def test_a_canary_without_a_soak_log_is_no_evidence(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    prove(store, soak="")
    assert codes(store) == ["no_soak"]


@pytest.mark.parametrize(
    ("health", "code"),
    [
        ({}, "health_unknown"),
        ({"a": {}}, "health_unknown"),
        ({"a": None}, "health_unknown"),
        ({"a": "healthy"}, "health_unknown"),
        ({"a": {**WELL, "state": None}}, "health_unknown"),
        ({"b": WELL}, "health_unknown"),
        ({"a": {**WELL, "state": "EMERGENCY"}}, "emergency"),
        ({"a": WELL, "b": {**WELL, "state": "EMERGENCY"}}, "emergency"),
        ({"a": {**WELL, "findings": [{"severity": "high", "code": "QA", "reason": "low"}]}}, "alarm"),
        ({"a": {**WELL, "alerts": [{"severity": "critical", "code": "BUFFER_CRITICAL"}]}}, "alarm"),
        ({"a": {**WELL, "healthy": False}}, "unhealthy"),
        ({"a": {**WELL, "healthy": "yes"}}, "unhealthy"),
    ],
)
def test_canaries_must_be_well_now(store: Store, health: dict[str, Any], code: str) -> None:
    assert codes(store, health=health) == [code]


def test_a_medium_finding_does_not_block(store: Store) -> None:
    seen = {**WELL, "findings": [{"severity": "medium", "code": "X", "reason": "y"}]}
    assert codes(store, health={"a": seen}) == []


def test_evidence_ages(store: Store, clock: Clock) -> None:
    clock.forward(hours=23)
    with store.lock():
        store.take_lease(here(), 10 * 86_400)
    assert codes(store, check=True) == []
    clock.forward(hours=1, seconds=1)
    assert codes(store) == ["old"]
    assert codes(store, max_age_hours=25) == []
    clock.forward(hours=24)
    assert codes(store, max_age_hours=25) == [], "a promotion that was granted holds as long again"
    clock.forward(hours=2)
    assert codes(store, max_age_hours=25) == ["old"]


def test_evidence_of_the_future_is_none(store: Store, clock: Clock) -> None:
    clock.forward(hours=-1)
    assert codes(store) == ["future"]


def test_evidence_promotes_one_rollout(store: Store) -> None:
    assert codes(store) == []
    other = make_store(store.base, make_plan(rollout=OTHER_ID))
    prove(other)
    with pytest.raises(GateClosed, match=f"the evidence has promoted rollout {ID} already"):
        ask(other, strict=True)


def test_evidence_that_changed_after_the_promotion_ends_it(store: Store) -> None:
    assert codes(store) == []
    store.append("a", "PASSED", {"soak_sha256": "34" * 32})
    assert set(codes(store)) == {"changed", "no_soak"}


def test_a_candidate_that_changed_on_the_bastion_is_not_promoted(tmp_path: Path) -> None:
    archive = tmp_path / "vvtv-1.4.0.tar"
    archive.write_bytes(b"a release")
    candidate = Candidate("vvtv-1.4.0", files.sha256_of(archive))
    made = make_plan(artifacts=Artifacts(candidate, str(archive)))
    store = make_store(tmp_path / "store", made)
    prove(store, release_sha256=candidate.release_sha256 or "", card_sha256="")
    assert codes(store, check=True) == []
    archive.write_bytes(b"another")
    assert codes(store) == ["artifact_changed"]
    archive.unlink()
    assert codes(store) == [], "elsewhere now"


def test_bad_hosts_and_the_line_block_it_too(store: Store) -> None:
    lead(store, "c", "UNKNOWN")
    assert codes(store) == ["bad_host"]
    assert codes(store, budget=1) == []
    (store.path / "STOP").touch()
    assert codes(store, budget=1) == ["stopped"]


def test_every_canary_needs_its_own(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_plan(canaries=["a", "b"]))
    prove(store, "a")
    assert codes(store) == ["canary_not_passed", "health_unknown"]
    prove(store, "b", soak="34" * 32)
    assert codes(store, health={"a": WELL, "b": WELL}) == []


@pytest.mark.parametrize("data", [b"{}\n", b"7\n", b"nonsense\n", b'{"v": 1, "status": "PERHAPS"}\n'])
def test_a_list_of_promotions_that_is_none_is_damage(store: Store, data: bytes) -> None:
    store.promotions.write_bytes(data)
    with pytest.raises(Damaged, match="is no list of promotions"):
        ask(store)


def test_ages_are_of_the_verdict_not_of_later_facts(store: Store, clock: Clock) -> None:
    clock.forward(hours=25)
    with store.lock():
        store.take_lease(here(), 10 * 86_400)
    store.append("a", "PASSED", {"promotion_blocked": ["x"]})
    assert times.now() - store.entries("a")[-1].at == timedelta(0)
    assert codes(store) == ["old"]
