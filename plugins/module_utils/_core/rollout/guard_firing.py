# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guard does when its time has come; apart from :mod:`guard`, since arming needs no rollback."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import datetime

from .. import times
from ..control_api import Api
from ..locks import lent, node_lock
from ..outcome import Outcome
from . import begun, guard_units, record, rollback, states
from .folder import Folder
from .guard import FACT, Guard, tell


def fire(folder: Folder, api: Api, request: rollback.Request, check: bool = False) -> Outcome:
    """Take the node back if the guard is due and was not confirmed; else say why there is nothing to do.

    What was begun by the guard and broke off is finished. Raise what :func:`rollback.roll_back` does.
    """
    begun.require(folder, to_act=True)
    if check:
        return _fire(folder, api, request, True)
    with node_lock(folder.node, f"guard of rollout {folder.rollout}", request.timeout), lent(folder.node):
        return _fire(folder, api, request, False)


def _fire(folder: Folder, api: Api, request: rollback.Request, check: bool) -> Outcome:
    entries, now = record.read(folder.record), times.now()
    guard = Guard.of(entries)
    why = _why_idle(record.last(entries), guard, now)
    if why is None:
        fired = guard if guard.fired_at else replace(guard, fired_at=now)
        at = times.to_text(guard.fires_at or now)
        by = f"guard@{socket.gethostname()}"
        told = {FACT: fired.facts(), "guard": fired.facts()}
        reason = f"the guard fired: nobody confirmed the rollout by {at}"
        return rollback.roll_back(folder, api, replace(request, reason=reason, by=by, told=told), check)
    outcome = Outcome()
    tell(folder, guard, outcome, why)
    if not check and not guard.armed and guard_units.remove(folder.rollout):
        outcome.did("removed the guard's timer")
    return outcome


def _why_idle(state: str | None, guard: Guard, now: datetime) -> str | None:
    """Return why there is nothing to do, ``None`` when the node has to go back."""
    if state in (*states.SETTLED, states.NEEDS_OPERATOR) or state is None:
        return f"the node is {state or 'not in this rollout'}"
    if guard.armed_at is None or guard.fires_at is None:
        return "the guard was never armed"
    if guard.confirmed_at is not None:
        return f"it was confirmed at {times.to_text(guard.confirmed_at)}"
    if guard.disarmed_at is not None:
        return f"it was disarmed at {times.to_text(guard.disarmed_at)}"
    if guard.fired_at is None and now < guard.fires_at:
        return f"it is not due before {times.to_text(guard.fires_at)}"
    return None
