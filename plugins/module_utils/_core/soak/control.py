# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting, ending and telling of a soak: what the modules and the node's command call."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from .. import files, times
from ..errors import BadInput, Busy, Damaged, RunbookError, guarded
from ..findings import Thresholds
from ..locks import node_lock
from ..outcome import Outcome
from ..rollout import record, states
from ..rollout.folder import Folder
from . import baseline, judge, launch, observe, progress, request, store, summary
from .limits import limits_of
from .progress import DIED, ENDED, NONE, RUNNING, State

BY_OPERATOR = "stopped by an operator"
STOP_SECONDS = 5.0
RESTART_SECONDS = 60.0
_FORMER = re.compile(r"attempt-([1-9][0-9]{0,5})", re.ASCII)


class NotPassed(RunbookError):
    """The verdict over a soak is not PASS; ``facts`` hold it."""

    code: ClassVar[str] = "not_passed"


def require_pass(outcome: Outcome) -> None:
    """Raise :class:`NotPassed` with what :func:`tell` told unless the verdict is PASS."""
    verdict = outcome.facts["verdict"]
    if verdict["result"] == judge.PASS:
        return
    why = "; ".join(f"{one['code']} ({one['reason']})" for one in verdict["reasons"][:5])
    failure = NotPassed(f"the soak's verdict is {verdict['result']}: {why}")
    failure.facts = outcome.facts
    raise failure


def state(folder: Folder) -> State:
    """Return how the soak of a rollout stands; raise :class:`Damaged`."""
    return progress.state_of(folder.soak)


def start(
    folder: Folder, plan: request.Plan, timeout: float, restart: bool = False, check: bool = False
) -> Outcome:
    """Bring about that the rollout's soak was started: idempotent by the rollout's id.

    One that runs or is over stays as it is; one whose sampler died goes on if there is time left, and is over
    otherwise. ``restart`` keeps what there is as ``attempt-N`` and starts anew. ``timeout`` (seconds) is for
    the node's lock.
    """
    outcome = Outcome()
    if check:
        _start(folder, plan, restart, outcome, check=True)
    else:
        with node_lock(folder.node, f"soak of rollout {folder.rollout}", timeout):
            folder.make()
            _start(folder, plan, restart, outcome, check=False)
    outcome.facts["soak"] = _told(folder, times.now())
    return outcome


def _start(folder: Folder, plan: request.Plan, restart: bool, outcome: Outcome, check: bool) -> None:
    present = _present(folder, restart)
    now = times.now()
    if present.request is not None and not restart:
        outcome.warnings += _differences(present.request.plan, plan)
    if present.word == NONE or restart:
        if present.word != NONE:
            outcome.did("keep the former attempt of the soak aside")
        outcome.did(f"start a soak of {plan.hours:g} hours, a sample every {plan.interval:g} s")
        if not check:
            _begin(folder, plan, present, outcome)
    elif present.word == DIED and present.request is not None:
        if now < present.request.window[1]:
            outcome.did("start the sampler again: it had died, and there is time left")
            if not check:
                outcome.warnings += _launch(folder)
        else:
            outcome.did("note that the sampler died before the end")
            if not check:
                detail = "its sampler died, and the time was over when somebody looked"
                _end(folder, store.DIED, detail)


def _present(folder: Folder, restart: bool) -> State:
    """Return how the soak stands; one whose files are damaged can still be started anew."""
    try:
        return state(folder)
    except Damaged:
        if not restart:
            raise
        return State(DIED)


def _differences(present: request.Plan, wanted: request.Plan) -> list[str]:
    """Say which settings of a soak that was started already are other than those asked for."""
    names = [one.name for one in fields(present) if getattr(present, one.name) != getattr(wanted, one.name)]
    if not names:
        return []
    return [f"the soak was started with other settings, which are kept: {', '.join(names)}"]


