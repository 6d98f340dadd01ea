# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a program of the system, or the operator's, to its end; what it said is kept for the message."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import RunbookError, guarded
from .probes import one_line

_MAX_SAID = 2000


class ProgramFailed(RunbookError):
    """A program ended with another code than 0, or was not over in time."""

    code = "program_failed"


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and the end of what it said, on one line."""

    code: int
    said: str


def run(argv: Sequence[str], seconds: float) -> Ended:
    """Run a program, without a shell, in a session of its own; return how it ended.

    What it starts may go on after it. Raise :class:`ProgramFailed` when it is not over after ``seconds``; it
    and what it started in its session is then ended.
    """
    told = one_line(" ".join(argv), 200)
    with guarded(f"run {told}"), tempfile.TemporaryFile() as out:
        # A pipe would be held open by a station that the program starts; run_command has nothing else.
        # pylint: disable-next=ansible-bad-function
        child = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise ProgramFailed(f"{told} was not over after {seconds:g} s") from None
        size = out.seek(0, os.SEEK_END)
        out.seek(max(0, size - _MAX_SAID))
        return Ended(code, one_line(out.read().decode(errors="replace"), _MAX_SAID))


def require(argv: Sequence[str], seconds: float) -> str:
    """Run a program and return what it said; raise :class:`ProgramFailed` for an exit code but 0."""
    ended = run(argv, seconds)
    if ended.code:
        told = one_line(" ".join(argv), 200)
        raise ProgramFailed(f"{told} ended with {ended.code}", hint=f"it said: {ended.said or 'nothing'}")
    return ended.said
