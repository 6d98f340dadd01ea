# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the command ends: the one place that says which exit code means what."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import ClassVar

from ..errors import BadInput, Busy, RunbookError
from ..health_check import Unhealthy
from ..slo import BelowTarget
from ..soak.control import NotPassed

DONE = 0
FAILED = 1
BAD_INPUT = 2
UNCONFIRMED = 3
SICK = 4
BUSY = 5
HANGUP = 128 + signal.SIGHUP
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

MEANINGS: dict[int, str] = {
    DONE: "done, or there was nothing to do; the node is healthy, the target is met",
    FAILED: "failed; the message says what, where and what to do next",
    BAD_INPUT: "what was given cannot be used: an option, a variable, the configuration, a file named in it "
    "or on the command line; nothing was done",
    UNCONFIRMED: "nothing was done: it needs --yes",
    SICK: "the node is not healthy, its availability misses the target or is unknown, or its soak did not "
    "pass",
    BUSY: "somebody else held the node or its database until --lock-timeout was over",
    HANGUP: "ended by SIGHUP; the node is in its old state or the new one, run it again",
    INTERRUPTED: "the same by SIGINT (Ctrl-C)",
    TERMINATED: "the same by SIGTERM",
}
# Every verb may end with these.
COMMON = (DONE, FAILED, BAD_INPUT, HANGUP, INTERRUPTED, TERMINATED)


class BadUsage(BadInput):
    """The command line, a variable or the configuration makes no sense."""

    code: ClassVar[str] = "usage"


class Unconfirmed(RunbookError):
    """Something that replaces data was asked for without being confirmed."""

    code: ClassVar[str] = "unconfirmed"


def code_of(error: RunbookError, given: Collection[str]) -> int:
    """Return the exit code for an error; ``given`` are the paths of files that the operator named."""
    if isinstance(error, Unconfirmed):
        return UNCONFIRMED
    if isinstance(error, Busy):
        return BUSY
    if isinstance(error, (Unhealthy, BelowTarget, NotPassed)):
        return SICK
    if isinstance(error, BadInput) or error.path in given:
        return BAD_INPUT
    return FAILED
