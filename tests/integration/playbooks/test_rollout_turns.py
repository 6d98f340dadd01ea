# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rollouts from end to end over simulated nodes: a good candidate goes everywhere, a bad one goes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.controllers import done
from tests.integration.helpers import sha256sum
from tests.integration.rollout_records import FORMER, WATCHED, assert_same
from tests.simulator.release import Phase, Release

from .rollout_ground import Ground, ground

GOOD, BAD = Release("2.0.0"), Release("2.1.0", (Phase(3, {"qa": 0.4}),))


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Ground]:
    with ground(tmp_path, 5) as field:
        yield field


def rest(field: Ground) -> dict[str, str]:
    """All that could have been touched on hosts that are no canaries; the baseline host is watched."""
    return {
        **field.untouched("node02", but=WATCHED),
        **field.untouched(*(name for name in field.nodes if name not in ("node01", "node02"))),
    }


# Over SSH both are in make test.
@pytest.mark.thorough
def test_a_good_candidate_goes_to_the_canary_and_then_in_waves_to_all(five: Ground) -> None:
    archive = five.release(GOOD)
    before = rest(five)
    done(five.play("canary", vvtv_release=archive))
    store = five.store()
    assert (store.last()["node01"], five.kept("node01").states[-1]) == ("PASSED", "PASSED")
    assert five.running() == {**dict.fromkeys(five.nodes, FORMER), "node01": GOOD.version}
    assert_same(before, rest(five))
    result = five.kept("node01").result
    assert (result["status"], result["rollback_applied"], result["verdict"]) == ("PASS", "0", "PASS")
    assert five.kept("node01").summary["verdict"] == "PASS"
    assert int(five.kept("node01").summary["samples"]) >= 3
    assert result["release_sha256"] == sha256sum(archive)

    done(five.play("promote"))
    assert set(five.running().values()) == {GOOD.version}
    assert set(five.links().values()) == {f"releases/{GOOD.version}"}
    assert set(store.last().values()) == {"PROMOTED"}
    assert list(store.last()) == list(five.nodes)
    for name in five.nodes:
        kept = five.kept(name)
        assert kept.states == ["IN_PROGRESS", "SOAKING", "PASSED", "PROMOTED"]
        (promotion,) = kept.promotions
        assert (promotion["status"], promotion["rollout"]) == ("PROMOTED", store.rollout)
    assert [len(wave) for wave in store.plan["waves"]] == [1, 1, 2]
    # Each wave began when the one before had been promoted.
    begun = {name: five.kept(name).facts["release_id"] for name in five.nodes}
    assert set(begun.values()) == {GOOD.version}

    again = done(five.play("promote"))
    assert [again.count(name, "changed") for name in five.nodes] == [0] * 5


@pytest.mark.thorough
def test_a_bad_candidate_is_caught_on_the_canary_and_the_rest_is_byte_for_byte_the_same(
    five: Ground,
) -> None:
    before = rest(five)
    card = sha256sum(five.nodes["node01"].owner_card)
    plans = five.plans("node01")
    run = five.play("canary", vvtv_release=five.release(BAD))
    assert run.code == 2, run.output
    assert_same(before, rest(five))
    assert "QA" in run.output
    assert five.running() == dict.fromkeys(five.nodes, FORMER)
    assert set(five.links().values()) == {f"releases/{FORMER}"}
    kept = five.kept("node01")
    assert kept.states == ["IN_PROGRESS", "SOAKING", "FAILED", "ROLLED_BACK"]
    assert five.store().last()["node01"] == "ROLLED_BACK"
    assert kept.result["status"] == "FAIL_ROLLBACK_APPLIED"
    assert kept.summary["verdict"] == "FAIL"
    assert sha256sum(five.nodes["node01"].owner_card) == card
    assert five.plans("node01") >= plans

    # It is over: neither promotes nor begins again under its id.
    refused = five.play("promote")
    assert refused.code == 2
    refused = five.play("canary", vvtv_release=five.release(BAD))
    assert refused.code == 2
    assert_same(before, rest(five))
    assert five.running() == dict.fromkeys(five.nodes, FORMER)


@pytest.mark.thorough
def test_a_candidate_that_never_gets_ready_goes_back_before_it_soaks(tmp_path: Path) -> None:
    with ground(tmp_path, 2) as two:
        run = two.play(
            "canary", vvtv_release=two.release(Release("2.2.0", ready_after=None)), vvtv_ready_secs=3
        )
        assert run.code == 2, run.output
        assert "Change | The station is ready" in run.output
        assert two.kept("node01").states == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]
        assert two.running() == dict.fromkeys(two.nodes, FORMER)


@pytest.mark.thorough
def test_after_its_promotion_a_candidate_goes_back_on_request_the_last_host_first(tmp_path: Path) -> None:
    with ground(tmp_path, 3) as field:
        plans = {name: field.plans(name) for name in field.nodes}
        done(field.play("canary", vvtv_release=field.release(GOOD)))
        done(field.play("promote"))
        assert set(field.running().values()) == {GOOD.version}
        back = done(field.play("rollback", vvtv_reason="viewers complain"))
        assert re.findall(r"(node\d+) runs as before", back.output) == ["node03", "node02", "node01"]
        assert set(field.running().values()) == {FORMER}
        assert set(field.store().last().values()) == {"ROLLED_BACK"}
        for name in field.nodes:
            kept = field.kept(name)
            assert kept.states[-3:] == ["PROMOTED", "FAILED", "ROLLED_BACK"]
            assert kept.result["reason"] == "viewers complain"
            assert field.plans(name) >= plans[name]
        again = done(field.play("rollback", vvtv_reason="viewers complain"))
        assert [again.count(name, "changed") for name in field.nodes] == [0, 0, 0]
