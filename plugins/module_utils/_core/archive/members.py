# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar inside an archive: few members, known names, known limits; nothing is ever extracted by name.

``tarfile`` makes and reads each header; the data between them are streamed here, since its own reader keeps
hostile extended headers in memory whole.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import Damaged
from .feed import Feed

_BLOCK = tarfile.BLOCKSIZE
_MAX_PADDING = 1 << 20
# Not tarfile's own list: it has sparse files in it, of whose data stock tar makes others.
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_FOLDER = "."
END = bytes(2 * _BLOCK)
# Makes the error for an archive that cannot be, of what is wrong with it and its path.
Refused = Callable[[str, Path], Damaged]


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
    is passed over once), a size above its limit, data after the end, and a stream that ends too early.
    """
    feed = Feed(chunks, path, "its tar has no end")
    seen: set[str] = set()
    while (info := next_header(feed, path, _refused)) is not None:
        name = info.name[2:] if info.name.startswith("./") else info.name
        folder = info.isdir() and name == _FOLDER and info.size == 0
        file = info.type in _FILE_TYPES and name in limits
        if name in seen or not (folder or file):
            raise _refused(f"may not hold {_shown(info)}", path)
        seen.add(name)
        if folder:
            continue
        if not 0 <= info.size <= limits[name]:
            raise _refused(f"holds {name} of {info.size} bytes, more than {limits[name]}", path)
        data = map(bytes, feed.pieces(info.size))
        yield Member(name, info.size, data)
        for _left in data:  # what the caller did not take
            pass
        feed.exactly(-info.size % _BLOCK)
    only_padding(feed, path, _refused)


def next_header(feed: Feed, path: Path, refused: Refused) -> tarfile.TarInfo | None:
    """Return the next member's header, ``None`` at the tar's end; ``refused`` makes the error to raise."""
    block = feed.exactly(_BLOCK)
    if block == bytes(_BLOCK):
        if feed.exactly(_BLOCK) != bytes(_BLOCK):
            raise refused("is no tar: it has one block of its end only", path)
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as exc:
        raise refused(f"is no tar: {exc}", path) from exc


def only_padding(feed: Feed, path: Path, refused: Refused) -> None:
    """Take the rest, which may be nothing but a tar's zero blocks."""
    size = 0
    for piece in feed.rest():
        size += len(piece)
        if bytes(piece).strip(b"\0") or size > _MAX_PADDING:
            raise refused("goes on after the end of its tar", path)


def _shown(info: tarfile.TarInfo) -> str:
    return f"{info.name[:80]!r}, a member of type {info.type!r}"


def _refused(why: str, path: Path) -> Damaged:
    return Damaged(f"the archive {why}", path=path, hint="use another backup")
