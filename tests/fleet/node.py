# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node with all that can be done to it. Every fault has its undoing, and undoing twice is no error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Callable

from . import clock, disk, network, station
from .machine import DISK, Machine


class Node(Machine):
    """A node of a fleet."""

    @property
    def python39(self) -> str | None:
        """An interpreter of Python 3.9 for ``ansible_python_interpreter``; None where the node has none."""
        return self.facts.python39

    # Network

    def cut(self) -> None:
        """Packets vanish in both directions."""
        network.cut(self)

    def refuse(self) -> None:
        """Calls of sshd are refused, open connections are reset."""
        network.refuse(self)

    def slow(self, rate: str) -> None:
        """At most ``rate``, like ``256kbit``, in each direction."""
        network.slow(self, rate)

    def mend(self) -> None:
        """Undo :meth:`cut`, :meth:`refuse` and :meth:`slow`."""
        network.mend(self)

    # Disk and clock

    def fill(self, path: str = DISK, free: int = 0) -> None:
        """Leave ``free`` bytes on the file system of ``path``; see :func:`disk.fill`."""
        disk.fill(self, path, free)

    def unfill(self) -> None:
        disk.unfill(self)

    def skew(self, seconds: int, units: Sequence[str] = ()) -> None:
        """Put the clock wrong for these units, or for the whole node and its station; see :mod:`clock`."""
        clock.skew(self, seconds, units, self._station_units())

    def unskew(self) -> None:
        clock.unskew(self, self._station_units())

    # Station

    def station_start(self) -> None:
        station.start(self)

    def station_stop(self) -> None:
        station.stop(self)

    def station_fault(self, *pairs: str) -> None:
        """Set exactly these faults of the simulator, like ``buffer=5``; none makes the station healthy."""
        station.fault(self, *pairs)

    def _station_units(self) -> Sequence[str]:
        return () if self.facts.virgin else (station.UNIT,)

    # All of them

    def faults(self) -> list[str]:
        """What is wrong with the node now, in words; an empty list where nothing is."""
        state = self.state
        if state != "running":
            return [state]
        inside = self.sh(disk.STATUS + clock.STATUS, check=False)
        return [*network.faults(self), *inside.splitlines()]

    def heal(self) -> None:
        """Undo every fault, whatever it is."""
        state = self.state
        if state == "paused":
            self.unpause()
        elif state != "running":
            self.start()
        found = self.faults()
        undo = {
            "cut": self.mend,
            "refuses": self.mend,
            "slow": self.mend,
            "full": self.unfill,
            "clock": self.unskew,
        }
        for act in dict.fromkeys(undo[fault.split()[0]] for fault in found):
            act()

    @contextlib.contextmanager
    def broken(self, fault: Callable[..., None], *args: object, **options: object) -> Iterator[None]:
        """Break it for the length of a block: ``with node.broken(node.cut): ...``"""
        fault(*args, **options)
        try:
            yield
        finally:
            self.heal()
