# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs of a soak: start it on the node, and see how far it is and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ...findings import Thresholds
from ...outcome import Outcome
from ...rollout.folder import CANARY_DIR, Folder
from ...sample import Scope
from ...soak import control, request
from ...soak.limits import NO_CYCLE, Limits, limits_of
from .. import exits, shared, show
from ..kinds import FLAG, NUMBER, PATH, SECONDS, TEXT, WHOLE, Kind, choice
from ..settings import Setting, switch
from ..verb import Call, Verb

_ROLLOUT = Setting("rollout", TEXT, None, "the rollout's id, like 20260131T235959Z; needed")
_CANARY_DIR = Setting("canary_dir", PATH, CANARY_DIR, "where the rollouts' folders are; relative to the root")


def _limit(name: str, kind: Kind, about: str) -> Setting:
    return Setting(name, kind, getattr(Limits(), name), about)


_LIMITS = (
    _limit("min_samples", WHOLE, "how many samples without an error it needs"),
    _limit("min_coverage", NUMBER, "in which share of the ticks there must be a sample"),
    _limit("no_cycle", choice(NO_CYCLE), "what it means when the pipeline wrote no metric sample"),
    _limit("max_failures", WHOLE, "in how many samples a check may fail"),
    _limit("max_consecutive_failures", WHOLE, "in how many in a row; as many as --max-failures unless given"),
    _limit("max_errors", WHOLE, "in how many samples something may be unseen"),
    _limit("max_consecutive_errors", WHOLE, "in how many in a row the API may give no good answer"),
    _limit("slo_target", NUMBER, "in which share of the samples the station must have been available"),
)


def _folder(call: Call) -> Folder:
    node = call.node()
    if call["rollout"] is None:
        hint = f"give --rollout; each has a folder below {CANARY_DIR}"
        raise exits.BadUsage("it is not said which rollout", hint=hint)
    return Folder.of(node, call["rollout"], call["canary_dir"])


def _start(call: Call) -> Outcome:
    folder = _folder(call)
    if call["stop"]:
        return control.end(folder, call["lock_timeout"], call["reason"], call.check)
    thresholds = {one.name: call[f"thresholds.{one.name}"] for one in fields(Thresholds)}
    scope = {one.short: call[one.name] for one in shared.SCOPE}
    plan = request.Plan(
        **{one.name: call[one.name] for one in (_HOURS, _INTERVAL, _MAX_SAMPLES, _WARMUP, _EARLY)},
        thresholds=Thresholds(**thresholds),
        scope=Scope(**scope, newest=max(Scope().newest, thresholds["fallback_growth_samples"])),
        limits=limits_of({one.name: call[one.name] for one in _LIMITS}),
        api_url=call["api_url"],
        api_timeout=call["api_timeout"],
        timeout=call["lock_timeout"],
    )
    return control.start(folder, plan, call["lock_timeout"], call["restart"], call.check)


def _far(facts: Mapping[str, Any]) -> list[str]:
    soak = facts["soak"]
    if soak["state"] == "none":
        return ["no soak of this rollout was started here"]
    last = soak["last"] or {}
    gauges = [(name, f"{value:g}") for name, value in (last.get("gauges") or {}).items()]
    share = None if soak["coverage"] is None else f"{soak['coverage']:.0%}"
    return [
        f"the soak of rollout {soak['rollout']}: {soak['state']}",
        *show.pairs(
            (
                ("because", soak["detail"]),
                ("started", show.instant(soak["started_at"])),
                ("ends", show.instant(soak["ended_at"] or soak["ends_at"])),
                ("elapsed", show.seconds(soak["elapsed"])),
                ("remaining", show.seconds(soak["remaining"]) if soak["remaining"] else None),
                ("samples", f"{soak['samples']} of {soak['expected']}"),
                ("coverage", share),
                ("cycles", soak["cycles"]),
                ("errors", soak["errors"] or None),
                ("last sample", show.instant(last.get("at"))),
                *gauges,
                ("folder", soak["path"]),
            )
        ),
    ]


