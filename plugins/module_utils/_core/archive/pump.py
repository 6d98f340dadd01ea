# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One stage of a pipeline in a thread of its own: compression, encryption and disk work at the same time.

The libraries underneath let go of the interpreter's lock while they work, so the stages really overlap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Callable, Generic, Protocol, TypeVar

_DEPTH = 4
_AHEAD = 16

Item = TypeVar("Item")


class Stage(Protocol):
    """Something that takes a stream: any number of ``write``, then one ``finish``."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""

    def finish(self) -> None:
        """Take the end of the stream."""


class Bounded(Generic[Item]):
    """A queue that holds ``depth`` items at most.

    A signal that raises in the midst of ``queue.Queue`` can leave its lock taken for ever (bpo-29988), and
    whoever cleans up afterwards waits for it. ``queue.SimpleQueue`` is one step to a signal, but has no
    bound: so a second one holds the free places.
    """

    def __init__(self, depth: int) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _place in range(depth):
            self._places.put(None)

    def put(self, item: Item) -> None:
        """Put an item in, waiting for a place."""
        self._places.get()
        self._items.put(item)

    def put_last(self, item: Item) -> None:
        """Put in what ends the queue; this never waits."""
        self._items.put(item)

    def make_room(self) -> None:
        """Let whoever waits for a place go on, though nothing was taken out."""
        self._places.put(None)

    def get(self) -> Item:
        """Take an item out, waiting for one."""
        item = self._items.get()
        self._places.put(None)
        return item


class Pump:
    """Hands what is written to it to ``stage`` in another thread; a few chunks wait at most.

    As a context manager it ends its thread on every path; the stage is finished by :meth:`finish` only.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._waiting: Bounded[bytes | None] = Bounded(_DEPTH)
        self._failure: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> Pump:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._abandoned = True
            self._waiting.put_last(None)
            self._thread.join()

    def write(self, data: bytes) -> None:
        """Hand over the next bytes; raise what the stage raised for earlier ones."""
        if self._failure is not None:
            raise self._failure
        self._waiting.put(data)

    def finish(self) -> None:
        """Finish the stage and wait for it; raise what it raised."""
        self._waiting.put_last(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        """Work off the queue; after a failure go on emptying it, so that no writer waits for ever."""
        while (data := self._waiting.get()) is not None:
            if self._failure is None:
                self._attempt(data)
        if self._failure is None and not self._abandoned:
            self._attempt(None)

    def _attempt(self, data: bytes | None) -> None:
        try:
            if data is None:
                self._stage.finish()
            else:
                self._stage.write(data)
        except BaseException as exc:  # noqa: BLE001 - raised again in the thread that writes
            self._failure = exc


@contextmanager
def ahead(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Take ``chunks`` in another thread, a few in advance; what they raise is raised where they are used."""
    waiting: Bounded[bytes | BaseException | None] = Bounded(_AHEAD)
    stopped = False

    def take() -> None:
        try:
            for chunk in chunks:
                if stopped:
                    return
                waiting.put(chunk)
            waiting.put_last(None)
        except BaseException as exc:  # noqa: BLE001 - raised again in the thread that reads
            waiting.put_last(exc)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield _given(waiting)
    finally:
        stopped = True
        waiting.make_room()
        thread.join()


def _given(waiting: Bounded[bytes | BaseException | None]) -> Iterator[bytes]:
    while (item := waiting.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


class Aside:
    """A call in another thread, which begins at once; without the locks of ``concurrent.futures``."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def result(self) -> None:
        """Wait for its end; raise what it raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._call()
        except BaseException as exc:  # noqa: BLE001 - raised again by result
            self._failure = exc
