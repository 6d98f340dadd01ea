# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking a node back to what it was before a rollout began, from what lies on the node alone.

Each step looks at what is there, or notes in the record that it is done, so that a run that is killed
anywhere is finished by the next one. What is to be undone is noted before the first change: later on it could
not be seen any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import card_change, emergency, files, releases, station, times
from ..control_api import Api
from ..control_http import ApiFault
from ..errors import AnyPath, BadInput, Busy, NotFound, RunbookError
from ..findings import Thresholds
from ..health import Health, summary
from ..locks import lent, node_lock
from ..outcome import Outcome
from ..probes import one_line
from ..sample import Scope
from ..soak import control as soak
from . import begun as beginnings
from . import guard_units, lease, record, recovered, results, states, undo
from .begun import Begun
from .folder import Folder
from .record import Entry

REASON = "asked for by an operator"
_LOOK_EVERY = 1.0
# Facts of the record by which a run goes on where another one was killed.
_PLAN = "rollback_plan"
_STATE = "rollback_state"
_EMERGENCY = "rollback_emergency"
_APPLIED = "rollback_applied"


class NeedsOperator(RunbookError):
    """The node was not brought back whole, or is not healthy after it; ``facts`` say what was done."""

    code: ClassVar[str] = "needs_operator"


@dataclass(frozen=True)
class Request:
    """``reason`` and ``by`` go into the record. ``timeout`` is for the node's lock, ``wait_timeout`` for the
    node to be healthy afterwards, both in seconds. ``told`` are further facts for the record."""

    reason: str
    by: str | None = None
    timeout: float = 30.0
    wait_timeout: float = beginnings.WAIT_SECONDS
    thresholds: Thresholds = field(default_factory=Thresholds)
    scope: Scope = field(default_factory=Scope)
    recovery: tuple[str, ...] = ()
    release_dir: AnyPath | None = None
    current: AnyPath | None = None
    restart_seconds: float = station.SECONDS
    told: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        if not self.reason.strip():
            raise BadInput("a rollback needs a reason")
        for name, least in (("wait_timeout", 0.0), ("restart_seconds", 1.0)):
            if not least <= getattr(self, name) <= 86_400:
                raise BadInput(f"{name} must be from {least:g} to 86400 seconds")


@dataclass(frozen=True)
class Plan:
    """What is to be undone: ``release`` and ``card`` were changed, ``state`` has to follow them."""

    release: bool
    card: bool
    state: bool

    @property
    def changes(self) -> bool:
        """Whether there is anything to undo."""
        return self.release or self.card or self.state


def roll_back(folder: Folder, api: Api, request: Request, check: bool = False) -> Outcome:
    """Bring about that the node is what it was before the rollout began, and healthy.

    ``check`` proves that it can be done, tells the plan and does nothing. Facts: ``rollback`` and ``record``.
    Raise :class:`NotFound` when the rollout never began here, :class:`Busy` with nothing done, and
    :class:`NeedsOperator`, which the record then says as well.
    """
    outcome = Outcome()
    if check:
        _Run(folder, api, request, outcome).foretell()
        return outcome
    with node_lock(folder.node, f"roll back {folder.rollout}", request.timeout), lent(folder.node):
        _Run(folder, api, request, outcome).carry_out()
    return outcome