def _begin(folder: Folder, plan: request.Plan, present: State, outcome: Outcome) -> None:
    owner = folder.node.owner()
    if present.word != NONE:
        _end(folder, store.STOPPED, "a new attempt was started")
        if not _gone(folder.soak, RESTART_SECONDS):
            raise Busy("the sampler of the former attempt still waits for an answer", hint="run again")
    attempt = _put_aside(folder.soak, owner)
    files.replace(folder.soak / launch.ENGINE, launch.engine(), 0o640, owner)
    now = times.now()
    # The request comes last: with it there is a soak, and whoever finds one without a sampler starts that.
    made = request.Request(
        folder.rollout, attempt, now, _changed_at(folder) or now, record.who(), folder.node, plan
    )
    request.write(folder.soak, made, owner)
    outcome.warnings += _launch(folder)


def _launch(folder: Folder) -> list[str]:
    unit = launch.unit_name(folder.rollout, folder.node.root)
    return launch.start(folder.soak, folder.node.owner(), unit)


def _changed_at(folder: Folder) -> datetime | None:
    """Return when the change of this node began: up to then reaches the history it is compared with."""
    entries = record.read(folder.record)
    return next((entry.at for entry in entries if entry.state == states.IN_PROGRESS), None)


def _put_aside(soak: Path, owner: files.Owner) -> int:
    """Move what a former attempt left to ``attempt-N``; return the next attempt's number.

    Killed in between, the next run goes on: what is moved is complete in one place or the other.
    """
    before = soak.with_name(".soak-before")
    with guarded("put the former attempt aside", soak):
        if not before.exists() and any(_FORMER.fullmatch(one.name) is None for one in soak.iterdir()):
            soak.rename(before)
        files.make_folder(soak, 0o750, owner)
        if before.exists():
            for former in before.iterdir():
                if _FORMER.fullmatch(former.name):
                    former.rename(soak / former.name)
            before.rename(soak / f"attempt-{_attempts(soak) + 1}")
            files.sync_folder(soak)
            files.sync_folder(soak.parent)
        return _attempts(soak) + 1


def _attempts(soak: Path) -> int:
    named = (_FORMER.fullmatch(one.name) for one in soak.iterdir())
    return max((int(found[1]) for found in named if found), default=0)


def stop(folder: Folder, reason: str) -> bool:
    """End the soak of a rollout; return whether it had not ended before, whatever state its files are in.

    The caller may hold the node's lock or not. Its sampler is gone in a few seconds, and stores nothing more
    from now on.
    """
    if not os.path.lexists(folder.soak / request.NAME):
        return False
    done = _end(folder, store.STOPPED, reason)
    _gone(folder.soak, STOP_SECONDS)
    return done


def end(folder: Folder, timeout: float, reason: str, check: bool) -> Outcome:
    """Bring about that no soak of the rollout runs."""
    outcome = Outcome()
    if state(folder).word in (RUNNING, DIED):
        outcome.did("end the soak")
        if not check:
            with node_lock(folder.node, f"end the soak of rollout {folder.rollout}", timeout):
                stop(folder, reason)
    outcome.facts["soak"] = _told(folder, times.now())
    return outcome


def _end(folder: Folder, code: str, detail: str) -> bool:
    """Write down that it is over, and the summary of what there is."""
    owner = folder.node.owner()
    how = store.Ended(times.now(), code, detail, record.who())
    if not store.end(folder.soak, how, owner):
        return False
    with suppress(Damaged):  # of such a soak there is no summary; its end counts
        asked = request.find(folder.soak)
        if asked is not None:
            case = _case(folder.soak, State(ENDED, asked, how), asked, how.at, ())
            summary.write(folder.soak, case, judge.judge(case), owner)
    return True


def _gone(soak: Path, seconds: float) -> bool:
    """Wait for the sampler to see that the soak is over; while it waits for an answer that takes longer."""
    deadline = time.monotonic() + seconds
    while store.alive(soak):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


# --- telling ---


