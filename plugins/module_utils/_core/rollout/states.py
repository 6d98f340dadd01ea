# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of a node in a rollout, and which may follow which.

``PLANNED → IN_PROGRESS → SOAKING → PASSED → PROMOTED``, or ``FAILED → ROLLED_BACK``. ``HELD`` is a soak whose
verdict was INCONCLUSIVE, ``UNKNOWN`` a node that could not be reached: both count as failures until they are
settled. ``NEEDS_OPERATOR`` is a rollback that failed; it freezes the rollout.
"""

from __future__ import annotations

from ..errors import BadInput

PLANNED = "PLANNED"
IN_PROGRESS = "IN_PROGRESS"
SOAKING = "SOAKING"
PASSED = "PASSED"
PROMOTED = "PROMOTED"
FAILED = "FAILED"
ROLLED_BACK = "ROLLED_BACK"
NEEDS_OPERATOR = "NEEDS_OPERATOR"
HELD = "HELD"
UNKNOWN = "UNKNOWN"

_AFTER: dict[str | None, tuple[str, ...]] = {
    None: (PLANNED, IN_PROGRESS, UNKNOWN),
    PLANNED: (IN_PROGRESS, FAILED, UNKNOWN),
    IN_PROGRESS: (SOAKING, FAILED, UNKNOWN),
    SOAKING: (PASSED, FAILED, HELD, UNKNOWN),
    HELD: (SOAKING, PASSED, FAILED, UNKNOWN),
    PASSED: (PROMOTED, FAILED, UNKNOWN),
    PROMOTED: (FAILED,),
    FAILED: (ROLLED_BACK, NEEDS_OPERATOR, UNKNOWN),
    ROLLED_BACK: (),
    NEEDS_OPERATOR: (ROLLED_BACK, FAILED, UNKNOWN),
    UNKNOWN: (PLANNED, IN_PROGRESS, SOAKING, HELD, PASSED, FAILED, ROLLED_BACK, NEEDS_OPERATOR),
}
STATES = tuple(state for state in _AFTER if state is not None)
# Nothing more will happen to the node in this rollout unless somebody asks for it.
SETTLED = (PROMOTED, ROLLED_BACK)
# What counts against the budget of the whole fleet.
BAD = (FAILED, ROLLED_BACK, NEEDS_OPERATOR, HELD, UNKNOWN)


def require_state(state: str) -> None:
    """Raise :class:`BadInput` for a word that is no state."""
    if state not in STATES:
        raise BadInput(f"state must be one of {', '.join(STATES)}, not {state[:40]!r}")


def may_follow(state: str, before: str | None) -> bool:
    """Whether ``state`` may come next, or again, after ``before`` (``None``: there is no state yet)."""
    return state == before or state in _AFTER[before]
