# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the baseline hosts have to do with a verdict."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import judge, progress
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak.baseline import baselines_of

from . import soaks
from .soaks import asked, case, codes, gauges, limits, verdict

SICK = gauges(buffer_minutes=5.0)
FLOOR = Thresholds(qa_baseline="floor")


def told(changes: dict[int, Any] | None = None, missing: Any = (), **plan: Any) -> dict[str, Any]:
    """What a baseline host's soak tells, after its way through JSON."""
    made = case(asked(**plan), changes, missing)
    found: dict[str, Any] = json.loads(json.dumps(progress.observed_of(made, judge.judge(made))))
    return found


def hosts(*observed: dict[str, Any] | None) -> Any:
    return baselines_of([{"host": f"base{number}", "observed": one} for number, one in enumerate(observed)])


WELL = told()
ILL = told({4: SICK})


@pytest.mark.parametrize(
    ("others", "result"),
    [
        ([WELL], "FAIL"),
        ([ILL], "INCONCLUSIVE"),
        ([ILL, ILL, WELL], "INCONCLUSIVE"),
        ([ILL, WELL], "FAIL"),
        ([ILL, WELL, WELL], "FAIL"),
        ([ILL, None], "FAIL"),
        ([None], "FAIL"),
        ([told({4: gauges(fallback_rate=0.5)})], "FAIL"),
    ],
)
def test_what_most_baseline_hosts_have_too_proves_nothing(others: list[Any], result: str) -> None:
    wanted = asked(limits(slo_target=0))
    found = verdict(wanted, {5: SICK}, baselines=hosts(*others))
    assert found.result == result
    assert found.hosts == tuple(f"base{number}" for number in range(len(others)))
    assert codes(found) == (["baseline_sick"] if result == "INCONCLUSIVE" else ["BUFFER_CRITICAL"])


def test_the_api_and_the_availability_of_baseline_hosts_count_too() -> None:
    down = told({3: soaks.down, 4: soaks.down, 5: soaks.down})
    found = verdict(asked(), {3: soaks.down, 4: soaks.down, 5: soaks.down}, baselines=hosts(down))
    assert codes(found) == ["baseline_sick"]
    assert found.reasons[0].evidence["check"] == "api_errors"
    found = verdict(asked(), {5: SICK}, baselines=hosts(ILL))
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["baseline_sick", "baseline_sick"])


def test_a_failure_of_another_time_is_not_the_same() -> None:
    wanted = asked(limits(slo_target=0), hours=59 / 60)
    early, late = told({3: SICK}, hours=59 / 60), told({55: SICK}, hours=59 / 60)
    for observed, result in ((early, "FAIL"), (late, "INCONCLUSIVE")):
        assert verdict(wanted, {54: SICK}, baselines=hosts(observed)).result == result


def test_another_failure_beside_a_shared_one_still_fails() -> None:
    low = gauges(buffer_minutes=5.0, fallback_rate=0.9)
    found = verdict(asked(limits(slo_target=0)), {5: low}, baselines=hosts(ILL))
    assert found.result == "FAIL"
    assert {"FALLBACK_RATE_HIGH", "baseline_sick"} <= set(codes(found))


# --- the QA pass rate beside theirs ---


def rates(rate: float, *which: int) -> dict[int, Any]:
    return dict.fromkeys(which or range(10), gauges(qa_pass_rate=rate))


@pytest.mark.parametrize(
    ("own", "theirs", "result"),
    [
        (rates(0.88), told(rates(0.95)), "FAIL"),
        (rates(0.91), told(rates(0.95)), "PASS"),
        (rates(0.9), told(rates(0.95)), "PASS"),  # exactly the tolerance
        (rates(0.88, 3, 4), told(rates(0.95)), "PASS"),  # two bad ones move no median
        (rates(0.95), told(rates(0.7), thresholds=Thresholds(qa_floor=0, qa_baseline="floor")), "PASS"),
    ],
)
def test_the_median_is_compared(own: Any, theirs: Any, result: str) -> None:
    found = verdict(asked(thresholds=FLOOR), own, baselines=hosts(theirs))
    assert found.result == result
    assert codes(found) == (["qa_below_baseline_hosts"] if result == "FAIL" else [])


def test_too_few_metric_samples_on_either_side_say_nothing() -> None:
    short = asked(limits(min_samples=1, min_coverage=0), thresholds=FLOOR)
    few, many = told(missing=range(3, 10)), told(rates(0.99))
    assert len(few["qa"]) == 2
    assert verdict(short, rates(0.88), baselines=hosts(few)).result == "PASS"
    assert verdict(short, rates(0.88), missing=range(3, 10), baselines=hosts(many)).result == "PASS"
    assert verdict(short, rates(0.88), baselines=hosts(few, many)).result == "FAIL"


def test_only_the_same_window_is_compared() -> None:
    other = told(rates(0.99))
    other["qa"] = [[times.to_text(times.parse(at) - timedelta(hours=2)), rate] for at, rate in other["qa"]]
    assert verdict(asked(thresholds=FLOOR), rates(0.88), baselines=hosts(other)).result == "PASS"


def test_it_can_be_only_observed() -> None:
    wanted = limits(checks={"qa_below_baseline_hosts": {"mode": "observe"}})
    assert verdict(asked(wanted, thresholds=FLOOR), rates(0.88), baselines=hosts(told())).result == "PASS"


# --- what others tell is checked ---

BAD: list[Any] = [
    {},
    {"host": 1},
    {"host": ""},
    {"host": "a", "observed": []} | {"observed": [1]},
    {"host": "a", "observed": {"failing": []}},
    {"host": "a", "observed": {"failing": [{"code": "X"}], "qa": []}},
    {"host": "a", "observed": {"failing": [], "qa": [["2026-11-24T09:00:00Z", 2.0]]}},
    {"host": "a", "observed": {"failing": [], "qa": [["2026-11-24T09:00:00Z", True]]}},
    {"host": "a", "observed": {"failing": [], "qa": [["2026-11-24T09:00:00Z", float("nan")]]}},
    {"host": "a", "observed": {"failing": [], "qa": [["yesterday", 0.5]]}},
    {"host": "a", "observed": {"failing": [], "qa": [["2026-11-24T09:00:00Z", 0.5]] * 101}},
]


@pytest.mark.parametrize("given_one", BAD, ids=range(len(BAD)))
def test_an_entry_that_is_none_is_named(given_one: Any) -> None:
    with pytest.raises(BadInput, match="entry 2"):
        baselines_of([{"host": "good", "observed": WELL}, given_one])


def test_a_host_is_there_once() -> None:
    with pytest.raises(BadInput, match="twice"):
        baselines_of([{"host": "a"}, {"host": "a"}])


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["failing", "qa", "since", "x"]), json_values))
def test_whatever_comes_is_a_baseline_or_bad_input(observed: dict[str, Any]) -> None:
    try:
        (found,) = baselines_of([{"host": "a", "observed": observed}])
    except BadInput as exc:
        assert "entry 1" in exc.msg
    else:
        assert all(0 <= rate <= 1 for _at, rate in found.qa)
