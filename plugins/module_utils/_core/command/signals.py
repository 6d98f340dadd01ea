# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ending cleanly when asked to: what is half made is removed, the lock goes, the exit code says why."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_WATCHED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked this process to end; no ``except Exception`` may stop it."""


@dataclass
class Watch:
    """The first signal that came, or ``None``."""

    number: int | None = None
    taken: tuple[signal.Signals, ...] = ()

    @property
    def name(self) -> str:
        """What the signal is called."""
        return "" if self.number is None else signal.Signals(self.number).name

    def over(self) -> None:
        """From now on a signal ends the process at once: there is nothing left to clean up."""
        for one in self.taken:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def watched() -> Iterator[Watch]:
    """Raise :class:`Interrupted` in the body at the first signal; a second one ends the process at once.

    Signals that the caller ignores, as ``nohup`` does, stay ignored.
    """
    watch = Watch(
        taken=tuple(number for number in _WATCHED if signal.getsignal(number) is not signal.SIG_IGN)
    )

    def stop(number: int, frame: FrameType | None) -> None:
        watch.number = number
        watch.over()
        raise Interrupted

    former = {number: signal.signal(number, stop) for number in watch.taken}
    try:
        yield watch
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