def tell(
    folder: Folder,
    judge_it: bool = True,
    limits: Mapping[str, Any] | None = None,
    thresholds: Mapping[str, Any] | None = None,
    baselines: Sequence[Mapping[str, Any]] | None = None,
) -> Outcome:
    """Return ``soak`` and ``verdict``; nothing is changed.

    Without ``judge_it`` the samples are not read: what the sampler left says how far it is, which is cheap,
    and ``verdict`` is what the sampler thinks of it. ``limits`` and ``thresholds`` replace some of those that
    were frozen. Raise :class:`BadInput` for such that cannot be.
    """
    hosts = baseline.baselines_of(baselines)
    present = state(folder)
    now = times.now()
    outcome = Outcome(facts={"soak": progress.facts(folder.soak, present, now)})
    asked = present.request
    if asked is None:
        outcome.facts["soak"].update(_NOTHING)
        outcome.facts["verdict"] = _no_soak(folder.rollout)
        return outcome
    if not judge_it:
        _by_sampler(folder, asked, outcome)
        return outcome
    judged_by = _other_limits(asked, limits, thresholds)
    case = _case(folder.soak, present, judged_by, now, hosts)
    verdict = judge.judge(case)
    outcome.facts["soak"].update(progress.counts(case, verdict), observed=progress.observed_of(case, verdict))
    outcome.facts["verdict"] = verdict.told()
    return outcome


_NOTHING: dict[str, Any] = {
    "samples": 0, "warmup_samples": 0, "expected": 0, "due": 0, "cycles": 0, "errors": 0, "coverage": None,
    "last": None, "sha256": None, "length": 0.0, "elapsed": 0.0, "remaining": 0.0, "started_at": None,
    "ends_at": None, "ended_at": None, "observed": None,
}  # fmt: skip


def _no_soak(rollout: str) -> dict[str, Any]:
    reason = judge.Reason("no_data", f"no soak of rollout {rollout} was started here", judge.INCONCLUSIVE)
    warmup = {"samples": 0, "errors": 0, "findings": {}}
    return judge.Verdict(judge.INCONCLUSIVE, (reason,), 0, 0, False, (), warmup, ()).told()


def _by_sampler(folder: Folder, asked: request.Request, outcome: Outcome) -> None:
    """Tell what the sampler left."""
    left = progress.read(folder.soak, asked)
    soak = outcome.facts["soak"]
    soak["observed"] = None
    if left is None:
        reason = judge.Reason("no_data", "the sampler has left nothing yet", judge.INCONCLUSIVE)
        left = {"result": judge.INCONCLUSIVE, "certain": False, "reasons": [reason.told()]}
    soak.update({name: left[name] for name in _COUNTED if name in left})
    outcome.facts["verdict"] = {
        "result": left["result"],
        "reasons": left["reasons"],
        "samples": soak["samples"],
        "cycles": soak["cycles"],
        "certain": left["certain"],
        "checks": [],
        "warmup": {},
        "baseline_hosts": [],
    }


_COUNTED = ("samples", "warmup_samples", "cycles", "errors", "coverage", "last")


def _told(folder: Folder, now: datetime) -> dict[str, Any]:
    """Return what is told of a soak after something was done to it."""
    present = state(folder)
    facts = progress.facts(folder.soak, present, now)
    if present.request is None:
        return {**facts, **_NOTHING}
    left = progress.read(folder.soak, present.request) or {}
    return {**facts, **{name: left[name] for name in _COUNTED if name in left}, "observed": None}


def _other_limits(
    asked: request.Request, limits: Mapping[str, Any] | None, thresholds: Mapping[str, Any] | None
) -> request.Request:
    """Return the request with other limits and thresholds: the past judged anew."""
    plan = asked.plan
    known = {one.name for one in fields(Thresholds)}
    unknown = sorted(set(thresholds or {}) - known)
    if unknown:
        raise BadInput(f"thresholds: {unknown[0][:60]!r} is none; there are {', '.join(sorted(known))}")
    try:
        other = replace(plan.thresholds, **(thresholds or {}))
    except TypeError as exc:
        raise BadInput(f"thresholds: {exc}") from exc
    return replace(asked, plan=replace(plan, thresholds=other, limits=limits_of(limits or {}, plan.limits)))


def _case(
    soak: Path,
    present: State,
    asked: request.Request,
    now: datetime,
    hosts: tuple[baseline.Baseline, ...],
) -> judge.Case:
    seen = observe.read(soak, asked.plan.thresholds)
    return judge.Case(asked, seen, now, present.alive, present.over, hosts)
