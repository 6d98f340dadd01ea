# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chunks of any size, taken in the sizes that a format has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import Damaged


class Feed:
    """What is left of ``chunks``. ``cut_off`` completes the sentence that says why there must be more."""

    def __init__(self, chunks: Iterator[bytes], path: Path, cut_off: str) -> None:
        self._chunks = chunks
        self._path = path
        self._cut_off = cut_off
        self._held = memoryview(b"")

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes; raise :class:`Damaged` when there are fewer."""
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the same as it comes."""
        while size > 0:
            while not self._held:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise Damaged(f"is cut off: {self._cut_off}", path=self._path, hint="use another backup")
                self._held = memoryview(chunk)
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[memoryview]:
        """Yield all that is left, to the chunks' end."""
        held, self._held = self._held, memoryview(b"")
        if held:
            yield held
        for chunk in self._chunks:
            if chunk:
                yield memoryview(chunk)
