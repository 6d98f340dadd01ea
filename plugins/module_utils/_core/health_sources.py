# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules about the sources: can state.db, the pipeline's traces, the API and the OwnerCard be believed?

What could not be seen is critical: nothing can be called healthy without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .control_answers import GAUGES
from .findings import Finding
from .health_view import METRICS, STATE_DB, View, rfc3339
from .probes import NOT_ASKED, Fault, Probe

LEASE_SECONDS = 30.0  # of the scheduler's lease, which is renewed every 15 s (node contract, "state.db")

_STATE_CODES = {
    "not_found": "STATE_DB_MISSING",
    "empty": "STATE_DB_EMPTY",
    "foreign": "STATE_DB_FOREIGN",
    "damaged": "STATE_DB_CORRUPT",
    "busy": "STATE_DB_BUSY",
    "slow": "STATE_DB_SLOW",
}
_NOBODY = ("refused", "timeout", "unreachable")


def state_db(view: View) -> Iterator[Finding]:
    """state.db, or a part of it, cannot be read: one finding for each kind of error, naming the parts."""
    parts: dict[str, Probe[Any]] = {"state.db": view.sample.state}
    if view.history is not None:
        names = ("integrity", "failures", "assets", "lease", "samples")
        parts = {name: getattr(view.history, name) for name in names}
    parts["later samples"] = view.sample.later
    found: dict[str, dict[str, str]] = {}
    for name, seen in parts.items():
        if seen.error is not None and not (seen is view.sample.later and _excused(view, seen)):
            code = _STATE_CODES.get(seen.error.reason, "STATE_DB_UNREADABLE")
            found.setdefault(code, {})[name] = seen.error.msg
    for code, errors in found.items():
        yield Finding("critical", code, [*errors.values()][0], {"errors": errors})


def _excused(view: View, seen: Probe[Any]) -> bool:
    """Whether something was not asked for because of what is told already: state.db could not be read."""
    unread = view.history is None or not view.history.samples.ok
    return unread and seen.error is not None and seen.error.reason == NOT_ASKED


def unchecked_integrity(view: View) -> Iterator[Finding]:
    """SQLite's own check would have kept the station waiting, and was given up."""
    integrity = view.history and view.history.integrity.value
    if integrity and integrity.asked != integrity.done:
        reason = f"the {integrity.asked} check of state.db took too long beside the station and was given up"
        yield Finding(
            "medium", "INTEGRITY_NOT_FINISHED", reason, {"asked": integrity.asked, "done": integrity.done}
        )


def malformed_rows(view: View) -> Iterator[Finding]:
    """Rows of state.db cannot be read; worse when the newest metric sample is one of them."""
    if view.history is None:
        return
    samples, failures = view.history.samples.value, view.history.failures.value
    counts = {
        "metric_samples": samples.malformed if samples else 0,
        "audit_events": failures.malformed if failures else 0,
    }
    if not any(counts.values()):
        return
    newest = samples.malformed_at if samples else None
    hides = newest is not None and (not view.samples or newest > view.samples[0].at)
    told = " and ".join(f"{count} of {table}" for table, count in counts.items() if count)
    reason = f"rows of state.db cannot be read: {told}"
    if hides:
        reason += f", among them the newest metric sample, of {rfc3339(newest)}"
    yield Finding(
        "high" if hides else "medium",
        "STATE_DB_MALFORMED_ROWS",
        reason,
        {"rows": counts, "newest_sample": rfc3339(newest)},
    )


def pipeline(view: View) -> Iterator[Finding]:
    """The pipeline wrote nothing for longer than it may, or its newest sample lies in the future."""
    if view.history is None or not view.history.samples.ok:
        return
    if not view.samples:
        yield Finding("critical", "NO_SAMPLES", "state.db holds no metric sample: there is nothing to judge")
        return
    newest = view.samples[0].at
    age = (view.now - newest).total_seconds() / 60
    card = view.sample.card.value
    interval = card.commit_interval_minutes if card else view.limits.commit_interval_minutes
    limit = interval + view.limits.stale_grace_minutes
    evidence = {"newest_sample": rfc3339(newest), "age_minutes": round(age, 2), "limit_minutes": limit}
    if age > limit:
        reason = (
            f"no metric sample for {age:.0f} min (since {rfc3339(newest)}), one is due every {interval:g} min"
        )
        yield Finding("high", "PIPELINE_STALE", reason, evidence)
    if age * 60 < -view.limits.clock_tolerance:
        reason = (
            f"the newest metric sample is {-age:.1f} min in the future ({rfc3339(newest)}): a clock is wrong"
        )
        yield Finding("high", "SAMPLE_FROM_FUTURE", reason, evidence)


