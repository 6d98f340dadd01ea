# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening a backup's archive with the keys there are: the node's, current or archived, or one brought along.

Keys are read only when an archive asks for them: plain backups need none.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from . import files, keyring
from .age import keys as age_keys
from .age.envelope import Identity, open_header
from .age.failures import BadKey, NoMatch
from .age.header import Header, read_header
from .age.sealed import Reader
from .archive import legacy
from .archive.read import Contents, Keep, read
from .catalogue import Backup
from .errors import Damaged, MissingKey, Unsafe, guarded
from .keyring import Key, Keyring
from .node import Node


class Keys:
    """What archives are tried with: a node's keyring, and the identities of a file if one is named.

    ``ring`` is given where the keyring was read already.
    """

    def __init__(self, node: Node, identity_file: Path | None = None, ring: Keyring | None = None) -> None:
        self._node = node
        self._ring = ring
        self.identity_file = identity_file

    @cached_property
    def keyring(self) -> Keyring:
        """The node's keys; see :func:`keyring.read` for what it raises."""
        return self._ring or keyring.read(self._node)

    def renewed(self) -> bool:
        """Read the node's keyring once more; whether it holds a key that it did not hold before.

        Who reads without the node's lock may meet an archive that was rewrapped for a key younger than that.
        """
        if self._ring is not None:
            return False
        before = {key.id for key in self.keyring.keys}
        del self.keyring
        return not before.issuperset(key.id for key in self.keyring.keys)

    @cached_property
    def brought(self) -> list[Identity]:
        """The identities of the file that was named; none without one."""
        path = self.identity_file
        if path is None:
            return []
        with guarded("look at the identity file", path):
            mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise Unsafe(
                f"can be read by others: its mode is {mode:04o}", path=path, hint=f"run: chmod 600 {path}"
            )
        return list(age_keys.parse_identities(files.read_bounded(path, age_keys.MAX_FILE_BYTES), path))

    @property
    def identities(self) -> list[Identity]:
        """Every age identity, the one brought along first."""
        try:
            own = [key.identity for key in self.keyring.keys if key.identity is not None]
        except (Unsafe, Damaged):
            if not self.brought:
                raise
            own = []
        return [*self.brought, *own]

    def passphrases(self, key_id: str | None) -> list[Key]:
        """Every key of the shell runbook, the one with that id first."""
        found = [key for key in self.keyring.keys if key.passphrase is not None]
        return sorted(found, key=lambda key: key.id != key_id)

    def missing(self, backup: Backup) -> MissingKey:
        """Return the error that says which key a backup wants and where it was looked for."""
        wanted = f"key {' or '.join(backup.key_ids)}" if backup.key_ids else "a key that is not known by name"
        held = ", ".join(key.id for key in self.keyring.keys) or "none"
        where = f"{self.keyring.folder} (it holds {held})"
        if self.identity_file is not None:
            where += f" and in {self.identity_file}"
        return MissingKey(
            f"backup {backup.id} needs {wanted}, and no key opens it in {where}",
            path=backup.archive,
            hint=f"bring the key back to {self.keyring.archive}, or give a recovery identity (identity_file)",
        )


@dataclass(frozen=True)
class Proof:
    """What reading an archive to its end proved: its contents, and SHA-256 and size of the ciphertext."""

    contents: Contents
    sha256: str
    size: int


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        return self._took(self._file.read(size))

    def readline(self, size: int, /) -> bytes:
        return self._took(self._file.readline(size))

    def _took(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with guarded("read the archive", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Damaged("is not a regular file", path=path)
            yield file


def read_archive(backup: Backup, keys: Keys, keep: Keep | None = None) -> Proof:
    """Read a backup's archive to its end; ``keep`` gets the database, as in :func:`archive.read.read`.

    Raise :class:`MissingKey` when no key opens it and :class:`Damaged` when it is not good. ``keep`` may be
    asked more than once: only what came since it was last asked counts.
    """
    with guarded("ask for the disk's size", backup.path):
        disk = os.statvfs(backup.path)
    most = disk.f_blocks * disk.f_frsize
    proof = (_read_legacy if backup.kind == "legacy" else _read_encrypted)(backup, keys, most, keep)
    held = proof.contents.manifest.id
    if held is not None and held != backup.id:
        raise Damaged(
            f"holds backup {held}, not {backup.id}", path=backup.archive, hint=f"rename its folder to {held}"
        )
    return proof


def _read_encrypted(backup: Backup, keys: Keys, most: int, keep: Keep | None) -> Proof:
    with _opened(backup.archive) as file:
        source, reader = _Hashed(file), None
        with suppress(NoMatch):
            reader = Reader(source, keys.identities, backup.archive)
        if reader is not None:
            contents = read(backup.compression, iter(reader), backup.archive, most, keep)
            return Proof(contents, source.hexdigest(), source.size)
    if not keys.renewed():
        raise keys.missing(backup)
    return _read_encrypted(backup, keys, most, keep)


def _read_legacy(backup: Backup, keys: Keys, most: int, keep: Keep | None) -> Proof:
    """Try the keys whose decryption begins as gzip does; a wrong one is found out by what follows."""
    failure: Damaged | None = None
    for passphrase in (key.passphrase for key in legacy_keys(backup, keys) if key.passphrase):
        try:
            return _read_legacy_with(passphrase, backup, most, keep)
        except Damaged as exc:
            failure = failure or exc
    raise failure or keys.missing(backup)


def _read_legacy_with(passphrase: legacy.Passphrase, backup: Backup, most: int, keep: Keep | None) -> Proof:
    with _opened(backup.archive) as file:
        source = _Hashed(file)
        chunks = iter(lambda: source.read(files.CHUNK), b"")
        plain = legacy.decrypted(chunks, passphrase, backup.archive)
        contents = read("gzip", plain, backup.archive, most, keep)
    if backup.sha256 is not None and backup.sha256 != source.hexdigest():
        raise Damaged(
            f"has SHA-256 {source.hexdigest()}, {legacy.SUM_FILE} says {backup.sha256}", path=backup.archive
        )
    return Proof(contents, source.hexdigest(), source.size)


def legacy_keys(backup: Backup, keys: Keys) -> list[Key]:
    """Return the keys that may open an archive of the shell runbook, likeliest first."""
    with _opened(backup.archive) as file:
        start = file.read(64)
    wanted = backup.key_ids[0] if backup.key_ids else None
    return [
        key
        for key in keys.passphrases(wanted)
        if key.passphrase is not None and legacy.may_open(start, key.passphrase, backup.archive)
    ]


def header_of(backup: Backup) -> Header:
    """Return the age header of an encrypted backup; raise :class:`Damaged` when there is none."""
    with _opened(backup.archive) as file:
        return read_header(file, backup.archive)


def opening_keys(backup: Backup, keys: Keys) -> list[Key]:
    """Return which of the node's keys open a backup, by trying its header and not by what is said of it.

    None for a plain backup. Raise :class:`Damaged` when that cannot be told.
    """
    if backup.kind == "legacy":
        return legacy_keys(backup, keys)
    if backup.kind != "encrypted":
        return []
    header, found = header_of(backup), []
    for key in keys.keyring.keys:
        with suppress(NoMatch, BadKey):
            if key.identity is not None and open_header(header, [key.identity], backup.archive):
                found.append(key)
    return found


def brought_opens(backup: Backup, keys: Keys) -> bool:
    """Whether an identity that was brought along opens an encrypted backup."""
    with suppress(NoMatch, BadKey):
        open_header(header_of(backup), keys.brought, backup.archive)
        return True
    return False
