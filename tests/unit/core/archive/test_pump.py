# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pipeline's threads end, whatever raises and whenever: also an exception out of a signal's handler."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.pump import Aside, Bounded, Pump

# A signal raises at random in a pipeline that goes as fast as it can; a hang ends it with its stacks.
_INTERRUPTED = """
import faulthandler, random, signal
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import pump

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

class Nowhere:
    def write(self, data):
        pass
    def finish(self):
        pass

faulthandler.dump_traceback_later(30, exit=True)
signal.signal(signal.SIGALRM, stop)
stopped = 0
for _ in range(1500):
    try:
        chunks = iter([b"x"] * 1_000_000)
        with pump.Pump(Nowhere()) as out, pump.ahead(chunks) as taken:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.003))
            for chunk in taken:
                out.write(chunk)
    except Stop:
        stopped += 1
print(stopped)
"""


class Failing:
    def write(self, _data: bytes) -> None:
        raise OSError("no room")

    def finish(self) -> None:
        raise AssertionError("a failed stage is not finished")


def test_a_signal_that_raises_anywhere_leaves_no_thread_waiting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 1500


def test_a_stage_that_fails_stops_its_writer_and_never_lets_it_wait() -> None:
    with pytest.raises(OSError, match="no room"), Pump(Failing()) as out:
        for _unused in range(1000):
            out.write(b"x")
        out.finish()


def test_the_end_needs_no_place() -> None:
    queue: Bounded[int] = Bounded(2)
    for number in (1, 2):
        queue.put(number)
    queue.put_last(3)
    assert [queue.get() for _unused in range(3)] == [1, 2, 3]


def test_what_a_call_aside_raises_is_raised_by_its_result() -> None:
    def fail() -> None:
        raise ValueError("aside")

    Aside(lambda: None).result()
    aside = Aside(fail)
    with pytest.raises(ValueError, match="aside"):
        aside.result()
    assert aside.over
