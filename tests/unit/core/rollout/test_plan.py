# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans: waves that miss nobody, and a frozen plan that is only ever that plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import plan
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.begun import Candidate
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.plan import Artifacts, Differs
from tests.unit.core.rollout.bases import CANDIDATE, DIGEST, OTHER_ID, make_plan

FILE = Path("/store/plan.json")
TEN = [f"h{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("count", "waves", "sizes"),
    [
        (10, [1, "25%", "100%"], [1, 1, 8]),
        (100, [1, "10%", "50%", "100%"], [1, 9, 40, 50]),
        (3, [1, "25%", "100%"], [1, 1, 1]),
        (2, [1, "25%", "100%"], [1, 1]),
        (1, [1, "25%", "100%"], [1]),
        (0, [1, "25%", "100%"], []),
        (0, [], []),
        (5, ["100%"], [5]),
        (5, [99], [5]),
        (5, ["2", " 50 %", 5], [2, 1, 2]),
        (4, [3, 1, "100%"], [3, 1]),
    ],
)
def test_waves_are_counted_over_all_hosts_after_the_canaries(
    count: int, waves: list[Any], sizes: list[int]
) -> None:
    assert [len(wave) for wave in plan.split([str(number) for number in range(count)], waves)] == sizes


@given(
    st.integers(1, 200),
    st.lists(st.integers(1, 60) | st.integers(1, 100).map(lambda share: f"{share}%"), max_size=5),
)
def test_waves_miss_nobody_and_keep_the_order(count: int, waves: list[Any]) -> None:
    hosts = [str(number) for number in range(count)]
    made = plan.split(hosts, [*waves, "100%"])
    assert [host for wave in made for host in wave] == hosts
    assert all(made)
    assert len(made) <= len(waves) + 1


@pytest.mark.parametrize(
    "wave", [0, -1, "0%", "101%", "1.5%", "", "all", "1 host", True, None, 1.5, "²", "1" * 99]
)
def test_a_wave_that_is_none(wave: Any) -> None:
    with pytest.raises(BadInput, match="a wave must be a number of hosts or a percentage"):
        plan.split(TEN, [wave, "100%"])


def test_waves_that_do_not_reach_everybody_are_refused() -> None:
    with pytest.raises(BadInput, match="reach 5 of the 10 hosts after the canaries; end them with 100%"):
        plan.split(TEN, [1, "50%"])
    with pytest.raises(BadInput, match="reach 0 of the 10 hosts"):
        plan.split(TEN, [])


