# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A promotion is bound to its evidence: what the canaries' turns came to, for this candidate, not long ago.

Each decision is a line of ``promotions.jsonl`` with the digests of the evidence, which promotes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .. import files, times
from ..errors import BadInput, Damaged, NotFound, RunbookError
from ..probes import one_line
from . import ledger, record, states
from .ledger import Entries, state_of
from .plan import Plan
from .results import PASS
from .store import CONFIRMED, EVIDENCE, Store, me, rollouts

PROMOTED = "PROMOTED"
BLOCKED = "BLOCKED"
VERSION = 1
MAX_BYTES = 4 << 20
_MAX_REASONS = 200
_ALARMING = ("critical", "high")
_FUTURE = timedelta(minutes=5)


@dataclass(frozen=True)
class Decision:
    """``facts`` as the store keeps them; ``new`` when they were not known."""

    facts: dict[str, Any]
    new: bool


def granted(store: Store, plan: Plan) -> dict[str, Any] | None:
    """Return the promotion of this plan's candidate that holds, ``None`` when there is none."""
    decisions = _read(store.promotions)
    last = decisions[-1] if decisions else None
    good = last is not None and last["status"] == PROMOTED and last["plan_sha256"] == plan.sha256
    return last if good else None


def judge(
    store: Store, plan: Plan, known: Entries, health: Mapping[str, Any], max_age_hours: float
) -> list[dict[str, Any]]:
    """Return every reason that keeps the candidate from being promoted; none when it may be."""
    reasons: list[dict[str, Any]] = []
    former, now = granted(store, plan), times.now()
    for host in plan.canaries:
        canary = _Canary(store, plan, host, known.get(host, ()))
        canary.look()
        if former is None:
            canary.require_age(now, max_age_hours)
        reasons += canary.reasons
    if former is not None:
        age = now - times.parse(former["at"])
        if age > timedelta(hours=max_age_hours):
            reasons.append(
                _reason("old", f"it was promoted {_hours(age)} ago, {max_age_hours:g} h is the most")
            )
        elif former["evidence"] != _digests(plan, known):
            reasons.append(_reason("changed", "the canaries' evidence changed since they were promoted"))
    used = _used(store, plan, known)
    if used:
        reasons.append(_reason("used", f"the evidence has promoted rollout {used} already"))
    artifact = _artifact(plan)
    if artifact:
        reasons.append(_reason("artifact_changed", artifact))
    for host in dict.fromkeys((*plan.canaries, *health)):
        reasons += _unwell(host, health.get(host))
    return reasons


def decide(
    store: Store, plan: Plan, reasons: list[dict[str, Any]], health: Mapping[str, Any], by: str, check: bool
) -> Decision:
    """Note the decision unless the newest one says the same already."""
    known = store.all_entries(plan.canaries)
    facts = {
        "v": VERSION,
        "at": times.to_text(times.now()),
        "by": one_line(by, record.MAX_WHO),
        "status": BLOCKED if reasons else PROMOTED,
        "rollout": plan.rollout,
        "plan_sha256": plan.sha256,
        "candidate": asdict(plan.artifacts.candidate),
        "evidence": _digests(plan, known),
        "alerts": sum(_alarms(health.get(host)) for host in plan.canaries),
        "reasons": reasons[:_MAX_REASONS],
    }
    with nullcontext() if check else store.lock():
        decisions = _read(store.promotions)
        last = decisions[-1] if decisions else {}
        same = ("status", "plan_sha256", "evidence")
        if all(last.get(name) == facts[name] for name in same) and _codes(last) == _codes(facts):
            return Decision(last, new=False)
        if not check:
            lines = b"".join(json.dumps(line).encode() + b"\n" for line in [*decisions, facts])
            files.replace(store.promotions, lines, 0o640, me())
    return Decision(facts, new=True)