def lease(view: View) -> Iterator[Finding]:
    """The scheduler does not renew its lease: a dead orchestrator looks healthy to the API."""
    if view.history is None or not view.history.lease.ok:
        return
    held = view.history.lease.value
    if held is None:
        yield Finding("high", "SCHEDULER_LEASE_MISSING", "no scheduler has taken the lease scheduler-main")
        return
    # By the instant of the look: by now the lease may have been renewed.
    left = (held.expires_at - view.history.lease.at).total_seconds()
    evidence = {"owner": held.owner, "expires_at": rfc3339(held.expires_at), "seconds_left": round(left, 3)}
    if left < 0:
        reason = f"the scheduler's lease ran out {-left:.0f} s ago: {held.owner} is dead or stuck"
        yield Finding("high", "SCHEDULER_LEASE_EXPIRED", reason, evidence)
    elif left > LEASE_SECONDS + view.limits.clock_tolerance:
        reason = f"the scheduler's lease ends in {left:.0f} s, more than a lease lasts: a clock is wrong"
        yield Finding("high", "SCHEDULER_LEASE_FROM_FUTURE", reason, evidence)


def api(view: View) -> Iterator[Finding]:
    """The API gives no answer, or a wrong one: one finding for each reason, naming the calls."""
    calls: dict[str, Probe[Any]] = {
        "status": view.sample.status,
        "metrics": view.sample.metrics,
        "alerts": view.sample.alerts,
    }
    found: dict[str, dict[str, Fault]] = {}
    for name, seen in calls.items():
        if seen.error is not None and not _excused(view, seen):
            found.setdefault(seen.error.reason, {})[name] = seen.error
    for reason, faults in found.items():
        code = "CONTROL_API_UNREACHABLE" if reason in _NOBODY else "CONTROL_API_BAD_ANSWER"
        evidence = {
            "reason": reason,
            "errors": {name: fault.msg for name, fault in faults.items()},
            "status": next((fault.status for fault in faults.values() if fault.status), None),
        }
        text = f"the control API cannot be asked for {', '.join(faults)}: {[*faults.values()][0].msg}"
        yield Finding("critical", code, text, evidence)


def clock(view: View) -> Iterator[Finding]:
    """The API's clock is not this one: signed calls are refused beyond 300 s, and ages mean nothing."""
    seen, status = view.sample.status, view.sample.status.value
    if status is None:
        return
    early = (seen.at - status.timestamp).total_seconds()
    late = -early - seen.seconds
    off = max(early, late)
    if off > view.limits.clock_tolerance:
        side, said, here = (
            "behind" if early > late else "ahead",
            rfc3339(status.timestamp),
            rfc3339(seen.at),
        )
        reason = f"the API's clock is {off:.0f} s {side}: it said {said} at {here}"
        evidence = {"api": said, "here": here, "seconds": round(off, 3)}
        yield Finding("high", "CLOCK_SKEW", reason, evidence)


def emergency(view: View) -> Iterator[Finding]:
    """Emergency mode is on."""
    status = view.sample.status.value
    if status is not None and status.emergency:
        yield Finding("medium", "EMERGENCY_MODE", "emergency mode is on", {"state": status.state})


def owner_card(view: View) -> Iterator[Finding]:
    """The OwnerCard cannot be read: the station would come up without one, and we cannot judge by it."""
    error = view.sample.card.error
    if error is not None:
        code = "OWNER_CARD_INVALID" if error.reason == "damaged" else "OWNER_CARD_UNREADABLE"
        yield Finding("high", code, error.msg, {"reason": error.reason})


def made_up_metrics(view: View) -> Iterator[Finding]:
    """The API tells the constant sample that it makes up when it cannot read state.db."""
    if view.made_up:
        reason = "/metrics are the ones the API makes up when it cannot read state.db: they say nothing"
        evidence = {
            "metrics": view.sample.metrics.value,
            "state_db": view.samples[0].gauges if view.samples else None,
        }
        yield Finding("critical", "METRICS_MADE_UP", reason, evidence)


def disagreement(view: View) -> Iterator[Finding]:
    """The API tells gauges of no sample that state.db held before or after."""
    metrics, later = view.sample.metrics.value, view.sample.later
    if metrics is None or view.made_up or view.confirmed or not later.ok:
        return
    newest = view.samples[0] if view.samples else None
    evidence = {
        STATE_DB: newest.gauges if newest else None,
        METRICS: metrics,
        "newest_sample": rfc3339(newest.at if newest else None),
    }
    reason = "/metrics tells gauges, but state.db holds no sample"
    if newest is not None:
        other = [name for name in GAUGES if metrics[name] != newest.gauges[name]]
        told = ", ".join(f"{name} {newest.gauges[name]:g} and {metrics[name]:g}" for name in other)
        reason = f"state.db and /metrics disagree: {told}"
    yield Finding("high", "SOURCES_DISAGREE", reason, evidence)


RULES = (
    state_db,
    unchecked_integrity,
    malformed_rows,
    pipeline,
    lease,
    api,
    clock,
    emergency,
    owner_card,
    made_up_metrics,
    disagreement,
)
