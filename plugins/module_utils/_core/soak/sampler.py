# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sampler: looks at the node at each tick until the soak is over. It runs detached, with one argument.

It can be killed at any instruction and started again: all it needs is in the soak's folder, and what it did
is there as well. The wall clock counts once, when it starts; from then on a clock that nobody sets does.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path

from .. import files, times
from ..errors import RunbookError
from ..sample import Questions, take_sample
from . import judge, observe, progress, request, store, summary

_LOOK_SECONDS = 0.5
_MAX_COMPLAINTS = 200
_EARLY = 0.02


def clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Sampler:
    """One attempt of a soak, from where an earlier process left it."""

    def __init__(self, soak: Path, asked: request.Request, api: Questions | None = None) -> None:
        self._soak = soak
        self._asked = asked
        self._plan = asked.plan
        self._api = api or asked.plan.api()
        self._owner = files.Owner.of(soak)
        self._seen = observe.read(soak, self._plan.thresholds)
        behind = (times.now() - asked.started_at).total_seconds()
        # A clock that was set back must not make it wait for ticks that are over.
        self._zero = clock() - max(behind, self._seen.last_tick * self._plan.interval, 0.0)
        self._complaints = 0

    def run(self) -> None:
        """Sample until the soak is over, by time, by a certain verdict, or by somebody else's word."""
        tick = self._next()
        while tick <= self._plan.last_tick:
            if not self._wait(tick * self._plan.interval):
                return
            verdict = self._step(tick)
            if verdict is not None and verdict.certain and self._plan.early_stop:
                codes = ", ".join(one.code for one in verdict.reasons if one.certain)
                self._end(store.EARLY_STOP, f"it could only fail any more: {codes}")
                return
            tick = max(tick + 1, self._next())
        self._end(store.TIME_OVER, "its time was over")

    def _elapsed(self) -> float:
        return clock() - self._zero

    def _next(self) -> int:
        """Return the tick whose turn it is: those that were missed stay missing."""
        return max(self._seen.last_tick + 1, int((self._elapsed() + _EARLY) / self._plan.interval))

    def _wait(self, due: float) -> bool:
        """Wait for an instant; return whether the soak is still on."""
        while True:
            if (self._soak / store.ENDED).exists():
                return False
            left = due - self._elapsed()
            if left <= 0:
                return True
            time.sleep(min(left, _LOOK_SECONDS))

    def _step(self, tick: int) -> judge.Verdict | None:
        timeout = min(self._plan.timeout, max(0.5, self._plan.interval / 2))
        sample = take_sample(self._asked.node, self._api, timeout, "light", self._asked.scope)
        try:
            if not store.append(self._soak, tick, sample, self._owner):
                return None
            self._seen.take(tick, sample)
            store.log(self._soak, sample, self._owner)
            case = self._case(times.now())
            verdict = judge.judge(case)
            progress.write(self._soak, case, verdict, self._owner)
        except RunbookError as exc:
            self._complain(exc)
            return None
        return verdict

    def _case(self, now: datetime, over: store.Ended | None = None) -> judge.Case:
        return judge.Case(self._asked, self._seen, now, alive=True, over=over)

    def _end(self, code: str, detail: str) -> None:
        """Write the summary, then that it is over: whoever is killed in between does both again."""
        how = store.Ended(times.now(), code, detail, f"sampler {os.getpid()}")
        case = self._case(how.at, how)
        verdict = judge.judge(case)
        summary.write(self._soak, case, verdict, self._owner)
        progress.write(self._soak, case, verdict, self._owner)
        store.end(self._soak, how, self._owner)

    def _complain(self, exc: RunbookError) -> None:
        """Say on standard error, which is a file, why a sample is missing; the soak goes on."""
        self._complaints += 1
        if self._complaints <= _MAX_COMPLAINTS:
            sys.stderr.write(f"{times.to_text(times.now())} {exc}\n")
            sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run the sampler of the soak in the folder that is the argument; 0 also when there is nothing to do.

    With ``--detach`` it goes on in a session of its own. It opens its log itself, since whoever starts it may
    be root, and the folder somebody else's.
    """
    soak = Path(arguments[0])
    asked = request.find(soak)
    if asked is None:
        sys.stderr.write(f"{soak}: there is no soak to run\n")
        return 1
    owner = files.Owner.of(soak)
    log = store.open_log(soak, owner)
    if "--detach" in arguments[1:]:
        if os.fork():
            os._exit(0)
        os.setsid()
    for stream in (1, 2):
        os.dup2(log, stream)
    held = store.hold(soak, owner)
    if held is None or store.ended(soak) is not None:
        return 0
    try:
        Sampler(soak, asked).run()
    finally:
        os.close(held)
    return 0
