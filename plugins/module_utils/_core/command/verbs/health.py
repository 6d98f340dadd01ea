# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs that look: health, the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ... import audit, health_check, times
from ...errors import BadInput
from ...findings import Thresholds
from ...outcome import Outcome
from ...sample import Scope
from ...state_history import INTEGRITY
from .. import exits, shared, show
from ..kinds import FLAG, NUMBER, SECONDS, TEXT, TEXTS, WHOLE, choice
from ..settings import Setting, switch
from ..verb import Call, Verb

# --- health ---


def limits(call: Call) -> tuple[Thresholds, Scope]:
    """Return from where on the node counts as sick, and how far back to look."""
    values = {one.short: call[one.name] for one in (*shared.SCOPE, *shared.LIMITS)}
    return health_check.thresholds_from(values), health_check.scope_from(values)


def _check(call: Call) -> Outcome:
    request = health_check.Request(
        *limits(call),
        call["integrity"],
        call["lock_timeout"],
        call["wait_timeout"],
        call["wait_interval"],
    )
    return health_check.check(call.node(), call.api(), request)


def _judged(facts: Mapping[str, Any]) -> list[str]:
    health = facts["health"]
    rows = [(one["severity"], one["code"], one["reason"]) for one in health["findings"]]
    gauges = [(name, f"{value:g}") for name, value in health["gauges"].items()]
    verdict = "healthy" if health["healthy"] else "NOT healthy"
    return [
        f"{verdict}: {len(rows) or 'no'} findings, the station calls itself {show.cell(health['state'])}",
        *show.table(("SEVERITY", "CODE", "REASON"), rows),
        *show.pairs((*gauges, ("sampled", show.instant(health["sampled_at"])), ("from", health["source"]))),
    ]


HEALTH = Verb(
    "health",
    "judge by evidence whether the node is healthy",
    (
        "Looks at the database, the OwnerCard and what the control API answers, and judges all of it by "
        "rules. What cannot be read is a finding, never nothing. Ends with 4 when a finding is of severity "
        "--fail-on or worse.",
        "What the API says of itself proves nothing: it makes good figures up when it cannot read the "
        "database, so both are compared.",
    ),
    _check,
    _judged,
    options=(
        Setting(
            "integrity", choice(INTEGRITY), health_check.INTEGRITY, "how thoroughly the database is checked"
        ),
        Setting(
            "wait_timeout", SECONDS, 0.0, "how long to wait for the node to become healthy; 0 looks once"
        ),
        Setting("wait_interval", SECONDS, health_check.WAIT_INTERVAL, "how long to wait between two looks"),
        *shared.LIMITS,
        *shared.SCOPE,
    ),
    shared=(*shared.ASKING, *shared.NODE),
    exits=(exits.SICK,),
    changes=False,
    examples=(
        ("vvtv-runbook health", "is it well?"),
        ("vvtv-runbook health --wait-timeout 300", "after a restart"),
        ("vvtv-runbook health --fail-on never --json", "only report"),
    ),
)


# --- the audit trail ---

_LISTS = ("reason_codes", "modules", "actors", "domains")


def _instant(call: Call, name: str) -> datetime | None:
    try:
        return None if call[name] is None else times.parse(call[name])
    except BadInput as exc:
        raise BadInput(f"{name}: {exc.msg}") from exc


def _search(call: Call) -> Outcome:
    since, until = audit.window(
        _instant(call, "since"), _instant(call, "until"), call["window_hours"], times.now()
    )
    query = audit.Query(
        since=since,
        until=until,
        failures_only=call["failures_only"],
        failure_patterns=tuple(call["failure_patterns"]),
        limit=call["limit"],
        details=call["details"],
        **{name: tuple(call[name]) for name in _LISTS},
    )
    return audit.tell(call.node().state_db, query, call["lock_timeout"])


def _found(facts: Mapping[str, Any]) -> list[str]:
    names = ("ts", "module", "actor", "action", "reason_code")
    rows = [[event[name] for name in names] for event in facts["events"]]
    lines = show.table(("INSTANT", "MODULE", "ACTOR", "ACTION", "REASON CODE"), rows)
    lines.append(f"{facts['total'] or 'no'} events since {show.instant(facts['since'])}")
    if facts["truncated"]:
        lines[-1] += f", the newest {len(rows)} of them listed"
    for title, name in (("by reason", "reason_code"), ("by domain", "domain"), ("by module", "module")):
        counts = facts["counts"][name]
        if counts:
            lines.append(f"{title}: {show.listed((f'{key} {count}' for key, count in counts.items()), 10)}")
    return lines


def _patterns(name: str, what: str) -> Setting:
    return Setting(name, TEXTS, (), f"only events {what} matches this pattern; may be given more than once")


AUDIT = Verb(
    "audit",
    "list what the station wrote down of failures",
    (
        "Reads the audit trail from the database, newest event first, failures of the last day unless told "
        "otherwise, and counts what matched. Nothing is written; the station's commits do not wait.",
        "Patterns are globs (*, ?, [abc]) that match the whole text, whatever the case. An event has to meet "
        "every filter that is given.",
    ),
    _search,
    _found,
    options=(
        Setting(
            "failures_only",
            FLAG,
            True,
            "whether to list failures only",
            switches=(("--all", False, "list every event, not failures only"),),
        ),
        Setting(
            "failure_patterns",
            TEXTS,
            audit.FAILURE_PATTERNS,
            "a pattern of reason codes that mean a failure; may be given more than once, then instead of all",
        ),
        _patterns("reason_codes", "whose reason code"),
        _patterns("modules", "whose module of the station"),
        _patterns("actors", "whose actor"),
        _patterns("domains", "whose domain, after the colon of the reason code,"),
        Setting("since", TEXT, None, "only events of this instant (RFC 3339) or later"),
        Setting("until", TEXT, None, "only events before this instant (RFC 3339)"),
        Setting("window_hours", NUMBER, audit.WINDOW_HOURS, "how many hours to look back without --since"),
        Setting("limit", WHOLE, audit.LIMIT, "how many events to list at most; counts go beyond it"),
        switch("details", "with --json also what was before and after each event"),
    ),
    shared=shared.NODE,
    exits=(exits.BUSY,),
    changes=False,
    examples=(
        ("vvtv-runbook audit", "what failed in the last day"),
        (
            "vvtv-runbook audit --reason-codes DISCOVERY_FAILED_DOMAIN --window-hours 168 --limit 0",
            "by domain",
        ),
        ("vvtv-runbook audit --all --actors curator", "all that one actor did"),
    ),
)

VERBS = (HEALTH, AUDIT)