def test_the_canaries_come_first_and_the_order_is_the_given_one() -> None:
    made = make_plan(["d", "c", "b", "a"], canaries=["a", "c"], baselines=["b", "z"], waves=["100%"])
    assert (made.hosts, made.canaries) == (("c", "a", "d", "b"), ("c", "a"))
    assert made.batches == (("c", "a"), ("d", "b"))
    assert [made.batch_of(host) for host in "cadb"] == [0, 0, 1, 1]
    with pytest.raises(BadInput, match="z is no host of rollout"):
        made.batch_of("z")
    assert made.result()["batches"] == [
        {"batch": "canary", "hosts": ["c", "a"]},
        {"batch": "1", "hosts": ["d", "b"]},
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"canaries": []}, "needs at least one canary"),
        ({"canaries": ["z"]}, "canaries that are not among the hosts: z"),
        ({"canaries": ["a", "a"]}, "canaries names a host twice: a"),
        ({"baselines": ["a"]}, "cannot be a canary and a baseline: a"),
        ({"baselines": ["../etc"]}, "cannot be a host of a rollout"),
        ({"settings": {"a": object()}}, "settings cannot be kept as JSON"),
        ({"settings": {"a": float("nan")}}, "settings cannot be kept as JSON"),
    ],
)
def test_what_makes_no_plan(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_plan(**change)


@pytest.mark.parametrize("host", ["", ".", "..", ".a", "a/b", "a b", "a\n", "é", "a" * 201, "a\0"])
def test_a_name_that_cannot_name_a_file_is_no_host(host: str) -> None:
    with pytest.raises(BadInput, match="cannot be a host of a rollout"):
        make_plan([host, "b"])


@pytest.mark.parametrize(
    "host", ["a", "tv-node1.example.com", "10.0.0.1", "[::1]:22", "fe80::1", "user@host", "_x"]
)
def test_names_of_an_inventory_are_hosts(host: str) -> None:
    assert plan.check_host(host) == host


# --- the file ---


def test_a_plan_is_read_back_as_it_was() -> None:
    made = make_plan(settings={"soak_hours": 1.0, "deep": {"a": [1, None, True]}}, baselines=["z"])
    assert plan.of_bytes(plan.to_bytes(made), FILE) == made


@given(
    st.sampled_from(["hosts", "canaries", "waves", "candidate", "settings", "sha256", "v", "rollout"]),
    st.data(),
)
def test_a_plan_that_was_changed_is_damage(name: str, data: st.DataObject) -> None:
    said = json.loads(plan.to_bytes(make_plan()))
    other = data.draw(
        st.none()
        | st.integers()
        | st.text(max_size=3)
        | st.lists(st.text(max_size=3), max_size=3)
        | st.just({})
    )
    said[name] = other
    with pytest.raises(Damaged, match="is no plan of a rollout"):
        plan.of_bytes(json.dumps(said).encode(), FILE)


@given(st.binary(max_size=60))
def test_any_bytes_are_damage(data: bytes) -> None:
    with pytest.raises(Damaged):
        plan.of_bytes(data, FILE)


# --- the same again ---


def test_the_same_plan_is_the_frozen_one_with_the_files_where_they_are_now() -> None:
    frozen = make_plan()
    wanted = replace(make_plan(by="other"), artifacts=Artifacts(CANDIDATE, "/elsewhere/r.tar"))
    kept = plan.require_same(frozen, wanted, FILE)
    assert (kept.by, kept.artifacts.release_path, kept.sha256) == (
        "tester@here",
        "/elsewhere/r.tar",
        frozen.sha256,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": ["a", "b", "c"]}, "hosts: d left"),
        ({"hosts": ["a", "b", "c", "d", "e"]}, "hosts: e new"),
        ({"hosts": ["a", "c", "b", "d"]}, "hosts: in another order"),
        ({"canaries": ["a", "b"]}, "canaries: b new"),
        ({"baselines": ["z"]}, "baselines: z new"),
        ({"waves": [2, "100%"]}, "waves: of 1 + 2 hosts, now of 2 + 1"),
        ({"settings": {"soak_hours": 2.0}}, "settings.soak_hours: 1.0 was planned, now 2.0"),
        ({"settings": {}}, "settings.soak_hours: 1.0 was planned, now null"),
        (
            {"artifacts": Artifacts(Candidate("vvtv-1.4.0", "ef" * 32, CANDIDATE.card_sha256))},
            f"candidate.release_sha256: the artifact changed after the plan, {DIGEST} was planned, now efef",
        ),
        ({"artifacts": Artifacts(Candidate("vvtv-1.4.0", DIGEST))}, "was planned, now none"),
    ],
)
def test_every_difference_is_named(change: dict[str, Any], said: str) -> None:
    frozen, wanted = make_plan(), make_plan(**change)
    with pytest.raises(Differs) as caught:
        plan.require_same(frozen, wanted, FILE)
    assert any(said in difference for difference in caught.value.differences), caught.value.differences
    assert said in str(caught.value)
    assert caught.value.result()["differences"] == list(caught.value.differences)
    assert caught.value.result()["code"] == "plan_differs"
    assert frozen.sha256 != wanted.sha256


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1.0, 1), ("0.5", 0.5), (True, "true"), ("x", "x")])
def test_a_number_is_the_same_however_a_template_wrote_it(one: Any, other: Any) -> None:
    frozen, wanted = (make_plan(settings={"deep": [{"a": value}]}) for value in (one, other))
    assert plan.differences(frozen, wanted) == []


def test_other_settings_are_others() -> None:
    frozen = make_plan(settings={"a": "1", "b": None, "c": False})
    assert len(plan.differences(frozen, make_plan(settings={"a": "2", "b": 0, "c": "no"}))) == 3


def test_two_rollouts_are_two_plans() -> None:
    assert make_plan().sha256 != make_plan(rollout=OTHER_ID).sha256
