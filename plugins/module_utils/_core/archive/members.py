# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar inside an archive: few members, known names, known limits; nothing is ever extracted by name.

``tarfile`` makes and reads each header; the data between them are streamed here, since its own reader keeps
hostile extended headers in memory whole.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import Damaged

_BLOCK = tarfile.BLOCKSIZE
_MAX_PADDING = 1 << 20
END = bytes(2 * _BLOCK)


def header(name: str, size: int, mtime: float) -> bytes:
    """Return the header of a regular file, 0600, owned by nobody in particular; ``mtime`` in Unix seconds."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(mtime), 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """Return what fills a member of ``size`` bytes up to whole blocks."""
    return bytes(-size % _BLOCK)


@dataclass(frozen=True)
class Member:
    """One file: its name, its size in bytes, and its data, to be taken before the next member."""

    name: str
    size: int
    data: Iterator[bytes]


def members(chunks: Iterator[bytes], limits: Mapping[str, int], path: Path) -> Iterator[Member]:
    """Yield the members of a tar stream and take it to its end.

    ``limits`` are the names there may be and the most bytes of each; ``path`` is for messages. Raise
    :class:`Damaged` for another name, one that comes twice, anything but a regular file (the folder ``./``
    is passed over), a size above its limit, data after the end, and a stream that ends too early.
    """
    feed = _Feed(chunks, path)
    seen: set[str] = set()
    while (info := _header(feed, path)) is not None:
        if info.isdir() and info.name in (".", "./") and info.size == 0:
            continue
        name = info.name[2:] if info.name.startswith("./") else info.name
        if name not in limits or not info.isreg() or name in seen:
            raise _refused(f"may not hold {_shown(info)}", path)
        if not 0 <= info.size <= limits[name]:
            raise _refused(f"holds {name} of {info.size} bytes, more than {limits[name]}", path)
        seen.add(name)
        yield Member(name, info.size, feed.stream(info.size))
        feed.stream_rest()
        feed.exactly(-info.size % _BLOCK)
    feed.only_padding()


def _header(feed: _Feed, path: Path) -> tarfile.TarInfo | None:
    block = feed.exactly(_BLOCK)
    if block == bytes(_BLOCK):
        if feed.exactly(_BLOCK) != bytes(_BLOCK):
            raise _refused("is no tar: it has one block of its end only", path)
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as exc:
        raise _refused(f"is no tar: {exc}", path) from exc


def _shown(info: tarfile.TarInfo) -> str:
    return f"{info.name[:80]!r}, a member of type {info.type!r}"


def _refused(why: str, path: Path) -> Damaged:
    return Damaged(f"the archive {why}", path=path, hint="use another backup")


class _Feed:
    """Chunks of any size, taken in the sizes that a tar has."""

    def __init__(self, chunks: Iterator[bytes], path: Path) -> None:
        self._chunks = chunks
        self._path = path
        self._held = memoryview(b"")
        self._left = 0

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes."""
        return b"".join(self._take(size))

    def stream(self, size: int) -> Iterator[bytes]:
        """Return an iterator over the next ``size`` bytes."""
        self._left = size
        return self._stream()

    def stream_rest(self) -> None:
        """Pass over what nobody took of the present member."""
        for _piece in self._stream():
            pass

    def _stream(self) -> Iterator[bytes]:
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield bytes(piece)

    def _take(self, size: int) -> Iterator[memoryview]:
        while size:
            piece = self._piece(size)
            size -= len(piece)
            yield piece

    def _piece(self, most: int) -> memoryview:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _refused("is cut off: its tar has no end", self._path)
            self._held = memoryview(chunk)
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    def only_padding(self) -> None:
        """Take the rest, which may be nothing but a tar's zero blocks."""
        rest, size = self._held, 0
        while True:
            size += len(rest)
            if bytes(rest).strip(b"\0") or size > _MAX_PADDING:
                raise _refused("goes on after the end of its tar", self._path)
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            rest = memoryview(chunk)
