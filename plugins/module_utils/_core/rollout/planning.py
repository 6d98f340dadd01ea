# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a plan, or taking up the one that was frozen: digests of the files, an id, the lease."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from .. import files, owner_card, times
from ..errors import BadInput, RunbookError, guarded, require_absolute
from ..outcome import Outcome
from . import plan
from .begun import Candidate, check_release_id
from .plan import Artifacts, Plan
from .runs import Run
from .store import LEASE_SECONDS, Store, rollouts

_EXTENSION = re.compile(r"\.(?:tar|tar\.gz|tgz|tar\.zst|tzst)$", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What an operator asks for; ``None`` leaves a frozen plan's own word, or the default for a new one.

    With ``existing`` the plan must be there and holds, whatever else is asked for; files that are not what
    was planned are warned of, since a way back does not need them.
    """

    existing: bool = False

    hosts: Sequence[str] | None = None
    canaries: Sequence[str] | None = None
    baselines: Sequence[str] | None = None
    waves: Sequence[plan.Wave] | None = None
    release: str | None = None
    release_id: str | None = None
    card: str | None = None
    settings: Mapping[str, Any] | None = None
    playbook: str | None = None


@dataclass(frozen=True)
class Planner:
    """Who plans, and for how many seconds the rollout is theirs.

    ``break_glass`` is why it is taken from another run that is alive.
    """

    run: Run
    lease_seconds: float = LEASE_SECONDS
    break_glass: str | None = None
    by: str | None = None


def make_plan(
    record_dir: str, rollout: str | None, wanted: Wanted, planner: Planner, check: bool = False
) -> Outcome:
    """Freeze a new plan, or return the frozen one after making sure that it is what is wanted.

    Either way the rollout is the run's from then on. ``check`` writes nothing. Facts: ``plan`` and ``new``.
    Raise :class:`plan.Differs`, and :class:`Busy` while another run has the rollout.
    """
    if wanted.existing and not rollout:
        raise BadInput("it is not said which rollout")
    store, outcome = Store.of(record_dir, rollout or _new_id(record_dir)), Outcome()
    if check or wanted.existing:
        frozen = store.require_plan() if wanted.existing else store.find_plan()
        found = _settle(store, wanted, frozen, planner, outcome)
        other = store.other_run(planner.run)
        if check and other is not None:
            until = times.to_text(other.expires_at)
            outcome.warnings.append(f"{other.holder} has the rollout until {until}")
        if not check:
            with store.lock():
                _take(store, planner, outcome)
    else:
        # Looked at first, so that what cannot be planned leaves no folder behind.
        found = _settle(store, wanted, store.find_plan(), planner, outcome)
        with store.lock():
            frozen = store.find_plan()
            if frozen is not None:
                found = plan.require_same(frozen, found, store.plan_file)
            _take(store, planner, outcome)
            if frozen is None:
                store.freeze(found)
    if frozen is None:
        did = "freeze" if check else "froze"
        outcome.did(f"{did} the plan of {len(found.hosts)} hosts in {store.plan_file}")
    outcome.facts.update(plan=found.result(), new=frozen is None)
    return outcome


def _settle(store: Store, wanted: Wanted, frozen: Plan | None, planner: Planner, outcome: Outcome) -> Plan:
    """Return the plan that holds: the frozen one if it is what is wanted, else the one that is."""
    if frozen is None:
        return _of(store.rollout, wanted, None, planner)
    if not wanted.existing:
        return plan.require_same(frozen, _of(store.rollout, wanted, frozen, planner), store.plan_file)
    try:
        artifacts = _artifacts(wanted, frozen.artifacts)
    except RunbookError as exc:
        outcome.warnings.append(f"the candidate cannot be read: {exc}")
        return frozen
    changed = plan.differences(frozen, replace(frozen, artifacts=artifacts))
    if changed:
        outcome.warnings.append(f"the candidate is not what was planned: {'; '.join(changed)}")
        return frozen
    return replace(frozen, artifacts=artifacts)


def _take(store: Store, planner: Planner, outcome: Outcome) -> None:
    taken = store.take_lease(planner.run, planner.lease_seconds, planner.break_glass)
    files.remove(store.wait_ends)  # of a run before this one
    if taken.broken:
        outcome.did(f"took the rollout from another run: {taken.broken}")
        outcome.warnings.append(
            f"the rollout was taken from another run, which may still go on: {taken.broken}"
        )


def _new_id(record_dir: str) -> str:
    """Return the present instant as an id that the store does not have yet."""
    taken, at = set(rollouts(record_dir)), times.now()
    while times.to_id(at) in taken:
        at += timedelta(seconds=1)
    return times.to_id(at)


def _of(rollout: str, wanted: Wanted, frozen: Plan | None, planner: Planner) -> Plan:
    by = planner.by or planner.run.who
    if frozen is None:
        if not wanted.hosts:
            raise BadInput(f"rollout {rollout} has no plan yet, and a new one needs hosts")
        waves = plan.DEFAULT_WAVES if wanted.waves is None else wanted.waves
        return plan.make(
            rollout,
            wanted.hosts,
            wanted.canaries or (),
            wanted.baselines or (),
            waves,
            _artifacts(wanted, None),
            wanted.settings or {},
            by,
            wanted.playbook or "",
        )

    def asked(given: Any, kept: Any) -> Any:
        return kept if given is None else given

    parts = ("hosts", "canaries", "baselines", "settings")
    made = plan.make(
        rollout,
        **{name: asked(getattr(wanted, name), getattr(frozen, name)) for name in parts},
        waves=asked(wanted.waves, ["100%"]),
        artifacts=_artifacts(wanted, frozen.artifacts),
        by=by,
    )
    return replace(made, waves=frozen.waves) if wanted.waves is None else made


def _artifacts(wanted: Wanted, frozen: Artifacts | None) -> Artifacts:
    """Return the candidate by its files' digests as they are now."""
    release = wanted.release or (frozen.release_path if frozen else None)
    card = wanted.card or (frozen.card_path if frozen else None)
    release_id = wanted.release_id or (frozen.candidate.release_id if frozen and not wanted.release else None)
    if release is None and release_id is not None:
        raise BadInput("release_id names a release, which needs its archive in release")
    release_path = None if release is None else _file(release, "release")
    if release_path is not None:
        release_id = check_release_id(release_id or _EXTENSION.sub("", release_path.name))
    card_path = None if card is None else _file(card, "card")
    if card_path is not None:
        owner_card.parse(files.read_bounded(card_path, owner_card.MAX_BYTES), card_path)
    candidate = Candidate(
        release_id,
        None if release_path is None else files.sha256_of(release_path),
        None if card_path is None else files.sha256_of(card_path),
    )
    return Artifacts(
        candidate,
        None if release_path is None else os.fspath(release_path),
        None if card_path is None else os.fspath(card_path),
    )


def _file(value: str, what: str) -> Path:
    path = require_absolute(value, what)
    with guarded(f"read the {what}", path):
        if not path.is_file():
            raise BadInput(f"{what} is no file on the controller", path=path, hint="say where it is now")
    return path
