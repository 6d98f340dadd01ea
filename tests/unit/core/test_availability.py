# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of availability, beside a model that looks at every second by itself."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import availability, errors
from ansible_collections.vvtv.runbook.plugins.module_utils._core.availability import (
    AvailabilitySample,
    Maintenance,
    Objective,
    Window,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
SPAN = 200  # seconds of the window that the properties look at
PARTS = ("available_seconds", "unavailable_seconds", "gap_seconds")


def at(second: float) -> datetime:
    """An instant so many seconds into the window."""
    return NOW + timedelta(seconds=second - SPAN)


def sample(second: float, good: bool = True, interval: float = 10) -> AvailabilitySample:
    """A sample so many seconds into the window."""
    return AvailabilitySample(at(second), good, interval)


def measure(samples: list[AvailabilitySample], *down: tuple[float, float], **more: Any) -> Window:
    """Measure the one window; ``down`` is maintenance in seconds of it."""
    first = more.pop("first", None)
    maintenance = tuple(Maintenance(at(start), at(end)) for start, end in down)
    objective = Objective(maintenance=maintenance, **more)
    return availability.measure(samples, NOW, objective, [("w", SPAN)], first)[0]


def parts(window: Window) -> tuple[float, float, float]:
    """Available, unavailable and gap."""
    return window.available_seconds, window.unavailable_seconds, window.gap_seconds


def every(step: int = 10, start: int = 0, stop: int = SPAN) -> list[AvailabilitySample]:
    """A good sample every so many seconds."""
    return [sample(second, interval=step) for second in range(start, stop, step)]


def test_without_samples_there_is_no_data_and_not_100_percent() -> None:
    window = measure([])
    assert window.status == "no_data"
    assert window.availability is None
    assert window.burn_rate is None
    assert window.measured_since is None
    assert (window.measured_seconds, window.unmeasured_seconds) == (0, SPAN)


def test_good_samples_without_a_gap_are_100_percent() -> None:
    window = measure(every())
    assert parts(window) == (SPAN, 0, 0)
    assert (window.availability, window.burn_rate, window.status) == (1.0, 0.0, "met")
    assert window.budget_seconds == pytest.approx(1)
    assert window.budget_left_seconds == pytest.approx(1)


def test_time_is_weighted_and_not_samples() -> None:
    bad = [sample(100 + second / 10, good=False) for second in range(10)]
    window = measure([*every(), *bad])
    assert parts(window) == (190, 10, 0)
    assert window.availability == pytest.approx(0.95)
    assert window.burn_rate == pytest.approx(10)
    assert window.budget_left_seconds == pytest.approx(1 - 10)
    assert window.status == "missed"


def test_a_sample_reaches_two_and_a_half_intervals_and_then_comes_a_gap() -> None:
    assert parts(measure([sample(0), sample(SPAN)])) == (25, 0, SPAN - 25)
    assert parts(measure([sample(0), sample(25), sample(50, good=False)])) == (50, 25, SPAN - 75)
    assert parts(measure([sample(0)], max_gap=10)) == (100, 0, 100)


def test_the_window_is_cut_where_the_store_begins_and_says_so() -> None:
    window = measure(every(start=150))
    assert (window.measured_seconds, window.unmeasured_seconds) == (50, 150)
    assert window.measured_since == "2026-11-24T11:59:10.000000Z"
    assert window.availability == 1.0
    older = measure(every(start=150), first=at(-500))
    assert parts(older) == (50, 0, 150)
    assert older.measured_since == "2026-11-24T11:56:40.000000Z"


def test_a_sampler_that_died_long_ago_is_0_percent() -> None:
    window = measure([sample(-1000)])
    assert (window.availability, window.gap_seconds, window.status) == (0.0, SPAN, "missed")
    assert measure([], first=at(-1000)).availability == 0.0


def test_maintenance_is_neither_good_nor_bad() -> None:
    bad = [sample(second, good=False) for second in range(100, 130, 10)]
    samples = [one for one in every() if not 100 <= (one.at - at(0)).total_seconds() < 130] + bad
    whole = measure(samples, (100, 130))
    assert (whole.availability, whole.maintenance_seconds, whole.measured_seconds) == (1.0, 30, 170)
    half = measure(samples, (110, 125), (115, 130), (90, 95))
    assert half.maintenance_seconds == 25
    assert half.unavailable_seconds == 10
    assert measure(every(), (-50, 20), (190, 900)).maintenance_seconds == 30
    gap = measure([sample(0), sample(20), *every(start=150)], (45, 150))
    assert gap.availability == 1.0


def test_a_window_that_is_all_maintenance_has_no_availability_and_is_not_missed() -> None:
    window = measure(every(), (-10, SPAN + 10))
    assert (window.availability, window.status, window.maintenance_seconds) == (None, "maintenance", SPAN)


def test_maintenance_before_the_first_sample_is_no_measured_time() -> None:
    window = measure(every(start=100), (0, 120))
    assert (window.unmeasured_seconds, window.maintenance_seconds, window.measured_seconds) == (100, 20, 80)


def test_samples_of_a_clock_that_was_ahead_are_passed_over() -> None:
    assert measure([*every(), sample(SPAN + 60, good=False)]) == measure(every())
    assert measure([sample(SPAN + 60)]).status == "no_data"


def test_a_clock_that_went_back_counts_no_time_twice() -> None:
    first_pass = every(stop=150)
    second_pass = [sample(second, good=False) for second in range(105, 160, 10)]  # set back by 45 s
    window = measure([*first_pass, *second_pass, *every(start=160)])
    assert window.measured_seconds == SPAN
    assert parts(window) == (SPAN - 5 * 5 - 10, 5 * 5 + 10, 0)


def test_of_two_samples_for_one_instant_the_later_one_holds() -> None:
    assert measure([sample(0), sample(0, good=False)]).unavailable_seconds == 25
    assert measure([sample(0, good=False), sample(0)]).unavailable_seconds == 0


def test_the_runbooks_windows_are_the_default() -> None:
    windows = availability.measure(every(), NOW)
    assert [(one.name, one.seconds) for one in windows] == [
        ("1h", 3600),
        ("24h", 86400),
        ("7d", 604800),
        ("30d", 2592000),
    ]
    assert {one.target for one in windows} == {0.995}
    assert {one.measured_seconds for one in windows} == {SPAN}


def test_what_modules_show_is_rounded() -> None:
    shown = measure([sample(0.1234567), sample(7)], first=at(0.1234567)).result()
    assert shown["measured_seconds"] == 199.877
    assert shown["name"] == "w"
    assert isinstance(shown["availability"], float)


@pytest.mark.parametrize(
    "wrong",
    [{"target": value} for value in (0, 1, -1, 2, float("nan"))]
    + [{"max_gap": value} for value in (0, 0.9, 1e9, float("nan"))],
)
def test_an_objective_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(errors.BadInput, match=next(iter(wrong))):
        Objective(**wrong)  # type: ignore[arg-type]  # one of them at a time


@pytest.mark.parametrize(
    ("declared", "word"),
    [
        ({"start": "2026-11-24T10:00:00Z", "end": "2026-11-24T10:00:00Z"}, "before it begins"),
        ({"start": "2026-11-24T12:00:00+02:00", "end": "2026-11-24T09:00:00Z"}, "before it begins"),
        ({"start": "today", "end": "2026-11-24T09:00:00Z"}, "RFC 3339"),
        ({"start": "2026-11-24T10:00:00Z"}, "RFC 3339"),
    ],
)
def test_a_bad_maintenance_window_is_named_by_its_number(declared: dict[str, str], word: str) -> None:
    good = {"start": "2026-11-24T10:00:00Z", "end": "2026-11-24T11:00:00Z", "reason": "new disks"}
    assert availability.maintenance_of([good])[0].reason == "new disks"
    with pytest.raises(errors.BadInput, match=f"maintenance window 2: .*{word}"):
        availability.maintenance_of([good, declared])


def test_there_may_be_a_thousand_maintenance_windows() -> None:
    windows = tuple(Maintenance(at(number), at(number + 1)) for number in range(1001))
    Objective(maintenance=windows[:1000])
    with pytest.raises(errors.BadInput, match="at most 1000"):
        Objective(maintenance=windows)


@pytest.mark.one_python
def test_a_month_of_samples_each_ten_seconds_takes_seconds() -> None:
    count = 30 * 8640
    samples = (
        AvailabilitySample(NOW - timedelta(seconds=10 * number), number % 1000 != 0, 10)
        for number in range(count, 0, -1)
    )
    begun = time.monotonic()
    month = availability.measure_ordered(samples, NOW)[-1]
    assert time.monotonic() - begun < 30  # 2 s on an idle machine
    assert month.unavailable_seconds == 10 * (count // 1000)
    assert month.measured_seconds == 30 * 86400


# --- properties ---

SAMPLES = st.lists(
    st.builds(sample, st.integers(-60, SPAN + 20), st.booleans(), st.integers(1, 40)), max_size=25
)
DOWN = st.lists(
    st.tuples(st.integers(-50, SPAN + 50), st.integers(1, 80)).map(lambda one: (one[0], one[0] + one[1])),
    max_size=4,
)


def seconds_of(samples: list[AvailabilitySample], down: list[tuple[int, int]]) -> dict[str, float]:
    """Judge every second of the window by itself, with two looks a second since samples reach half ones."""
    known = sorted((one for one in samples if one.at <= NOW), key=lambda one: one.at)
    found = dict.fromkeys((*PARTS, "maintenance_seconds", "unmeasured_seconds"), 0.0)
    for half in range(2 * SPAN):
        here = at(half / 2)
        before = [one for one in known if one.at <= here]
        if not before:
            kind = "unmeasured_seconds"
        elif any(at(start) <= here < at(end) for start, end in down):
            kind = "maintenance_seconds"
        elif (here - before[-1].at).total_seconds() >= 2.5 * before[-1].interval:
            kind = "gap_seconds"
        else:
            kind = "available_seconds" if before[-1].available else "unavailable_seconds"
        found[kind] += 0.5
    return found


@given(SAMPLES, DOWN)
def test_every_second_is_judged_as_the_model_does(
    samples: list[AvailabilitySample], down: list[tuple[int, int]]
) -> None:
    window = measure(samples, *down)
    expected = seconds_of(samples, down)
    assert {name: getattr(window, name) for name in expected} == expected


@given(SAMPLES, DOWN)
def test_the_parts_add_up_and_availability_is_a_share(
    samples: list[AvailabilitySample], down: list[tuple[int, int]]
) -> None:
    window = measure(samples, *down)
    assert window.measured_seconds == sum(getattr(window, name) for name in PARTS)
    rest = window.unmeasured_seconds + window.maintenance_seconds
    assert window.seconds == SPAN == window.measured_seconds + rest
    if window.availability is None:
        assert window.measured_seconds == 0
        assert window.status in ("no_data", "maintenance")
    else:
        assert 0 <= window.availability <= 1
        assert window.burn_rate == pytest.approx((1 - window.availability) / 0.005)
        assert (window.budget_left_seconds >= -1e-9) == (window.status == "met")


@given(SAMPLES, DOWN, st.integers(-60, SPAN + 20), st.integers(1, 40))
def test_an_unavailable_sample_never_raises_availability(
    samples: list[AvailabilitySample], down: list[tuple[int, int]], second: int, interval: int
) -> None:
    before = measure(samples, *down).availability
    after = measure([*samples, sample(second, False, interval)], *down).availability
    if before is not None:
        assert after is not None
        assert after <= before


@given(SAMPLES, DOWN, st.randoms(use_true_random=False))
def test_the_order_in_which_samples_come_does_not_matter(
    samples: list[AvailabilitySample], down: list[tuple[int, int]], random: Any
) -> None:
    apart = list({one.at: one for one in samples}.values())
    shuffled = random.sample(apart, len(apart))
    assert measure(shuffled, *down) == measure(apart, *down)


@given(SAMPLES, DOWN, st.integers(1, 5))
def test_splitting_a_sample_changes_nothing(
    samples: list[AvailabilitySample], down: list[tuple[int, int]], pieces: int
) -> None:
    """Pieces at equal distances that reach as far together as the one did."""
    apart = sorted({one.at: one for one in samples}.values(), key=lambda one: one.at)
    split = []
    for one, following in zip(apart, [*apart[1:], sample(SPAN)]):
        reach = timedelta(seconds=2.5 * one.interval)
        until = min(following.at, one.at + reach)
        step = max(timedelta(), (until - one.at) / pieces)
        for number in range(pieces):
            begun = one.at + number * step
            left = (one.at + reach - begun).total_seconds() / 2.5
            split.append(replace(one, at=begun, interval=left) if number else one)
    assert measure(split, *down) == measure(apart, *down)


@given(SAMPLES, st.integers(0, SPAN))
def test_an_outage_inside_maintenance_costs_nothing(samples: list[AvailabilitySample], start: int) -> None:
    end = start + 40
    inside = [one for one in samples if at(start) <= one.at < at(end)]
    better = [replace(one, available=True) if one in inside else one for one in samples]
    worse = [replace(one, available=False) if one in inside else one for one in samples]
    reach = max((one.at + timedelta(seconds=2.5 * one.interval) for one in inside), default=at(end))
    covered = Maintenance(at(start), max(reach, at(end)))
    results = [
        availability.measure(each, NOW, Objective(maintenance=(covered,)), [("w", SPAN)])
        for each in (better, worse)
    ]
    assert results[0] == results[1]
