# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict over a soak: every rule, and that it fails closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Card, Sample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import judge, observe, store
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak.verdict import CODES

from . import soaks
from .soaks import asked, case, codes, gauges, limits, verdict

SICK = gauges(buffer_minutes=5.0)
LOW_QA = gauges(qa_pass_rate=0.5)
ALL = range(10)


def stopped(code: str, at: float = 9) -> store.Ended:
    return store.Ended(soaks.at(at), code, "so it was", "me@here")


# --- PASS ---


def test_a_healthy_node_passes() -> None:
    found = verdict(asked())
    assert (found.result, found.reasons, found.certain) == ("PASS", (), False)
    assert (found.samples, found.cycles) == (10, 9)  # the first metric sample is older than the soak


def test_warmup_is_listed_and_not_judged() -> None:
    wanted = asked(warmup=120.0)
    found = verdict(wanted, {0: SICK, 1: soaks.down})
    assert found.result == "PASS"
    assert found.samples == 10
    assert found.warmup == {"samples": 2, "errors": 1, "findings": {"BUFFER_CRITICAL": 1}}
    assert codes(verdict(wanted, {2: SICK})) == ["BUFFER_CRITICAL", "slo"]


# --- failures ---


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (SICK, "BUFFER_CRITICAL"),
        (LOW_QA, "QA_PASS_RATE_LOW"),
        (gauges(fallback_rate=0.5), "FALLBACK_RATE_HIGH"),
        (gauges(stream_disruptions=1.0), "STREAM_DISRUPTIONS"),
        (soaks.failing("state", "damaged"), "STATE_DB_CORRUPT"),
        (soaks.failing("state", "not_found"), "STATE_DB_MISSING"),
        (soaks.failing("card", "damaged"), "OWNER_CARD_INVALID"),
    ],
)
def test_one_failure_is_enough(change: Callable[[Sample], Sample], code: str) -> None:
    found = verdict(asked(), {4: change})
    assert found.result == "FAIL"
    assert code in codes(found)
    assert found.reasons[0].result == "FAIL"
    assert found.certain


def test_what_is_less_than_fail_on_is_no_failure() -> None:
    low = gauges(buffer_minutes=50.0)
    assert verdict(asked(), {4: low}).result == "PASS"
    strict = asked(thresholds=Thresholds(fail_on="low"))
    assert codes(verdict(strict, {4: low})) == ["BUFFER_LOW"]


@pytest.mark.parametrize(
    ("wanted", "failed", "result"),
    [
        ({"max_failures": 2}, (1, 3), "PASS"),
        ({"max_failures": 2}, (1, 3, 5), "FAIL"),
        ({"max_failures": 3, "max_consecutive_failures": 1}, (1, 3, 5), "PASS"),
        ({"max_failures": 3, "max_consecutive_failures": 1}, (1, 2), "FAIL"),
        ({"checks": {"QA_PASS_RATE_LOW": {"max_failures": 2}}}, (1, 2), "PASS"),
        ({"checks": {"QA_PASS_RATE_LOW": {"max_failures": 2}}}, (1, 2, 3), "FAIL"),
        ({"max_failures": 9, "checks": {"QA_PASS_RATE_LOW": {"max_failures": 0}}}, (1,), "FAIL"),
        (
            {"max_failures": 9, "checks": {"QA_PASS_RATE_LOW": {"max_consecutive_failures": 1}}},
            (1, 2),
            "FAIL",
        ),
        ({"checks": {"QA_PASS_RATE_LOW": {"mode": "observe"}}}, tuple(ALL), "PASS"),
        ({"checks": {"BUFFER_CRITICAL": {"max_failures": 9}}}, (1,), "FAIL"),
    ],
)
def test_limits_of_a_check(wanted: dict[str, Any], failed: tuple[int, ...], result: str) -> None:
    low = gauges(qa_pass_rate=0.84)
    found = verdict(
        asked(limits(**wanted), thresholds=Thresholds(qa_baseline="floor")), dict.fromkeys(failed, low)
    )
    assert found.result == result
    told = next(one for one in found.checks if one["code"] == "QA_PASS_RATE_LOW")
    assert told["failures"] == len(failed)


