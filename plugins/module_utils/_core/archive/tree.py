# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar of a release: any files and folders, links that stay inside, and nothing else.

``tarfile`` reads each header; what lies between them is streamed here, since its own reader keeps hostile
extended headers in memory whole. Names come from whoever made the archive: each is checked before it is used.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import Damaged
from .feed import Feed
from .members import next_header, only_padding

MAX_ENTRIES = 50_000
MAX_BYTES = 4 << 30
MAX_NAME = 1024
MAX_PART = 255
MAX_DEPTH = 64

FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "link", "hard link"
_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENDED = 64 << 10
# Not tarfile's own list: it has sparse files in it.
_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.DIRTYPE: FOLDER,
    tarfile.SYMTYPE: LINK,
    tarfile.LNKTYPE: HARD_LINK,
}
_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=\n]{1,200})=")
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
# pax records that change where or how much is written; all others, such as times, are passed over.
_USED = ("path", "linkpath", "size")


@dataclass(frozen=True)
class Entry:
    """One member: its ``kind`` and its ``parts``, the names on the way to it, none for the tree itself.

    ``target`` is what a link says, or which file a hard link is; ``data`` is to be taken before the next.
    """

    kind: str
    parts: tuple[str, ...]
    executable: bool
    target: str
    data: Iterator[bytes]

    @property
    def name(self) -> str:
        """Its path inside the tree."""
        return "/".join(self.parts)


def entries(chunks: Iterator[bytes], path: Path) -> Iterator[Entry]:
    """Yield what a tar holds and take it to its end; ``path`` is for messages.

    Raise :class:`Damaged` for a name that is absolute, leads upwards, or cannot be written; for a link that
    leads out of the tree; for devices and the like; above :data:`MAX_ENTRIES` and :data:`MAX_BYTES`; for
    data after the end, and for a stream that ends too early.
    """
    feed, count, left = Feed(chunks, path, "its tar has no end"), 0, MAX_BYTES
    more: dict[str, str] = {}
    while (info := next_header(feed, path, refused)) is not None:
        count += 1
        if count > MAX_ENTRIES:
            raise refused(f"holds more than {MAX_ENTRIES} members", path)
        if info.type in _LONG or info.type in _EXTENDED or info.type == tarfile.XGLTYPE:
            more.update(_extended(feed, info, path))
            continue
        entry, size = _entry(feed, info, more, path)
        more = {}
        left -= size
        if left < 0:
            raise refused(f"holds more than {MAX_BYTES} bytes", path)
        yield entry
        for _left in entry.data:  # what the caller did not take
            pass
        feed.exactly(-size % _BLOCK)
    if more:
        raise refused("ends after an extended header", path)
    only_padding(feed, path, refused)


def refused(why: str, path: Path) -> Damaged:
    """Return the error for an archive that is no release."""
    return Damaged(f"the archive {why}", path=path, hint="make the release again")


# --- headers ---


def _extended(feed: Feed, info: tarfile.TarInfo, path: Path) -> dict[str, str]:
    """Return what an extended header says of the next member, or nothing for a global one."""
    if not 0 < info.size <= _MAX_EXTENDED:
        raise refused(f"has an extended header of {info.size} bytes", path)
    data = feed.exactly(info.size)
    feed.exactly(-info.size % _BLOCK)
    if info.type in _LONG:
        return {_LONG[info.type]: _text(data.rstrip(b"\0"), path)}
    found = _records(data, path)
    if any(name.startswith("GNU.sparse") for name in found):
        raise refused("holds a sparse file", path)
    if info.type == tarfile.XGLTYPE and any(name in found for name in _USED):
        raise refused("has a global header that names files", path)
    return {name: value for name, value in found.items() if name in _USED}


def _records(data: bytes, path: Path) -> dict[str, str]:
    """Return the records of a pax header, ``length name=value`` each."""
    found: dict[str, str] = {}
    while data:
        head = _RECORD.match(data)
        size = int(head[1]) if head else 0
        if not head or not head.end() < size <= len(data) or data[size - 1 : size] != b"\n":
            raise refused("has an extended header that cannot be read", path)
        name = head[2].decode("ascii", "replace")
        # Values that are passed over need not be texts, such as those of extended attributes.
        found[name] = _text(data[head.end() : size - 1], path) if name in _USED else ""
        data = data[size:]
    return found


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise refused("holds a name that is not UTF-8", path) from exc


# --- members ---


def _entry(feed: Feed, info: tarfile.TarInfo, more: dict[str, str], path: Path) -> tuple[Entry, int]:
    """Return a member and its size in bytes."""
    size = _size(info, more, path)
    kind = _KINDS.get(info.type)
    name = more.get("path", info.name)
    if kind == FILE and name.endswith("/") and size == 0:
        kind = FOLDER  # as tars from before POSIX have it
    if kind is None:
        raise refused(f"holds {_shown(name)}, a member of type {info.type!r}", path)
    if kind != FILE and size:
        raise refused(f"holds {_shown(name)}, a {kind} with data", path)
    parts = _parts(name, path)
    if not parts and kind != FOLDER:
        raise refused(f"holds {_shown(name)}, a {kind} without a name", path)
    target = more.get("linkpath", info.linkname)
    if kind == LINK:
        _require_inside(parts, target, path)
    elif kind == HARD_LINK:
        target = "/".join(_parts(target, path))
    executable = bool(info.mode & 0o100)
    return Entry(kind, parts, executable, target, map(bytes, feed.pieces(size))), size


def _size(info: tarfile.TarInfo, more: dict[str, str], path: Path) -> int:
    text = more.get("size")
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise refused("has an extended header that cannot be read", path)
    size = info.size if text is None else int(text)
    if not 0 <= size <= MAX_BYTES:
        raise refused(f"holds {_shown(info.name)} of {size} bytes, more than {MAX_BYTES}", path)
    return size


def _parts(name: str, path: Path) -> tuple[str, ...]:
    """Return the names on the way to a member; ``./`` is the tree itself."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    fine = (
        name
        and not name.startswith("/")
        and ".." not in parts
        and len(name) <= MAX_NAME
        and len(parts) <= MAX_DEPTH
        and all(_fits(part) for part in parts)
    )
    if not fine:
        raise refused(f"holds {_shown(name)}, a name that is not allowed", path)
    return parts


def _fits(part: str) -> bool:
    return part.isprintable() and len(part.encode("utf-8", "surrogateescape")) <= MAX_PART


def _require_inside(parts: tuple[str, ...], target: str, path: Path) -> None:
    """Refuse a link that leads, or together with others could lead, out of the tree.

    Upwards it may go from its own folder only, which is a real one: after the name of another link ``..``
    would lead on from wherever that one leads.
    """
    steps = target.split("/")
    ups = 0
    while ups < len(steps) and steps[ups] == "..":
        ups += 1
    down = steps[ups:]
    plain = all(step not in ("", "..") for step in down) and "." not in down[1:]
    if not target or len(target) > MAX_NAME or ups >= len(parts) or not plain or not target.isprintable():
        raise refused(f"holds {_shown('/'.join(parts))}, a link to {_shown(target)}", path)


def _shown(name: str) -> str:
    return repr(name[:80])