class _Run:
    """One attempt; the caller holds the node's lock."""

    def __init__(self, folder: Folder, api: Api, request: Request, outcome: Outcome) -> None:
        self.folder, self.api, self.request, self.outcome = folder, api, request, outcome
        self.node = folder.node
        self.begun: Begun = beginnings.require(folder, to_act=True)
        self.shelf = releases.Shelf.of(
            self.node,
            request.release_dir or self._began("release_dir"),
            request.current or self._began("current"),
        )
        self.problems: list[str] = []

    # --- what the node says ---

    def _began(self, name: str) -> str | None:
        """Where the rollout said that something is when it began."""
        value = self.begun.extra.get(name)
        return value if isinstance(value, str) else None

    def entries(self) -> tuple[Entry, ...]:
        return record.read(self.folder.record)

    def note(self, **facts: Any) -> None:
        record.append(self.folder.record, states.FAILED, facts, self.request.by, self.node.owner())

    def fact(self, name: str) -> Any:
        return record.fact(self.entries(), name)

    def of_this_attempt(self, name: str) -> Any:
        """The newest fact of that name since an operator was last asked for, if ever."""
        entries = self.entries()
        ends = [entry.number for entry in entries if entry.state == states.NEEDS_OPERATOR]
        return record.fact(entries[max(ends, default=0) :], name)

    # --- the whole ---

    def foretell(self) -> None:
        entries = self.entries()
        if record.last(entries) == states.ROLLED_BACK:
            self._tell(record.fact(entries, "rollback"))
            return
        plan, before = self._plan(), self.begun.before_release
        if plan.release:
            if before is not None and not self.shelf.tree(before).is_dir():
                raise NotFound("the former release is not there any more", path=self.shelf.tree(before))
            self.outcome.did(
                f"let {self.shelf.link} lead to {before}" if before else f"remove {self.shelf.link}"
            )
        if plan.card:
            self.outcome.did(f"put back the OwnerCard at {self.node.owner_card}")
        if plan.state and self.fact(_STATE) is None:
            undo.foretell_state(self.folder, self.request.timeout, self.outcome)
        if plan.changes:
            how = " ".join(self.begun.restart.argv)
            self.outcome.did(
                f"restart the station ({how})" if plan.release else "let the station read its card"
            )
        self.outcome.did(f"record {states.ROLLED_BACK}")
        self._tell(None)

    def carry_out(self) -> None:
        entries = self.entries()
        if record.last(entries) == states.ROLLED_BACK:
            self._close()
            self._tell(record.fact(entries, "rollback"))
            return
        self._record_failed(record.last(entries))
        self._end_soak()
        plan = self._decide()
        if plan.changes:
            self._undo(plan)
        applied = self.of_this_attempt(_APPLIED)
        changed_at = times.parse(applied) if isinstance(applied, str) else times.now()
        wanted = self.request
        health = recovered.wait(
            self.node,
            self.api,
            wanted.thresholds,
            wanted.scope,
            wanted.timeout,
            wanted.wait_timeout,
            changed_at if plan.changes else None,
            self.outcome,
        )
        self._finish(plan, health)

    def _undo(self, plan: Plan) -> None:
        if plan.card:
            self._step(
                "put the former OwnerCard back", lambda: undo.card(self.folder, self.begun, self.outcome)
            )
        if plan.release:
            self._step(
                "put the former release back",
                lambda: undo.release(self.folder, self.begun, self.shelf, self.outcome),
            )
        waits = plan.state and not self._step("restore the former state", self._state_back, may_wait=True)
        self._step("let the station run what is in place", lambda: self._apply(plan))
        if waits:  # a station that held its database too long was restarted meanwhile
            self._step("restore the former state", self._state_back)
        self._step("put emergency mode on again", self._emergency_back)

    def _step(self, what: str, do: Callable[[], None], may_wait: bool = False) -> bool:
        """Do one step; what cannot be done is told at the end, since the next one may still help the node."""
        try:
            do()
        except Busy as exc:
            if may_wait:
                return False
            self.problems.append(f"cannot {what}: {exc}")
        except RunbookError as exc:
            self.problems.append(f"cannot {what}: {exc}")
        return True

    # --- deciding ---

    def _record_failed(self, state: str | None) -> None:
        facts = {"reason": one_line(self.request.reason), **self.request.told}
        owner, by = self.node.owner(), self.request.by
        if state == states.FAILED:
            if self.request.told:
                self.note(**self.request.told)
            return
        if state is None:  # killed as it began
            record.append(self.folder.record, states.IN_PROGRESS, {}, by, owner)
        record.append(self.folder.record, states.FAILED, facts, by, owner)
        results.write_result(self.folder)
        self.outcome.did(f"recorded {states.FAILED}: {self.request.reason}")

    def _plan(self) -> Plan:
        """What differs from before, together with what an attempt before this one found."""
        said = self.fact(_PLAN)
        known = said if isinstance(said, Mapping) else {}
        candidate, before = self.begun.candidate, self.begun.before_release
        release = candidate.release_id is not None and (
            releases.in_force(self.shelf) != before or station.owes(self.node)
        )
        card = undo.card_in_place(self.node) != self.begun.before_card_sha256
        release, card = release or known.get("release") is True, card or known.get("card") is True
        restores = self.begun.state_policy == beginnings.STATE_POLICIES[0]
        return Plan(release, card, restores and (release or card))

    def _decide(self) -> Plan:
        plan = self._plan()
        if plan.changes:
            self.note(**{_PLAN: {"release": plan.release, "card": plan.card, "state": plan.state}})
            if self.of_this_attempt(_EMERGENCY) is None:
                self.note(**{_EMERGENCY: self._in_emergency()})
        return plan

    def _in_emergency(self) -> bool:
        try:
            return self.api.status().emergency
        except ApiFault as exc:
            self.outcome.warnings.append(f"whether emergency mode was on before cannot be told: {exc}")
            return False

    # --- doing ---

    def _end_soak(self) -> None:
        try:
            if soak.stop(self.folder, self.request.reason):
                self.outcome.did("ended the soak")
        except RunbookError as exc:  # evidence, and not what the node needs now
            self.outcome.warnings.append(f"the soak could not be ended: {exc}")

    def _state_back(self) -> None:
        if self.fact(_STATE) is None:
            since = next(entry.at for entry in self.entries() if _PLAN in entry.facts)
            done = undo.state(
                self.folder,
                self.request.timeout,
                self.request.recovery,
                times.to_text(since),
                self.outcome,
            )
            self.note(**{_STATE: done})

    def _apply(self, plan: Plan) -> None:
        """Let the station run, and read, what is in place now."""
        if self.of_this_attempt(_APPLIED) is not None:
            return
        how = self.begun.restart
        if plan.release or not self._reloaded(or_else=bool(how.argv)):
            if not station.restart(self.node, how, self.request.restart_seconds):
                raise station.NotRestarted("nothing is said to restart the station, which runs what it ran")
            self.outcome.did(f"restarted the station ({' '.join(how.argv)})")
        self.note(**{_APPLIED: times.to_text(times.now())})

    def _reloaded(self, or_else: bool) -> bool:
        """Let the station read its card; ``False`` when it did not and there is another way (``or_else``)."""
        try:
            self.api.reload_owner_card()
        except RunbookError:
            if or_else:
                return False
            raise
        files.remove(card_change.owed_marker(self.node))
        self.outcome.did("let the station read its card")
        return True

    def _emergency_back(self) -> None:
        if self.of_this_attempt(_EMERGENCY) is not True:
            return
        deadline = time.monotonic() + self.request.wait_timeout
        while True:
            try:
                self.api.status()
                break
            except ApiFault:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_EVERY)
        done = emergency.bring_about(self.node, self.api, True, self.request.timeout)
        self.outcome.actions += done.actions
        self.outcome.warnings += done.warnings

    # --- the end ---

    def _finish(self, plan: Plan, health: Health) -> None:
        if not health.healthy:
            least = self.request.thresholds.unhealthy_from
            self.problems.append(f"the node is not healthy: {summary(health.findings, least)}")
        said = self.fact(_STATE) if plan.state else None
        state = said if isinstance(said, Mapping) else {}
        told = {
            "release": releases.in_force(self.shelf),
            "card_sha256": undo.card_in_place(self.node),
            "backup": state.get("backup"),
            "discarded": state.get("discarded"),
            "healthy": health.healthy,
            "emergency": health.state == "EMERGENCY",
            "reason": self.fact("reason"),
        }
        self._require_before(plan, told)
        if self.problems:
            why = "; ".join(self.problems)[:4000]
            told["problems"] = self.problems
            owner = self.node.owner()
            facts = {"reason": why, "rollback": told}
            record.append(self.folder.record, states.NEEDS_OPERATOR, facts, self.request.by, owner)
            results.write_result(self.folder)
            self.outcome.did(f"recorded {states.NEEDS_OPERATOR}")
            self._tell(told)
            raise self._needs_operator(why)
        record.append(
            self.folder.record, states.ROLLED_BACK, {"rollback": told}, self.request.by, self.node.owner()
        )
        self.outcome.did(f"recorded {states.ROLLED_BACK}")
        self._close()
        self._tell(told)

    def _require_before(self, plan: Plan, told: Mapping[str, Any]) -> None:
        """Whatever the steps said: the node must be what it was."""
        if plan.release and told["release"] != self.begun.before_release:
            self.problems.append(
                f"the release in force is {told['release']}, not {self.begun.before_release}"
            )
        if told["card_sha256"] != self.begun.before_card_sha256:
            self.problems.append("the OwnerCard in place is not the former one")

    def _needs_operator(self, why: str) -> NeedsOperator:
        exc = NeedsOperator(
            f"rollout {self.folder.rollout} was not rolled back whole: {why}",
            path=self.folder.path,
            hint="mend what it says and roll back again",
        )
        exc.facts = {"actions": self.outcome.actions, "warnings": self.outcome.warnings, **self.outcome.facts}
        return exc

    def _close(self) -> None:
        """What follows from ROLLED_BACK; a run that was killed before it leaves it to the next."""
        results.write_result(self.folder)
        closing: dict[str, Callable[[], bool]] = {
            "the lease of the node": lambda: lease.give_back(self.folder.lease, self.folder.rollout),
            "the guard's timer": lambda: guard_units.remove(self.folder.rollout),
        }
        for what, close in closing.items():
            try:
                if close():
                    self.outcome.did(f"removed {what}")
            except RunbookError as exc:
                self.outcome.warnings.append(f"{what}, which has no use any more, stays: {exc}")

    def _tell(self, rollback: Mapping[str, Any] | None) -> None:
        self.outcome.facts["rollback"] = rollback
        self.outcome.facts["record"] = {"state": record.last(self.entries())}