def test_an_error_between_two_failures_does_not_end_their_row() -> None:
    wanted = asked(limits(max_failures=9, max_consecutive_failures=1, slo_target=0))
    assert verdict(wanted, {1: SICK, 3: SICK}).result == "PASS"
    assert codes(verdict(wanted, {1: SICK, 2: soaks.down, 3: SICK})) == ["BUFFER_CRITICAL"]


def test_availability_counts_where_failures_are_allowed() -> None:
    allowed = {"checks": {"BUFFER_CRITICAL": {"max_failures": 10}}}
    found = verdict(asked(limits(**allowed)), {4: SICK})
    assert codes(found) == ["slo"]
    assert found.reasons[0].evidence == {"available": 9, "samples": 10, "share": 0.9, "target": 0.995}
    assert verdict(asked(limits(**allowed, slo_target=0.9)), {4: SICK}).result == "PASS"
    assert verdict(asked(limits(**allowed, slo_target=0)), dict.fromkeys(ALL, SICK)).result == "PASS"


# --- errors ---


@pytest.mark.parametrize(
    ("down", "result", "code"),
    [
        ((3, 4), "PASS", None),
        ((1, 4, 7), "INCONCLUSIVE", "errors"),
        ((3, 4, 5), "FAIL", "api_errors"),
        ((1, 3, 4, 5), "FAIL", "api_errors"),
    ],
)
@pytest.mark.parametrize("part", ["status", "metrics", "alerts"])
def test_errors_of_the_api(part: str, down: tuple[int, ...], result: str, code: str | None) -> None:
    found = verdict(asked(), dict.fromkeys(down, soaks.failing(part, "http_status", 500)))
    assert found.result == result
    assert codes(found) == ([code] if code else [])
    assert found.certain == (result == "FAIL")


@pytest.mark.parametrize("locked", [(4,), (1, 2, 3, 4, 5), tuple(ALL)])
def test_what_we_could_not_read_is_never_a_failure(locked: tuple[int, ...]) -> None:
    """Not even the gauges that the API makes up meanwhile."""
    found = verdict(asked(), dict.fromkeys(locked, soaks.busy))
    assert found.result == ("PASS" if len(locked) == 1 else "INCONCLUSIVE")
    assert found.checks == ()
    assert "errors" in codes(found) or len(locked) == 1


# --- fail closed ---


def test_nothing_is_not_enough() -> None:
    found = verdict(asked(), missing=ALL)
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["no_data"])


@pytest.mark.parametrize(
    ("missing", "wanted", "result"),
    [
        ((2, 3), {}, "PASS"),
        ((2, 3, 4), {}, "INCONCLUSIVE"),
        ((2, 3, 4), {"min_coverage": 0.7}, "PASS"),
        ((), {"min_samples": 10}, "PASS"),
        ((5,), {"min_samples": 10}, "INCONCLUSIVE"),
    ],
)
def test_coverage(missing: tuple[int, ...], wanted: dict[str, Any], result: str) -> None:
    found = verdict(asked(limits(**wanted)), missing=missing)
    assert found.result == result
    assert codes(found) == (["low_coverage"] if result != "PASS" else [])


def test_a_soak_that_runs_is_inconclusive_until_it_can_only_fail() -> None:
    running = {"alive": True, "over": None, "now": soaks.at(4.5)}
    found = verdict(asked(), missing=range(5, 10), **running)
    assert (found.result, codes(found), found.certain) == ("INCONCLUSIVE", ["running"], False)
    found = verdict(asked(), {3: LOW_QA}, missing=range(5, 10), **running)
    assert (found.result, found.certain) == ("FAIL", True)
    assert case(asked(), missing=range(5, 10), **running).coverage == 1.0


