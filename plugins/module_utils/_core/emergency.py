# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Emergency mode, brought about although the station only offers a toggle.

The node's lock keeps our own runs apart. Tools that do not take it, such as the shell runbook's, can toggle
between any two of our calls; so each toggle is followed by reads until two in a row agree, and is repaired.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from .control_api import Api, ApiFault
from .errors import RunbookError
from .locks import node_lock
from .node import Node
from .outcome import Outcome

# Longer than a shell takes from its read to its toggle, so that one of them shows between two reads.
PAUSE_SECONDS = 0.25
MAX_TOGGLES = 3
_MAX_READS = 5
# After these nothing has reached the station; after any other fault a toggle may have been carried out.
_NOT_SENT = ("refused", "unauthorized", "clock_skew")


class Unsettled(RunbookError):
    """Emergency mode was toggled and is not known to be as wanted; ``actions`` say what was done and read."""

    code: ClassVar[str] = "unsettled"

    def __init__(self, msg: str, url: str, actions: list[str]) -> None:
        super().__init__(
            f"{msg} ({'; '.join(actions)})",
            path=url,
            hint="look at /v1/status, find out who else switches it, and run again",
        )
        self.actions = actions

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with ``actions``."""
        return {**super().result(), "actions": self.actions}


def bring_about(node: Node, api: Api, wanted: bool, timeout: float, check: bool = False) -> Outcome:
    """Bring about that emergency mode is on (``wanted``) or off.

    ``timeout`` is in seconds, for the node's lock; ``check`` only reads. Nothing but ``/v1/status`` is asked,
    so that it works while the station's health is bad. Facts: ``emergency`` (afterwards), ``previous``,
    ``toggles`` (how many were sent). Raise :class:`ApiFault` with nothing done and :class:`Unsettled` after
    the first toggle.
    """
    outcome = Outcome()
    if check:
        previous, toggles = api.status().emergency, 0
        if previous != wanted:
            outcome.did(f"toggle emergency mode, which is {_word(previous)}")
    else:
        with node_lock(node, f"emergency mode {_word(wanted)}", timeout):
            previous = api.status().emergency
            toggles = 0 if previous == wanted else _switch(api, wanted, outcome)
    outcome.facts.update(emergency=wanted, previous=previous, toggles=toggles)
    if outcome.changed:
        outcome.diff.append(
            {
                "before_header": f"emergency mode at {api.url}",
                "after_header": f"emergency mode at {api.url}",
                "before": f"{_word(previous)}\n",
                "after": f"{_word(wanted)}\n",
            }
        )
    return outcome


def _switch(api: Api, wanted: bool, outcome: Outcome) -> int:
    """Toggle until the state that was read is steady and as wanted; return how many toggles that took.

    A toggle whose answer was lost is not repeated: it may still be carried out, and then two of them would.
    """
    state = not wanted
    for toggle in range(1, MAX_TOGGLES + 1):
        answered, lost = _toggle(api, outcome)
        done = f"toggled emergency mode: it was {_word(state)}, {_said(answered)}"
        try:
            steady, state = _steady(api)
        except RunbookError as exc:
            outcome.did(done)
            raise _unsettled(f"cannot be read: {exc.msg}", api, outcome) from exc
        outcome.did(f"{done}, and it was read as {_word(state)}")
        if steady and state == wanted:
            _warn(answered, wanted, toggle, outcome)
            return toggle
        if lost is not None:
            raise _unsettled(f"is {_word(state)}: {lost.msg}", api, outcome) from lost
        if not steady:
            break
    raise _unsettled(f"does not stay {_word(wanted)}: somebody else toggles it", api, outcome)


def _toggle(api: Api, outcome: Outcome) -> tuple[bool | None, ApiFault | None]:
    """Toggle once; return what the station said, or by which fault its answer was lost."""
    try:
        return api.toggle_emergency(), None
    except ApiFault as exc:
        if exc.reason not in _NOT_SENT:
            return None, exc
        if outcome.actions:
            raise _unsettled(f"is not as wanted: {exc.msg}", api, outcome) from exc
        raise


def _steady(api: Api) -> tuple[bool, bool]:
    """Read until two reads in a row agree; return whether they did, and the state."""
    state = api.status().emergency
    for _read in range(_MAX_READS):
        time.sleep(PAUSE_SECONDS)
        seen, state = state, api.status().emergency
        if seen == state:
            return True, state
    return False, state


def _unsettled(msg: str, api: Api, outcome: Outcome) -> Unsettled:
    return Unsettled(f"emergency mode {msg}", api.url, outcome.actions)


def _said(answered: bool | None) -> str:
    return "its answer was lost" if answered is None else f"the station answered {_word(answered)}"


def _warn(answered: bool | None, wanted: bool, toggles: int, outcome: Outcome) -> None:
    if answered is None:
        outcome.warnings.append(
            "the answer to a toggle of emergency mode was lost; should the station still carry it out, "
            f"emergency mode will not stay {_word(wanted)}"
        )
    elif toggles > 1 or answered != wanted:
        outcome.warnings.append("somebody else toggled emergency mode meanwhile, without the node's lock")


def _word(on: bool) -> str:
    return "on" if on else "off"
