# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""zstd and gzip as streams with bounded memory, both ways.

zstd at level 1 is faster than gzip at any level and smaller than gzip -6; where a node's Python has no
``zstandard``, the standard library's gzip takes its place.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BadInput, Damaged, MissingLibrary
from .feed import Feed
from .pump import Stage

try:
    import zstandard
except ImportError:  # said when it is asked for; else gzip serves
    zstandard = None  # type: ignore[assignment]  # None stands for a missing library

# What is asked for, and the file name's part for what is used.
CHOICES = ("auto", "zstd", "gzip")
SUFFIXES = {"zstd": "zst", "gzip": "gz"}
PIECE = 1 << 20
_LEVEL = 1
_GZIP_FORM = 31
_MOST_THREADS = 4
# What `zstd -d` accepts without further options; a reader must never need more memory than this.
_MAX_WINDOW = 1 << 27
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_CHECKSUM = 4
_ZSTD_REPEATED = 1


def choose(wanted: str) -> str:
    """Return ``zstd`` or ``gzip`` for one of :data:`CHOICES`; ``auto`` is zstd where it can be had.

    Raise :class:`BadInput`, or :class:`MissingLibrary` when zstd is asked for and not there.
    """
    if wanted not in CHOICES:
        raise BadInput(f"compression must be one of {', '.join(CHOICES)}, not {wanted!r}")
    if wanted == "auto":
        return "gzip" if zstandard is None else "zstd"
    if wanted == "zstd":
        _require_zstd("cannot write zstd", None)
    return wanted


def _require_zstd(msg: str, path: Path | None) -> None:
    if zstandard is None:
        raise MissingLibrary(
            f"{msg}: this node's Python has no zstandard",
            path=path,
            hint="install it (apt-get install python3-zstandard)",
        )


class Compressor:
    """Compresses what is written to it into ``sink``, and finishes the sink with itself."""

    def __init__(self, kind: str, sink: Stage) -> None:
        self._sink = sink
        self._state: Any
        if kind == "zstd":
            # Half of the processors: hashing, encryption and SQLite's check keep the others busy. Threads of
            # its own cost zstd a third more work: where it would get one only, it works in the caller's.
            threads = min(_MOST_THREADS, (os.cpu_count() or 1) // 2)
            self._state = zstandard.ZstdCompressor(
                level=_LEVEL, write_checksum=True, threads=threads if threads > 1 else 0
            ).compressobj()
        else:
            self._state = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_FORM)

    def write(self, data: bytes) -> None:
        """Compress the next bytes."""
        self._pass_on(self._state.compress(data))

    def finish(self) -> None:
        """Write what makes the stream whole."""
        self._pass_on(self._state.flush())
        self._sink.finish()

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._sink.write(data)


def decompressed(kind: str, chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Yield what ``chunks`` decompress to, in pieces of at most 1 MiB however small the input is.

    ``chunks`` are taken to their end. Raise :class:`Damaged` for anything but one whole stream, and
    :class:`MissingLibrary` for zstd without the library.
    """
    if kind == "zstd":
        _require_zstd("cannot read zstd", path)
        yield from _unzstd(chunks, path)
    else:
        yield from _gunzip(chunks, path)


class _Frame:
    """One zstd frame as a file to read from.

    The library takes a frame that is cut off for one that came to its end, so the blocks are followed here
    (RFC 8878, 3.1.1). Nothing may come after the frame: nothing can hide behind the end.
    """

    def __init__(self, chunks: Iterator[bytes], path: Path) -> None:
        self._parts = _parts_of_frame(Feed(chunks, path, "its zstd stream has no end"), path)

    def read(self, _size: int = -1, /) -> bytes:
        return next(self._parts, b"")


def _parts_of_frame(feed: Feed, path: Path) -> Iterator[bytes]:
    start = feed.exactly(5)
    if not start.startswith(_ZSTD_MAGIC):
        raise Damaged("is no zstd stream", path=path, hint="use another backup")
    flags = start[4]
    single = flags >> 5 & 1
    window, dictionary, size = 1 - single, (0, 1, 2, 4)[flags & 3], (single, 2, 4, 8)[flags >> 6]
    yield start + feed.exactly(window + dictionary + size)
    last = 0
    while not last:
        head = feed.exactly(3)
        block = int.from_bytes(head, "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        yield head + feed.exactly(1 if kind == _ZSTD_REPEATED else size)
    if flags & _ZSTD_CHECKSUM:
        yield feed.exactly(4)
    for _more in feed.rest():
        raise Damaged("goes on after its zstd stream", path=path, hint="use another backup")


def _unzstd(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    frame: Any = _Frame(chunks, path)
    source = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(
        frame, read_across_frames=True
    )
    try:
        while piece := source.read(PIECE):
            yield piece
    except zstandard.ZstdError as exc:
        raise Damaged(f"is no sound zstd stream: {exc}", path=path, hint="use another backup") from exc
    except MemoryError as exc:
        raise Damaged("is no zstd stream of ours: it needs too much memory", path=path) from exc


def _gunzip(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    state = zlib.decompressobj(_GZIP_FORM)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not state.eof:
                piece = state.decompress(rest, PIECE)
                rest = state.unconsumed_tail
                if piece:
                    yield piece
            if state.unused_data or (rest and state.eof):
                raise Damaged("goes on after its gzip stream", path=path, hint="use another backup")
        while not state.eof and (piece := state.decompress(b"", PIECE)):
            yield piece
    except zlib.error as exc:
        raise Damaged(f"is no sound gzip stream: {exc}", path=path, hint="use another backup") from exc
    if not state.eof:
        raise Damaged("is cut off: its gzip stream has no end", path=path, hint="use another backup")
