# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules about the gauges and about discovery: the runbook's four alerts, and what belongs to them.

Where state.db and the API both have a gauge, the worse one counts. Codes that the station's own alerts have
too are the same here, so that one trouble is told once (:mod:`health`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from .discovery import DomainFailures, Failures
from .findings import Finding
from .health_view import DIGITS, View, rfc3339, shown
from .metric_rows import Baseline, nothing_checked

_MAX_NAMES = 5


def _evidence(view: View, told: dict[str, float], **more: Any) -> dict[str, Any]:
    at = view.samples[0].at if view.samples else None
    return {**told, **more, "newest_sample": rfc3339(at)}


def buffer(view: View) -> Iterator[Finding]:
    """The buffer is below the critical minutes, or below the target."""
    told = view.told("buffer_minutes")
    least = min(told.values(), default=None)
    if least is None or least >= view.limits.buffer_target:
        return
    critical = least < view.limits.buffer_critical
    limit = view.limits.buffer_critical if critical else view.limits.buffer_target
    reason = f"buffer is {least:g} min, below {limit:g} ({shown(told, ' min')})"
    if critical:
        yield Finding("critical", "BUFFER_CRITICAL", reason, _evidence(view, told, limit=limit))
    else:
        yield Finding("low", "BUFFER_LOW", reason, _evidence(view, told, limit=limit))


def qa(view: View) -> Iterator[Finding]:
    """The QA pass rate is below the floor, or below the node's own history."""
    told = view.told("qa_pass_rate")
    if not told:
        return
    assets = view.history.assets.value if view.history else None
    checked = {
        source: rate
        for source, rate in told.items()
        if not (nothing_checked(view.readings[source]) or (rate == 0 and assets is False))
    }
    if not checked:
        reason = "the QA pass rate is 0 because nothing has been checked yet: it is not judged"
        yield Finding("low", "QA_NOT_JUDGED", reason, _evidence(view, told))
        return
    yield from _qa_rate(view, checked)


def _qa_rate(view: View, told: dict[str, float]) -> Iterator[Finding]:
    limits, rate = view.limits, min(told.values())
    base = _baseline(view)
    evidence = _evidence(view, told, floor=limits.qa_floor, baseline=_baseline_told(base))
    use_floor = limits.qa_baseline != "history" or base is None
    if limits.qa_baseline == "history" and base is None:
        reason = (
            f"fewer than {limits.qa_history_min} earlier samples: the QA pass rate is judged by the floor"
        )
        yield Finding("low", "QA_HISTORY_SHORT", reason, evidence)
    if use_floor and round(rate - limits.qa_floor, DIGITS) < 0:
        reason = f"QA pass rate is {rate:g}, below {limits.qa_floor:g} ({shown(told)})"
        yield Finding("high", "QA_PASS_RATE_LOW", reason, evidence)
    elif base is not None and limits.qa_baseline != "floor":
        least = round(base.median - limits.qa_tolerance, DIGITS)
        if round(rate - least, DIGITS) < 0:
            reason = (
                f"QA pass rate is {rate:g}, more than {limits.qa_tolerance:g} below {base.median:g}, the"
                f" median of {base.count} samples from {rfc3339(base.since)} on ({shown(told)})"
            )
            yield Finding("high", "QA_PASS_RATE_BELOW_BASELINE", reason, evidence)


def _baseline(view: View) -> Baseline | None:
    """Return the history to judge by, if it is long enough."""
    samples = view.history.samples.value if view.history else None
    base = samples.baseline if samples else None
    return base if base is not None and base.count >= view.limits.qa_history_min else None


def _baseline_told(base: Baseline | None) -> dict[str, Any] | None:
    if base is None:
        return None
    return {
        "median": base.median,
        "samples": base.count,
        "since": rfc3339(base.since),
        "until": rfc3339(base.until),
    }


def fallback_cap(view: View) -> Iterator[Finding]:
    """The fallback rate is above its cap."""
    told = view.told("fallback_rate")
    most = max(told.values(), default=0.0)
    if round(most - view.limits.fallback_cap, DIGITS) > 0:
        reason = f"fallback rate is {most:g}, above {view.limits.fallback_cap:g} ({shown(told)})"
        evidence = _evidence(view, told, limit=view.limits.fallback_cap)
        yield Finding("high", "FALLBACK_RATE_HIGH", reason, evidence)


def fallback_jump(view: View) -> Iterator[Finding]:
    """The fallback rate jumped between the last two samples."""
    if len(view.samples) < 2:
        return
    newest, before = (one.gauges["fallback_rate"] for one in view.samples[:2])
    step = round(newest - before, DIGITS)
    if step >= view.limits.fallback_jump and step > 0:
        reason = (
            f"fallback rate jumped by {step:g} from one sample to the next, from {before:g} to {newest:g}"
        )
        yield Finding("medium", "FALLBACK_RATE_GROWING", reason, _run_told(view, 2))


def fallback_growth(view: View) -> Iterator[Finding]:
    """The fallback rate grew with every one of the last samples: the runbook's continuous growth."""
    rates = [one.gauges["fallback_rate"] for one in view.samples]
    run = 1
    while run < len(rates) and round(rates[run - 1] - rates[run], DIGITS) > 0:
        run += 1
    if run < view.limits.fallback_growth_samples:
        return
    grown = round(rates[0] - rates[run - 1], DIGITS)
    if grown >= view.limits.fallback_growth_min:
        reason = (
            f"fallback rate grew over {run} samples without a break, from {rates[run - 1]:g} to {rates[0]:g}"
        )
        yield Finding("high", "FALLBACK_RATE_CLIMBING", reason, _run_told(view, run))


def _run_told(view: View, count: int) -> dict[str, Any]:
    """Return the last samples' fallback rates, oldest first."""
    run = reversed(view.samples[:count])
    return {"samples": [{"at": rfc3339(one.at), "fallback_rate": one.gauges["fallback_rate"]} for one in run]}


def disruptions(view: View) -> Iterator[Finding]:
    """The stream was disrupted."""
    told = view.told("stream_disruptions")
    most = max(told.values(), default=0.0)
    if most > view.limits.max_stream_disruptions:
        reason = (
            f"{most:g} stream disruptions, more than {view.limits.max_stream_disruptions:g} ({shown(told)})"
        )
        evidence = _evidence(view, told, limit=view.limits.max_stream_disruptions)
        yield Finding("high", "STREAM_DISRUPTIONS", reason, evidence)


def domains(view: View) -> Iterator[Finding]:
    """Discovery fails again and again: by entry of the allowlist; other domains, nameless events apart."""
    failures = view.history.failures.value if view.history else None
    if failures is None:
        return
    least, known = view.limits.discovery_failures, view.sample.card.ok
    groups: dict[str, list[DomainFailures]] = defaultdict(list)
    others: list[DomainFailures] = []
    for one in failures.domains:
        if one.domain is None:
            if one.count >= least:
                yield _nameless(one, failures)
        elif known and one.entry is None:
            others.append(one)
        else:
            groups[one.entry or one.domain].append(one)
    for name, group in groups.items():
        if sum(one.count for one in group) >= least:
            yield _recurring(name, group, failures, known)
    often = {one.domain or "": one.count for one in others if one.count >= least}
    if often:
        yield _not_allowed(often, failures)
    if failures.omitted:
        reason = f"{failures.omitted} discovery failures of further domains are in no count: too many domains"
        yield Finding("medium", "DISCOVERY_FAILURES_UNCOUNTED", reason, {"events": failures.omitted})


def _recurring(name: str, group: list[DomainFailures], failures: Failures, known: bool) -> Finding:
    total, last = sum(one.count for one in group), max(one.last for one in group)
    names = sorted((one.domain or "" for one in group), key=len)[:_MAX_NAMES]
    reason = (
        f"discovery of {name} failed {total} times since {rfc3339(failures.since)}, last at {rfc3339(last)}"
    )
    evidence = {
        "domain": name,
        "domains": names,
        "allowlisted": True if known else None,
        "count": total,
        "first": rfc3339(min(one.first for one in group)),
        "last": rfc3339(last),
        "since": rfc3339(failures.since),
    }
    if not known:
        reason += " (whether it is allowed is unknown without the OwnerCard)"
    return Finding("high", "DISCOVERY_DOMAIN_FAILURE", reason, evidence)


def _nameless(one: DomainFailures, failures: Failures) -> Finding:
    since = rfc3339(failures.since)
    reason = f"discovery failed {one.count} times since {since} with no domain in its reason code"
    evidence = {"count": one.count, "first": rfc3339(one.first), "last": rfc3339(one.last)}
    return Finding("medium", "DISCOVERY_FAILURE_WITHOUT_DOMAIN", reason, evidence)


def _not_allowed(often: dict[str, int], failures: Failures) -> Finding:
    told = ", ".join(f"{name} {count} times" for name, count in list(often.items())[:_MAX_NAMES])
    since = rfc3339(failures.since)
    reason = f"discovery of domains that the OwnerCard does not allow failed since {since}: {told}"
    return Finding("low", "DISCOVERY_OTHER_DOMAIN_FAILURE", reason, {"domains": often})


RULES = (buffer, qa, fallback_cap, fallback_jump, fallback_growth, disruptions, domains)
