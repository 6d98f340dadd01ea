# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which state may follow which: from everywhere there is a way to an end, and the ends are ends."""

from __future__ import annotations

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import states


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "PLANNED IN_PROGRESS UNKNOWN"),
        ("PLANNED", "IN_PROGRESS FAILED UNKNOWN"),
        ("IN_PROGRESS", "SOAKING FAILED UNKNOWN"),
        ("SOAKING", "PASSED FAILED HELD UNKNOWN"),
        ("HELD", "SOAKING PASSED FAILED UNKNOWN"),
        ("PASSED", "PROMOTED FAILED UNKNOWN"),
        ("PROMOTED", "FAILED"),
        ("FAILED", "ROLLED_BACK NEEDS_OPERATOR UNKNOWN"),
        ("ROLLED_BACK", ""),
        ("NEEDS_OPERATOR", "ROLLED_BACK FAILED UNKNOWN"),
        ("UNKNOWN", "PLANNED IN_PROGRESS SOAKING HELD PASSED FAILED ROLLED_BACK NEEDS_OPERATOR"),
    ],
)
def test_what_may_follow(before: str | None, after: str) -> None:
    allowed = {state for state in states.STATES if states.may_follow(state, before)}
    assert allowed == set(after.split()) | ({before} if before else set())


def test_every_state_can_be_reached_and_can_end() -> None:
    reached = {None}
    while True:
        more = {state for state in states.STATES if any(states.may_follow(state, at) for at in reached)}
        if more <= reached:
            break
        reached |= more
    assert reached == {None, *states.STATES}
    ends = set(states.SETTLED)
    while True:
        more = {at for at in states.STATES if any(states.may_follow(end, at) for end in ends)}
        if more <= ends:
            break
        ends |= more
    assert ends == set(states.STATES)


def test_nothing_bad_is_good_or_unfinished() -> None:
    assert not set(states.BAD) & {states.PASSED, states.PROMOTED, states.PLANNED, states.SOAKING}


def test_another_word_is_no_state() -> None:
    with pytest.raises(BadInput, match="state must be one of PLANNED, .*, not 'DONE'"):
        states.require_state("DONE")
