# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of a release on disk: made from an archive, made durable, and known by one digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from . import files
from .archive import tree
from .archive.compression import decompressed
from .errors import Damaged, guarded

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_MODES = {True: 0o755, False: 0o644}


def unpack(archive: Path, target: Path, owner: files.Owner) -> str:
    """Make ``target``, a new folder, of a release's archive; return the SHA-256 of what was read.

    The archive is a tar, plain or packed with gzip or zstd, which its first bytes say. Only whether a file
    can be executed is taken over of modes; owners and times are not. Raise :class:`Damaged` for an archive
    that may not be unpacked, and :class:`MissingLibrary` for zstd without the library. On any error nothing
    is left of it.
    """
    digest = hashlib.sha256()
    try:
        with guarded("unpack", archive), archive.open("rb") as source:
            chunks = _hashed(source, digest)
            first = next(chunks, b"")
            kind = next((name for magic, name in _MAGIC.items() if first.startswith(magic)), None)
            data = _chained(first, chunks)
            plain = data if kind is None else decompressed(kind, data, archive)
            _write(tree.entries(plain, archive), target, archive, owner)
            for _left in data:  # what follows a packed stream was refused, but must be hashed as well
                pass
    except Damaged as exc:
        files.remove_tree(target)
        exc.hint = "make the release again"  # what reads a stream thinks of backups
        raise
    except BaseException:
        files.remove_tree(target)
        raise
    return digest.hexdigest()


def _hashed(source: BinaryIO, digest: hashlib._Hash) -> Iterator[bytes]:
    while chunk := source.read(files.CHUNK):
        digest.update(chunk)
        yield chunk


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


# --- writing ---


def _write(entries: Iterator[tree.Entry], target: Path, archive: Path, owner: files.Owner) -> None:
    _make_folder(target, owner)
    folders: set[tuple[str, ...]] = {()}
    known: dict[str, str] = {}
    for entry in entries:
        _require_new(entry, folders, known, archive)
        for depth in range(1, len(entry.parts) + (entry.kind == tree.FOLDER)):
            parts = entry.parts[:depth]
            if parts not in folders:
                if "/".join(parts) in known:
                    raise tree.refused(
                        f"holds {entry.name[:80]!r} below something that is no folder", archive
                    )
                _make_folder(target.joinpath(*parts), owner)
                folders.add(parts)
        if entry.kind == tree.FOLDER:
            continue
        known[entry.name] = entry.kind
        place = target.joinpath(*entry.parts)
        if entry.kind == tree.LINK:
            place.symlink_to(entry.target)
            if os.geteuid() == 0:
                os.lchown(place, owner.uid, owner.gid)
        elif entry.kind == tree.HARD_LINK:
            if known.get(entry.target) != tree.FILE:
                raise tree.refused(f"holds {entry.name[:80]!r}, a link to no file before it", archive)
            os.link(target / entry.target, place)
            known[entry.name] = tree.FILE
        else:
            _write_file(place, entry, owner)
    if folders == {()} and not known:
        raise tree.refused("holds nothing", archive)


def _require_new(
    entry: tree.Entry, folders: set[tuple[str, ...]], known: dict[str, str], archive: Path
) -> None:
    """Folders may come again; a file or a link takes the place of nothing."""
    taken = entry.name in known or (entry.kind != tree.FOLDER and entry.parts in folders)
    if taken:
        raise tree.refused(f"holds {entry.name[:80]!r} twice", archive)


def _make_folder(folder: Path, owner: files.Owner) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, owner.uid, owner.gid)


def _write_file(place: Path, entry: tree.Entry, owner: files.Owner) -> None:
    descriptor = files.open_new(place, _MODES[entry.executable], owner)
    with os.fdopen(descriptor, "wb") as out:
        for piece in entry.data:
            out.write(piece)


# --- looking ---


def sealed(root: Path) -> str:
    """Make a whole tree durable and return its digest, which is made of what was read back."""
    return _digest(root, sync=True)


def digest(root: Path) -> str:
    """Return the digest of a tree: of names, kinds, content, links, and which files can be executed.

    Raise :class:`Damaged` for a tree that holds anything else.
    """
    return _digest(root, sync=False)


def _digest(root: Path, sync: bool) -> str:
    whole = hashlib.sha256()
    with guarded("read the release", root):
        for path, found in _walk(root):
            name = os.fsencode(path.relative_to(root))
            whole.update(b"%s\0%s\0" % (_told(path, found, sync), name))
            if sync and stat.S_ISDIR(found.st_mode):
                files.sync_folder(path)
        if sync:
            files.sync_folder(root)
    return whole.hexdigest()


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below a folder in one order everywhere; what a folder holds comes before it."""
    for name in sorted(os.listdir(os.fsencode(folder))):
        path = folder / os.fsdecode(name)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(path)
        yield path, found


def _told(path: Path, found: os.stat_result, sync: bool) -> bytes:
    if stat.S_ISDIR(found.st_mode):
        return b"folder"
    if stat.S_ISLNK(found.st_mode):
        return b"link " + os.fsencode(os.readlink(path))
    if not stat.S_ISREG(found.st_mode):
        raise Damaged("is neither file, folder nor link", path=path, hint="remove the release")
    kind = "program" if found.st_mode & 0o100 else "file"
    if sync:
        _sync_file(path)
    return f"{kind} {found.st_size} {files.sha256_of(path)}".encode()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