def test_availability_is_certain_only_when_the_rest_cannot_mend_it() -> None:
    wanted = asked(limits(max_failures=9, slo_target=0.6))
    running = {"alive": True, "over": None}
    for sick, certain in ((4, False), (5, True)):
        changes = dict.fromkeys(range(sick), SICK)
        found = verdict(wanted, changes, missing=range(sick, 10), now=soaks.at(sick), **running)
        assert found.certain == certain
        assert found.result == ("FAIL" if certain else "INCONCLUSIVE")


@pytest.mark.parametrize("code", [store.STOPPED, store.DIED])
def test_a_soak_that_did_not_end_by_itself_passes_nothing(code: str) -> None:
    found = verdict(asked(), over=stopped(code))
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["interrupted"])
    found = verdict(asked(), {2: LOW_QA}, over=stopped(code))
    assert found.result == "FAIL"


def test_a_sampler_that_died_passes_nothing() -> None:
    found = verdict(asked(), over=None, alive=False, now=soaks.at(99))
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["interrupted"])


def test_a_soak_that_stopped_early_passes_by_no_other_limits() -> None:
    over = stopped(store.EARLY_STOP, 4)
    changes = {4: LOW_QA}
    found = verdict(asked(), changes, missing=range(5, 10), over=over)
    assert (found.result, codes(found)) == ("FAIL", ["QA_PASS_RATE_LOW"])
    found = verdict(asked(limits(max_failures=5)), changes, missing=range(5, 10), over=over)
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["interrupted"])


def test_a_clock_that_stands_still_proves_nothing() -> None:
    def frozen(sample: Sample) -> Sample:
        value = sample.status.value
        assert value is not None
        return replace(sample, status=replace(sample.status, value=replace(value, timestamp=soaks.at(3))))

    found = verdict(asked(thresholds=Thresholds(clock_tolerance=3600)), {4: frozen, 5: frozen})
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["stale"])
    assert found.reasons[0].evidence["times"] == 2


def test_emergency_mode_and_another_card_prove_nothing() -> None:
    assert codes(verdict(asked(), {4: soaks.emergency})) == ["emergency"]

    def other(sample: Sample) -> Sample:
        return replace(sample, card=replace(sample.card, value=Card("1" * 64, 30)))

    assert codes(verdict(asked(), {8: other, 9: other})) == ["card_changed"]


@pytest.mark.parametrize(
    ("no_cycle", "result"), [("inconclusive", "INCONCLUSIVE"), ("fail", "FAIL"), ("pass", "PASS")]
)
def test_an_hour_in_which_nothing_was_done(no_cycle: str, result: str) -> None:
    def idle(_sample: Sample) -> Sample:
        before = soaks.sample_at(soaks.at(0))
        return replace(
            before, at=_sample.at, until=_sample.until, status=_sample.status, state=_renewed(before, _sample)
        )

    found = verdict(asked(limits(no_cycle=no_cycle)), dict.fromkeys(ALL, idle))
    assert (found.result, found.cycles) == (result, 0)
    assert codes(found) == (["cycle_not_seen"] if result != "PASS" else [])


def _renewed(before: Sample, now: Sample) -> Any:
    old, new = before.state.value, now.state.value
    assert old is not None and new is not None
    return replace(before.state, value=replace(old, lease=new.lease))


def test_a_pipeline_that_stands_still_behind_good_gauges_fails() -> None:
    """Sampled for longer than a commit interval (30 min) and its grace (10 min) with no new metric sample."""
    wanted = asked(hours=1.0)

    def idle(sample: Sample) -> Sample:
        before = soaks.sample_at(soaks.at(1))
        state = _renewed(before, sample)
        return replace(before, at=sample.at, until=sample.until, status=sample.status, state=state)

    found = verdict(wanted, dict.fromkeys(range(61), idle))
    assert codes(found)[0] == "PIPELINE_STALE"
    assert found.result == "FAIL"


