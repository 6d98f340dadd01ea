# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict over a soak: pure, so that the same samples can be judged again by other limits.

It fails closed. ``PASS`` needs evidence; what is wrong is ``FAIL``, what proves neither is ``INCONCLUSIVE``.
A reason's code is a finding's (upper case) or one of :data:`CODES`. Failures that most of the baseline hosts
have as well in that time are not the candidate's: they turn into ``INCONCLUSIVE``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .. import times
from ..health_view import DIGITS
from .baseline import QA_LEAST, Baseline, Failing
from .limits import OBSERVE
from .observe import API, NODE, Observation, Observations
from .request import Request
from .store import DIED, EARLY_STOP, STOPPED, Ended
from .verdict import CODES, FAIL, INCONCLUSIVE, PASS, RESULTS, Reason, Run, Verdict

__all__ = ["CODES", "FAIL", "INCONCLUSIVE", "PASS", "RESULTS", "Case", "Reason", "Run", "Verdict", "judge"]

_MAX_TOLD = 5


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on. ``over`` is how the soak ended, ``alive`` whether its sampler runs."""

    request: Request
    seen: Observations
    now: datetime
    alive: bool = False
    over: Ended | None = None
    baselines: tuple[Baseline, ...] = ()

    @property
    def judged(self) -> list[Observation]:
        """The samples after the warm-up."""
        first = self.request.plan.first_judged
        return [one for one in self.seen.all if one.tick >= first]

    @property
    def until(self) -> datetime:
        """When the soak ended, or up to when it could have been sampled."""
        return min(self.request.window[1], self.over.at if self.over else self.now)

    @property
    def due(self) -> int:
        """How many judged ticks were due up to then."""
        return self.request.plan.due(max(0.0, (self.until - self.request.started_at).total_seconds()))

    @property
    def coverage(self) -> float | None:
        """In which share of them there is a sample."""
        due = self.due
        return min(1.0, len(self.judged) / due) if due else None

    @property
    def rows(self) -> list[tuple[datetime, float, bool]]:
        """Metric samples that the pipeline wrote after the warm-up."""
        since = self.request.window[0]
        tolerance = timedelta(seconds=self.request.plan.thresholds.clock_tolerance)
        return [
            row for seen in self.seen.all for row in seen.rows if since < row[0] <= seen.until + tolerance
        ]


def judge(case: Case) -> Verdict:
    """Return the verdict as of ``case.now``."""
    judged = case.judged
    runs = failing(judged)
    reasons = [*_failures(case, runs), *_errors(case), *_availability(case)]
    failed = any(one.result == FAIL for one in reasons)
    reasons += _evidence(case, failed)
    reasons = [_weighed(one, runs, case) for one in reasons]
    reasons += _qa_of_hosts(case)
    reasons.sort(key=lambda one: one.result != FAIL)
    return Verdict(
        reasons[0].result if reasons else PASS,
        tuple(reasons),
        len(judged),
        len(case.rows),
        any(one.certain and one.result == FAIL for one in reasons),
        tuple(_told(run, case) for run in runs.values()),
        _warmup(case),
        tuple(one.host for one in case.baselines),
    )


def failing(judged: Sequence[Observation]) -> dict[str, Run]:
    """Return every check that failed, by its code. A sample with an error ends no row: it saw too little."""
    runs: dict[str, Run] = {}
    row: dict[str, int] = {}
    for one in judged:
        failed = {finding.code: finding for finding in one.failed}
        if not one.errors:
            row = {code: count for code, count in row.items() if code in failed}
        for code, finding in failed.items():
            row[code] = row.get(code, 0) + 1
            run = runs.get(code)
            if run is None:
                run = Run(code, finding.severity, 0, 0, one.at, one.at, finding.reason, finding.evidence)
            runs[code] = replace(run, failures=run.failures + 1, row=max(run.row, row[code]), last=one.at)
    return runs


def excessive(case: Case, runs: Mapping[str, Run]) -> list[Run]:
    """Return the checks that failed more often than they may."""
    found = []
    for run in runs.values():
        total, in_a_row, mode = case.request.plan.limits.of(run.code)
        if mode != OBSERVE and (run.failures > total or run.row > in_a_row):
            found.append(run)
    return found


def _told(run: Run, case: Case) -> dict[str, Any]:
    total, in_a_row, mode = case.request.plan.limits.of(run.code)
    return {
        "code": run.code,
        "severity": run.severity,
        "mode": mode,
        "failures": run.failures,
        "max_failures": total,
        "consecutive": run.row,
        "max_consecutive_failures": in_a_row,
        "first": times.to_text(run.first),
        "last": times.to_text(run.last),
        "reason": run.reason,
    }


def _failures(case: Case, runs: Mapping[str, Run]) -> Iterator[Reason]:
    judged = len(case.judged)
    for run in excessive(case, runs):
        total, in_a_row, _mode = case.request.plan.limits.of(run.code)
        more = "" if judged == 1 else f" (in {run.failures} of {judged} samples, {run.row} in a row)"
        evidence = {
            "failures": run.failures,
            "max_failures": total,
            "consecutive": run.row,
            "max_consecutive_failures": in_a_row,
            "first": times.to_text(run.first),
            "last": times.to_text(run.last),
            "finding": run.evidence,
        }
        yield Reason(run.code, f"{run.reason}{more}", FAIL, evidence, certain=True)


def _errors(case: Case) -> Iterator[Reason]:
    limits, judged = case.request.plan.limits, case.judged
    wrong = [one for one in judged if one.errors]
    row = worst = 0
    for one in judged:
        row = row + 1 if API in one.errors else 0
        worst = max(worst, row)
    # The API's come first: they may decide.
    told = list(
        dict.fromkeys(one.errors[kind] for kind in (API, NODE) for one in wrong if kind in one.errors)
    )
    evidence: dict[str, Any] = {"errors": told[:_MAX_TOLD], "samples": len(wrong), "consecutive": worst}
    if wrong:
        evidence.update(first=times.to_text(wrong[0].at), last=times.to_text(wrong[-1].at))
    if worst > limits.max_consecutive_errors:
        reason = f"the API gave no good answer in {worst} samples in a row: {told[0]}"
        yield Reason("api_errors", reason, FAIL, evidence, certain=True)
    elif len(wrong) > limits.max_errors:
        reason = f"in {len(wrong)} of {len(judged)} samples something could not be seen: {told[0]}"
        yield Reason("errors", reason, INCONCLUSIVE, evidence)


def _availability(case: Case) -> Iterator[Reason]:
    """Errors are left out: they have their own limits."""
    seen = [one for one in case.judged if not one.errors]
    target = case.request.plan.limits.slo_target
    if not seen or not target:
        return
    good = sum(one.available for one in seen)
    if good >= target * len(seen) - 1e-9:
        return
    left = 0 if case.over else max(0, case.request.plan.last_tick - case.seen.last_tick)
    certain = good + left < target * (len(seen) + left) - 1e-9
    if case.alive and not case.over and not certain:
        return
    share = good / len(seen)
    reason = (
        f"the station was available in {good} of {len(seen)} samples, {share:.2%}; the target is {target:.2%}"
    )
    evidence = {"available": good, "samples": len(seen), "share": round(share, 6), "target": target}
    yield Reason("slo", reason, FAIL, evidence, certain)


def _evidence(case: Case, failed: bool) -> Iterator[Reason]:
    """What is missing for a PASS."""
    plan, judged = case.request.plan, case.judged
    limits = plan.limits
    over = case.over is not None
    if case.alive and not over:
        yield Reason("running", "the soak is not over", INCONCLUSIVE)
    if not over and not case.alive:
        yield Reason("interrupted", "the sampler died before the soak was over", INCONCLUSIVE)
    if case.over is not None and case.over.code in (DIED, STOPPED):
        evidence = case.over.result()
        yield Reason(
            "interrupted", f"the soak did not end by itself: {case.over.detail}", INCONCLUSIVE, evidence
        )
    if case.seen.damaged:
        reason = f"{case.seen.damaged} lines of the samples' file are no samples, or out of order"
        yield Reason("damaged_samples", reason, INCONCLUSIVE, {"lines": case.seen.damaged})
    if case.over is not None and case.over.code == EARLY_STOP:
        if not failed:
            reason = "the soak was ended early by limits that it was started with, so most of it is missing"
            yield Reason("interrupted", reason, INCONCLUSIVE, case.over.result())
        return
    if case.alive and not over:
        return  # the rest says nothing before the end
    if not judged:
        yield Reason("no_data", CODES["no_data"], INCONCLUSIVE, {"due": case.due})
        return
    yield from _coverage(case)
    yield from _stale(judged)
    cards = {one.card: one.at for one in reversed(judged) if one.card is not None}
    if len(cards) > 1:
        reason = "the OwnerCard on the disk changed meanwhile: the samples are not of one candidate"
        yield Reason(
            "card_changed", reason, INCONCLUSIVE, {"sha256": sorted(cards, key=lambda one: cards[one])}
        )
    emergency = [one for one in judged if one.state == "EMERGENCY"]
    if emergency:
        reason = (
            f"emergency mode was on in {len(emergency)} of {len(judged)} samples: nothing is proven by them"
        )
        yield Reason("emergency", reason, INCONCLUSIVE, {"first": times.to_text(emergency[0].at)})
    if not case.rows and limits.no_cycle != "pass":
        since, until = (times.to_text(one) for one in (case.request.window[0], case.until))
        reason = f"the pipeline wrote no metric sample from {since} to {until}: its work was not seen"
        result = FAIL if limits.no_cycle == "fail" else INCONCLUSIVE
        yield Reason("cycle_not_seen", reason, result, {"since": since, "until": until})


def _coverage(case: Case) -> Iterator[Reason]:
    limits, judged, due = case.request.plan.limits, case.judged, case.due
    good = sum(not one.errors for one in judged)
    share = case.coverage
    evidence = {"samples": len(judged), "without_errors": good, "due": due, "coverage": share}
    if good < limits.min_samples:
        reason = f"{good} samples without an error, at least {limits.min_samples} are needed"
        yield Reason("low_coverage", reason, INCONCLUSIVE, evidence)
    elif share is not None and share < limits.min_coverage:
        least = f"{limits.min_coverage:.0%}"
        reason = f"samples of {len(judged)} of {due} ticks ({share:.0%}), at least {least} are needed"
        yield Reason("low_coverage", reason, INCONCLUSIVE, evidence)


def _stale(judged: Sequence[Observation]) -> Iterator[Reason]:
    clocks = [(one.at, one.clock) for one in judged if one.clock is not None]
    stood = [at for (_before, old), (at, new) in zip(clocks, clocks[1:]) if new <= old]
    if stood:
        reason = f"the timestamp of /v1/status did not advance between samples, {len(stood)} times"
        evidence = {"times": len(stood), "first": times.to_text(stood[0])}
        yield Reason("stale", reason, INCONCLUSIVE, evidence)


# --- the baseline hosts ---


def _weighed(reason: Reason, runs: Mapping[str, Run], case: Case) -> Reason:
    """Turn a failure that most of the baseline hosts have too, in that time, into one that proves nothing."""
    if reason.result != FAIL or not case.baselines:
        return reason
    run = runs.get(reason.code)
    since, until = (run.first, run.last) if run else (case.request.window[0], case.until)
    margin = timedelta(seconds=max(60.0, 2 * case.request.plan.interval))
    sick = [
        one.host
        for one in case.baselines
        if any(_same(other, reason.code, since - margin, until + margin) for other in one.failing)
    ]
    if 2 * len(sick) <= len(case.baselines):
        return reason
    told = f"{len(sick)} of {len(case.baselines)} baseline hosts fail in the same way: {reason.reason}"
    evidence = {"check": reason.code, "hosts": sick, **reason.evidence}
    return Reason("baseline_sick", told, INCONCLUSIVE, evidence)


def _same(other: Failing, code: str, since: datetime, until: datetime) -> bool:
    return other.code == code and other.first <= until and other.last >= since


def _qa_of_hosts(case: Case) -> Iterator[Reason]:
    """Compare medians: robust, and only with enough distinct metric samples on either side."""
    since, until = case.request.window[0], case.until
    own = [rate for _at, rate, checked in case.rows if checked]
    others = {one.host: one.qa_within(since, until) for one in case.baselines}
    medians = {host: statistics.median(rates) for host, rates in others.items() if len(rates) >= QA_LEAST}
    if len(own) < QA_LEAST or not medians:
        return
    mine, theirs = statistics.median(own), statistics.median(medians.values())
    tolerance = case.request.plan.thresholds.qa_tolerance
    if round(mine - (theirs - tolerance), DIGITS) < 0:
        reason = (
            f"the median of the QA pass rate is {mine:g}, more than {tolerance:g} below {theirs:g}, that of"
            f" {len(medians)} baseline hosts in the same time"
        )
        evidence = {"median": mine, "samples": len(own), "baseline": theirs, "hosts": medians}
        mode = case.request.plan.limits.of("qa_below_baseline_hosts")[2]
        if mode != OBSERVE:
            yield Reason("qa_below_baseline_hosts", reason, FAIL, evidence)


def _warmup(case: Case) -> dict[str, Any]:
    first = case.request.plan.first_judged
    early = [one for one in case.seen.all if one.tick < first]
    counts: dict[str, int] = {}
    for one in early:
        for code in one.codes:
            counts[code] = counts.get(code, 0) + 1
    return {"samples": len(early), "errors": sum(bool(one.errors) for one in early), "findings": counts}