def _codes(facts: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return [(reason.get("code"), reason.get("host")) for reason in facts.get("reasons") or ()]


class _Canary:
    """One canary's evidence; ``reasons`` say what is wrong with it."""

    def __init__(self, store: Store, plan: Plan, host: str, entries: tuple[record.Entry, ...]) -> None:
        self.store, self.plan, self.host, self.entries = store, plan, host, entries
        self.reasons: list[dict[str, Any]] = []

    def _add(self, code: str, reason: str) -> None:
        self.reasons.append(_reason(code, f"{self.host}: {reason}", self.host))

    def look(self) -> None:
        """Compare what was fetched with what the record says was fetched, and with the plan."""
        state = state_of(self.entries)
        if state not in ledger.GOOD:
            self._add("canary_not_passed", f"it is {state}, not {states.PASSED}")
            return
        try:
            found = self.store.evidence(self.host)
        except RunbookError as exc:
            self._add("no_evidence", str(exc))
            return
        missing = [name for name in EVIDENCE if name not in found]
        if missing:
            self._add("no_evidence", f"the store has no {' and no '.join(missing)} of it")
            return
        digests = {name: files.sha256_hex(data) for name, data in found.items()}
        if record.fact(self.entries, "evidence") != digests:
            self._add("evidence_changed", "its evidence in the store is not what was fetched")
        self._compare(_env(found["result.env"]), _env(found["soak/summary.txt"]))

    def _compare(self, result: dict[str, str], summary: dict[str, str]) -> None:
        if result.get("status") != PASS:
            self._add("not_pass", f"its result.env says {result.get('status', 'nothing')}")
        if summary.get("verdict") != PASS:
            self._add("not_pass", f"its soak's summary says {summary.get('verdict', 'nothing')}")
        if result.get("rollout") != self.plan.rollout:
            self._add("other_rollout", f"its evidence is of rollout {result.get('rollout', 'none')[:40]}")
        for name, wanted in asdict(self.plan.artifacts.candidate).items():
            if result.get(name, "") != (wanted or ""):
                self._add(
                    "other_candidate", f"its evidence is of {name} {result.get(name, '')[:80] or 'none'}"
                )
        soak = record.fact(self.entries, "soak_sha256")
        if not soak or result.get("soak_sha256") != soak:
            self._add("no_soak", "no soak log is bound to its verdict")

    def require_age(self, now: datetime, max_age_hours: float) -> None:
        """Evidence is as old as the first word of the soak log that it is bound to."""
        soak = record.fact(self.entries, "soak_sha256")
        passed = next(
            (_when(entry) for entry in self.entries if entry.facts.get("soak_sha256") == soak), None
        )
        if passed is None:
            return
        if now - passed > timedelta(hours=max_age_hours):
            self._add("old", f"it passed {_hours(now - passed)} ago, {max_age_hours:g} h is the most")
        elif passed - now > _FUTURE:
            self._add("future", f"it passed at {times.to_text(passed)}, which is still to come")


def _when(entry: record.Entry) -> datetime:
    """Return when something was noted: on the node, if the store learned it later."""
    told = entry.facts.get(CONFIRMED)
    if not isinstance(told, dict) or not isinstance(told.get("at"), str):
        return entry.at
    return min(entry.at, times.parse(told["at"]))


def _unwell(host: str, seen: Any) -> list[dict[str, Any]]:
    """Return why a host is not well now; nothing known of it is a reason too."""
    if not isinstance(seen, Mapping) or not seen or seen.get("state") is None:
        return [_reason("health_unknown", f"{host}: how it is now is not known", host)]
    reasons = []
    if seen.get("state") == "EMERGENCY":
        reasons.append(_reason("emergency", f"{host}: it is in EMERGENCY", host))
    for alarm in _alarming(seen):
        code, why = (one_line(str(alarm.get(name, "")), 200) for name in ("code", "reason"))
        reasons.append(_reason("alarm", f"{host}: {code} {why}".rstrip(), host))
    if seen.get("healthy") is not True and not reasons:
        reasons.append(_reason("unhealthy", f"{host}: it is not healthy", host))
    return reasons


def _alarming(seen: Any) -> list[Mapping[str, Any]]:
    if not isinstance(seen, Mapping):
        return []
    told = [*(seen.get("findings") or ()), *(seen.get("alerts") or ())]
    return [item for item in told if isinstance(item, Mapping) and item.get("severity") in _ALARMING]


def _alarms(seen: Any) -> int:
    return len(_alarming(seen))


def _env(data: bytes) -> dict[str, str]:
    """Return ``key=value`` lines; a key that comes twice says nothing, so it is left out."""
    found: dict[str, str] = {}
    double = set()
    for line in data.decode(errors="replace").splitlines():
        name, sign, value = line.partition("=")
        if not sign:
            continue
        if name in found:
            double.add(name)
        found[name] = value
    return {name: value for name, value in found.items() if name not in double}


def _digests(plan: Plan, known: Entries) -> dict[str, Any]:
    """Return what stands for the evidence of each canary: its verdict's soak log."""
    return {host: record.fact(known.get(host, ()), "soak_sha256") for host in plan.canaries}


def _used(store: Store, plan: Plan, known: Entries) -> str | None:
    """Return another rollout that was promoted by a soak of this one's canaries."""
    ours = {digest for digest in _digests(plan, known).values() if digest}
    for rollout in rollouts(store.base):
        if rollout == store.rollout:
            continue
        for line in _read(Store(store.base, rollout).promotions):
            if line["status"] == PROMOTED and ours & set(line["evidence"].values()):
                return rollout
    return None


def _artifact(plan: Plan) -> str | None:
    """Return which file of the candidate is not the planned one; one that is elsewhere is not looked at."""
    pairs = (
        (plan.artifacts.release_path, plan.artifacts.candidate.release_sha256),
        (plan.artifacts.card_path, plan.artifacts.candidate.card_sha256),
    )
    for path, digest in pairs:
        if path is None or not Path(path).is_file():
            continue
        if files.sha256_of(Path(path)) != digest:
            return f"{path} is not what was planned"
    return None


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        data = files.read_bounded(path, MAX_BYTES)
    except NotFound:
        return []
    found = []
    try:
        for line in data.splitlines():
            item = json.loads(line)
            if item["v"] != VERSION or item["status"] not in (PROMOTED, BLOCKED):
                raise ValueError("another version or status")
            if not isinstance(item["evidence"], dict) or not isinstance(item["plan_sha256"], str):
                raise TypeError("evidence or plan_sha256")
            times.parse(item["at"])
            found.append(item)
    except (ValueError, TypeError, KeyError, RecursionError, BadInput) as exc:
        raise Damaged(f"is no list of promotions: {str(exc)[:80]}", path=path) from exc
    return found


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"


def _reason(code: str, reason: str, host: str | None = None) -> dict[str, Any]:
    return {"code": code, "reason": reason, "host": host}