_HOURS = Setting(
    "hours", NUMBER, request.HOURS, "how many hours after the warm-up", variable="VVTV_CANARY_SOAK_HOURS"
)
_INTERVAL = Setting(
    "interval",
    SECONDS,
    request.INTERVAL,
    "from one sample to the next",
    variable="VVTV_CANARY_SOAK_INTERVAL_SECS",
)
_MAX_SAMPLES = Setting(
    "max_samples",
    WHOLE,
    0,
    "after how many samples to end; 0 for no cap",
    variable="VVTV_CANARY_SOAK_MAX_SAMPLES",
)
_WARMUP = Setting("warmup", SECONDS, 0.0, "how long samples are kept and not judged")
_EARLY = Setting(
    "early_stop",
    FLAG,
    True,
    "whether to end when it can only fail any more",
    switches=(("--no-early-stop", False, "go on when it can only fail any more"),),
)

SOAK = Verb(
    "soak",
    "sample the node for a while after a change",
    (
        "Starts a sampler that needs nobody: it outlives this command and its session. Idempotent by the "
        "rollout's id; a soak whose sampler died goes on if there is time left. The samples and a summary "
        "are in the folder soak of the rollout's own folder.",
        "soak-status tells how far it is, and judges it.",
    ),
    _start,
    _far,
    options=(
        _ROLLOUT,
        _CANARY_DIR,
        switch("stop", "end it before its time"),
        Setting("reason", TEXT, control.BY_OPERATOR, "why it is stopped"),
        switch("restart", "start anew, and keep what there is aside"),
        _HOURS,
        _INTERVAL,
        _MAX_SAMPLES,
        _WARMUP,
        _EARLY,
        *_LIMITS,
        *shared.LIMITS,
        *shared.SCOPE,
    ),
    shared=(*shared.ASKING, *shared.NODE),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook soak --rollout 20260131T235959Z --hours 6 --warmup 600", "six hours, after a restart"),
        ("vvtv-runbook soak --rollout 20260131T235959Z --stop --reason 'wrong card'", "end it"),
    ),
    next_step=lambda facts: f"vvtv-runbook soak-status --rollout {facts['soak'].get('rollout', 'ID')}",
)


def _tell(call: Call) -> Outcome:
    limits = {one.name: call[one.name] for one in _OTHER_LIMITS}
    outcome = control.tell(_folder(call), limits=limits)
    if call["enforce"]:
        control.require_pass(outcome)
    return outcome


def _judged(facts: Mapping[str, Any]) -> list[str]:
    verdict = facts["verdict"]
    rows = [(one["result"], one["code"], one["reason"]) for one in verdict["reasons"]]
    return [
        *_far(facts),
        f"verdict: {verdict['result']} by {verdict['samples']} samples, {verdict['cycles']} cycles",
        *show.table(("MEANS", "CODE", "REASON"), rows),
    ]


_OTHER_LIMITS = tuple(Setting(one.name, one.kind, None, f"{one.about}; as at the start") for one in _LIMITS)

STATUS = Verb(
    "soak-status",
    "tell how far a soak is and judge it",
    (
        "Reads the stored samples and judges them: PASS needs evidence, FAIL is what was seen and is wrong, "
        "INCONCLUSIVE is all that proves neither. Other limits than those of the start judge the same "
        "samples anew. Nothing is changed.",
    ),
    _tell,
    _judged,
    options=(
        _ROLLOUT,
        _CANARY_DIR,
        switch("enforce", "end with 4 unless the verdict is PASS"),
        *_OTHER_LIMITS,
    ),
    shared=shared.NODE,
    exits=(exits.SICK,),
    changes=False,
    examples=(
        ("vvtv-runbook soak-status --rollout 20260131T235959Z", "how far is it?"),
        ("vvtv-runbook soak-status --rollout 20260131T235959Z --max-failures 2", "would it have passed?"),
    ),
)

VERBS = (SOAK, STATUS)
