# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are never half there: written beside their target, synced, then moved over it.

``kill -9`` at any instruction leaves the old file or the new one. Several files move as one through an
intent (:class:`Intent`): once it is on disk, the move can always be finished by :func:`carry_out`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import BadInput, Damaged, DiskFull, NotFound, guarded

CHUNK = 1 << 20
_MAX_INTENT = 64 * 1024
_STAGED = ".vvtv-new"
_F_SETPIPE_SZ = 1031  # fcntl names it from Python 3.10 on


@dataclass(frozen=True)
class Owner:
    """User and group ids that new files get when the engine runs as root."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Owner:
        """Return the owner of ``path``, which must exist."""
        with guarded("read the owner", path):
            found = path.stat()
        return cls(found.st_uid, found.st_gid)

    def take(self, descriptor: int) -> None:
        """Give the open file to this owner; without root's power it stays with the caller."""
        if os.geteuid() == 0:
            os.fchown(descriptor, self.uid, self.gid)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int, owner: Owner) -> None:
    """Create ``folder`` and what is missing above it; an existing one is left as it is."""
    with guarded("create the folder", folder):
        if folder.exists():
            return
        if folder.parent != folder:
            make_folder(folder.parent, mode, owner)
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fchmod(descriptor, mode)
            owner.take(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(folder.parent)


def open_new(path: Path, mode: int, owner: Owner) -> int:
    """Create ``path``, which must not exist, and return a descriptor to write and read it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, mode)
        owner.take(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_new(path: Path, data: bytes, mode: int, owner: Owner) -> None:
    """Write ``data`` to ``path``, which must not exist, and make its content durable."""
    _write_durably(path, [data], mode, owner)


def staged_path(target: Path) -> Path:
    """Return where a new version of ``target`` waits, in the same folder."""
    return target.with_name(f".{target.name}{_STAGED}")


def staged_in(folder: Path) -> list[Path]:
    """Return the staged files in ``folder``; whoever holds the node's lock may remove them."""
    with guarded("look for what killed runs left", folder):
        if not folder.is_dir():
            return []
        return sorted(
            path for path in folder.iterdir() if path.name[0] == "." and path.name.endswith(_STAGED)
        )


def stage(target: Path, data: bytes, mode: int, owner: Owner) -> Path:
    """Write the next version of ``target`` beside it, durably, and return its path."""
    staged = staged_path(target)
    remove(staged)
    write_new(staged, data, mode, owner)
    return staged


def replace(target: Path, data: bytes, mode: int, owner: Owner) -> None:
    """Replace one file atomically."""
    staged = stage(target, data, mode, owner)
    with guarded("replace", target):
        staged.replace(target)
        sync_folder(target.parent)


def remove(path: Path) -> bool:
    """Remove a file; return whether there was one."""
    with guarded("remove", path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as exc:
            # A file system that is read only refuses before it looks whether there is such a file.
            if exc.errno == errno.EROFS and not os.path.lexists(path):
                return False
            raise
    return True


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds; a folder that is gone already is fine."""
    with guarded("remove", folder), suppress(FileNotFoundError):
        shutil.rmtree(folder)


def read_bounded(
    path: Path, limit: int, accept: Callable[[os.stat_result, Path], None] | None = None
) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes; symbolic links are refused.

    ``accept`` may raise for the very file that is read, whatever has its name a moment later.
    """
    with guarded("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as exc:
            if path.is_symlink():
                raise Damaged("is a symbolic link, not a file", path=path) from exc
            raise
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise Damaged("is not a regular file", path=path)
        with os.fdopen(descriptor, "rb") as source:
            if accept is not None:
                accept(found, path)
            data = source.read(limit + 1)
    if len(data) > limit:
        raise Damaged(f"is larger than {limit} bytes", path=path)
    return data


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data``, as lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, as lower-case hex."""
    digest = hashlib.sha256()
    with guarded("read", path), path.open("rb") as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _wide_pipe() -> tuple[int, int]:
    """Return a pipe that holds a whole chunk where the system allows: a third less time for a large file."""
    reader, writer = os.pipe()
    if sys.platform == "linux":
        with suppress(OSError):  # above the user's limit
            fcntl.fcntl(reader, _F_SETPIPE_SZ, CHUNK)
    return reader, writer


def _cat(path: Path, out: int) -> int:
    """Start a child that writes a file's bytes to a descriptor; return its process id."""
    silent = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    actions = [silent, (os.POSIX_SPAWN_DUP2, out, 1)]
    command = ["cat", "--", os.fspath(path)]
    # run_command, which ansible-test asks for, would hold the whole file in memory.
    # pylint: disable-next=ansible-bad-function
    return os.posix_spawnp("cat", command, os.environ, file_actions=actions, setsigdef=[signal.SIGPIPE])


def _require_whole(child: int, path: Path) -> None:
    if os.waitpid(child, 0)[1]:
        raise Damaged("could not be read to its end", path=path)


def read_apart(path: Path) -> Generator[bytes, None, None]:
    """Yield a file's bytes, read by a child process (``cat``).

    Opening and closing a database's file in this process would drop the SQLite locks it holds on it. Closing
    the generator early ends the child. Raise :class:`Damaged` when the file cannot be read to its end.
    """
    reader, writer = _wide_pipe()
    try:
        child = _cat(path, writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        with os.fdopen(reader, "rb") as source:
            while chunk := source.read(CHUNK):
                yield chunk
    except GeneratorExit:
        os.waitpid(child, 0)
        raise
    _require_whole(child, path)


def copy_apart(path: Path, out: int) -> None:
    """Let a child process append a file's bytes to an open descriptor: what it cannot write is missing.

    For the same reason as :func:`read_apart`, and quicker, since the bytes do not come through this process.
    Raise :class:`Damaged` when the file cannot be read, or written, to its end.
    """
    _require_whole(_cat(path, out), path)


def copy_durably(source: Path, target: Path, mode: int, owner: Owner) -> str:
    """Copy ``source`` to ``target``, which must not exist, durably; return the SHA-256 of what was copied."""
    return _write_durably(target, read_apart(source), mode, owner)


def _write_durably(path: Path, chunks: Iterable[bytes], mode: int, owner: Owner) -> str:
    """Write a new file, sync it and return its SHA-256; on any error nothing is left of it."""
    digest = hashlib.sha256()
    with guarded("write", path):
        descriptor = open_new(path, mode, owner)
        try:
            with os.fdopen(descriptor, "wb") as out:
                for chunk in chunks:
                    digest.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(descriptor)
        except BaseException:
            path.unlink()
            raise
    return digest.hexdigest()


def mode_and_owner(path: Path, mode: int, owner: Owner) -> tuple[int, Owner]:
    """Return mode and owner of an existing file, else the ones given: what its next version gets."""
    with guarded("read the mode", path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return mode, owner
    return stat.S_IMODE(found.st_mode), Owner(found.st_uid, found.st_gid)


def require_room(folder: Path, needed: int) -> None:
    """Raise :class:`DiskFull` when ``folder``'s file system has no ``needed`` bytes for this user."""
    with guarded("ask for free space", folder):
        found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise DiskFull(
            f"needs {needed} bytes but only {free} are free",
            path=folder,
            hint="free some space and run again",
        )


# --- sets of files ---


@dataclass(frozen=True)
class Intent:
    """A set of moves that was prepared: ``moves`` are (staged, target), ``facts`` say what for."""

    path: Path
    moves: tuple[tuple[Path, Path], ...]
    facts: dict[str, Any] = field(default_factory=dict)


def declare(intent: Intent, owner: Owner) -> None:
    """Put the intent on disk; from here on the moves can be finished by anybody who reads it."""
    moves = [[str(staged), str(target)] for staged, target in intent.moves]
    data = json.dumps({"moves": moves, "facts": intent.facts}, indent=2).encode()
    replace(intent.path, data, 0o600, owner)


def pending(path: Path, targets: Iterable[Path]) -> Intent | None:
    """Return the intent left at ``path`` by a run that broke off, or ``None``.

    Only ``targets`` may be moved to, and only from where :func:`stage` puts their next version; anything else
    raises :class:`Damaged`, since an intent is acted on with the power of whoever runs next.
    """
    try:
        data = read_bounded(path, _MAX_INTENT)
    except NotFound:
        return None
    allowed = {str(target): str(staged_path(target)) for target in targets}
    try:
        found = json.loads(data)
        moves = tuple((Path(staged), Path(target)) for staged, target in found["moves"])
        facts = found["facts"]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Damaged(
            "is no intent of an interrupted run", path=path, hint="look at it, then remove it"
        ) from exc
    if not isinstance(facts, dict) or any(
        allowed.get(str(target)) != str(staged) for staged, target in moves
    ):
        raise Damaged("names files it may not move", path=path, hint="look at it, then remove it")
    return Intent(path, moves, facts)


def carry_out(intent: Intent) -> None:
    """Make every move that is still to be made, then forget the intent. Safe to repeat."""
    for staged, target in intent.moves:
        with guarded("replace", target):
            if staged.exists():
                staged.replace(target)
            sync_folder(target.parent)
    forget(intent)


def drop(intent: Intent) -> None:
    """Undo the preparation: remove what was staged, then forget the intent."""
    for staged, _target in intent.moves:
        remove(staged)
    forget(intent)


def forget(intent: Intent) -> None:
    """Remove the intent durably."""
    remove(intent.path)
    with guarded("sync", intent.path.parent):
        sync_folder(intent.path.parent)


def replace_set(intent: Intent, owner: Owner) -> None:
    """Replace several files as one: all of them were staged and are named in ``intent``."""
    for staged, _target in intent.moves:
        if not staged.exists():
            raise BadInput("was not staged", path=staged)
    declare(intent, owner)
    carry_out(intent)