def test_lines_that_are_none_prove_nothing() -> None:
    made = case(asked())
    made.seen.take(None, None)
    found = judge.judge(made)
    assert (found.result, codes(found)) == ("INCONCLUSIVE", ["damaged_samples"])
    made = case(asked())
    made.seen.take(3, soaks.sample_at(soaks.at(3)))  # a line from somewhere else
    assert codes(judge.judge(made)) == ["damaged_samples"]


def test_every_reason_says_something() -> None:
    assert all(code == code.lower() and text for code, text in CODES.items())


# --- whatever comes ---

CHANGES = {
    "sick": SICK,
    "low": LOW_QA,
    "down": soaks.down,
    "busy": soaks.busy,
    "emergency": soaks.emergency,
    "half": soaks.failing("alerts", "timeout"),
}
ticks = st.dictionaries(st.integers(0, 9), st.sampled_from(sorted(CHANGES)))
gaps = st.sets(st.integers(0, 9))
wishes = st.fixed_dictionaries(
    {},
    optional={
        "max_failures": st.integers(0, 10),
        "max_consecutive_failures": st.integers(0, 10),
        "max_errors": st.integers(0, 10),
        "max_consecutive_errors": st.integers(0, 10),
        "min_coverage": st.sampled_from([0.0, 0.5, 1.0]),
        "slo_target": st.sampled_from([0.0, 0.5, 0.995]),
        "no_cycle": st.sampled_from(["inconclusive", "fail", "pass"]),
    },
)


@given(ticks, gaps, wishes)
def test_it_is_pure_and_says_why(wrong: dict[int, str], missing: set[int], wish: dict[str, Any]) -> None:
    changes = {tick: CHANGES[name] for tick, name in wrong.items()}
    wanted = asked(limits(**wish))
    found = verdict(wanted, changes, missing)
    assert found.told() == verdict(wanted, changes, missing).told()
    assert (found.result == "PASS") == (not found.reasons)
    assert (found.result == "FAIL") == any(one.result == "FAIL" for one in found.reasons)
    if found.certain:
        assert found.result == "FAIL"
    good = [tick for tick in ALL if tick not in missing and wrong.get(tick) not in ("down", "busy", "half")]
    if len(good) < 3:
        assert found.result != "PASS"


@given(ticks, gaps, wishes, st.integers(0, 9))
def test_what_can_only_fail_never_passes_later(
    wrong: dict[int, str], missing: set[int], wish: dict[str, Any], upto: int
) -> None:
    changes = {tick: CHANGES[name] for tick, name in wrong.items()}
    wanted = asked(limits(**wish))
    later = set(range(upto + 1, 10))
    half = verdict(wanted, changes, missing | later, alive=True, over=None, now=soaks.at(upto))
    whole = verdict(wanted, changes, missing)
    assert half.result != "PASS"
    if half.certain:
        assert whole.result == "FAIL"


def test_a_long_soak_is_judged_quickly() -> None:
    """A tick of the sampler judges all there is: a day of a sample a minute."""
    wanted = asked(hours=24.0)
    one = observe.observe(0, soaks.sample_at(soaks.at(0)), wanted.plan.thresholds)
    seen = observe.Observations(wanted.plan.thresholds)
    for tick in range(wanted.plan.last_tick + 1):
        instant = soaks.at(tick)
        moved = replace(
            one, tick=tick, at=instant, until=instant, clock=instant, rows=((instant, 0.95, True),)
        )
        seen.all.append(moved)
    made = judge.Case(wanted, seen, wanted.window[1], over=replace(soaks.OVER, at=wanted.window[1]))
    found = judge.judge(made)
    assert (found.result, found.samples) == ("PASS", 1441)
    assert made.until - soaks.START == timedelta(hours=24)
