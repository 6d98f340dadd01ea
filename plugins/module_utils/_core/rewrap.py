# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving archives that exist to other recipients.

A rewrap replaces the header and copies the payload byte for byte: quick, and whoever had the file's key still
has it. A rekey decrypts and encrypts anew with another file key: the answer to a key that leaked. Both write
a new file beside the old one and rename it; what lies beside the archive follows, and is right again after
the next run if this one is killed in between.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from . import files, times
from .age.envelope import rewrapped
from .age.header import read_header
from .age.sealed import Reader
from .archive import sidecar
from .archive.write import Sealed
from .catalogue import Backup, list_backups
from .errors import Damaged, MissingKey, guarded
from .node import Node
from .opening import Keys, opening_keys, read_archive
from .recipients import Recipients

_MOST_HEADER_BYTES = 256 * 1024


@dataclass(frozen=True)
class Result:
    """``renewed``, ``unchanged`` or ``failed``, and why."""

    state: str
    why: str = ""


def leftovers(node: Node) -> list[Path]:
    """Return what killed runs prepared beside archives and never put in place."""
    folders = [backup.path for backup in list_backups(node.backup_dir) if backup.kind == "encrypted"]
    return [path for folder in folders for path in files.staged_in(folder)]


def renew(
    node: Node, backup: Backup, keys: Keys, wanted: Recipients, rekey: bool, check: bool = False
) -> Result:
    """Bring about that an encrypted backup is for the ``wanted`` recipients and for nobody else.

    With ``rekey`` its payload is encrypted anew if that was last done before the current key was made. The
    caller holds the node's lock. An archive that no key opens, or that is damaged, is left as it is.
    """
    try:
        why = _why(backup, keys, wanted, rekey)
        if why is None:
            return Result("unchanged")
        if not check:
            _replace(node, backup, keys, wanted, rekey)
    except (Damaged, MissingKey) as exc:
        return Result("failed", str(exc))
    return Result("renewed", why)


def _why(backup: Backup, keys: Keys, wanted: Recipients, rekey: bool) -> str | None:
    """Return why the archive has to be renewed, or ``None``."""
    opening = opening_keys(backup, keys)
    if not opening:
        raise keys.missing(backup)
    current = keys.keyring.current
    known = backup.sidecar
    if rekey and (known is None or current is None or times.parse(known.encrypted_at) < current.created_at):
        return "its payload was encrypted before the current key was made"
    others = [key.id for key in opening if current is None or key.fingerprint != current.fingerprint]
    if others:
        return f"key {', '.join(others)} opened it"
    if known is None:
        return f"it has no {sidecar.FILE_NAME}"
    if known.recipients != wanted.listed:
        return "its recipients are others"
    if known.archive_size != backup.size:
        return f"its {sidecar.FILE_NAME} is out of date"
    return None


def _replace(node: Node, backup: Backup, keys: Keys, wanted: Recipients, rekey: bool) -> None:
    """Write the archive's next version, prove it, put it in place, then say the same beside it."""
    staged = files.staged_path(backup.archive)
    files.remove(staged)
    files.require_room(backup.path, backup.size + _MOST_HEADER_BYTES)
    _mode, owner = files.mode_and_owner(backup.archive, 0o600, node.owner())
    try:
        with (
            guarded("renew the archive", backup.archive),
            backup.archive.open("rb") as source,
            os.fdopen(files.open_new(staged, 0o600, owner), "wb") as out,
        ):
            copied = (_encrypt_anew if rekey else _change_header)(source, out, backup, keys, wanted)
            out.flush()
            os.fsync(out.fileno())
        facts = _proved(replace(backup, archive_name=staged.name), keys, wanted, copied, rekey)
        with guarded("replace", backup.archive):
            staged.replace(backup.archive)
            files.sync_folder(backup.path)
    except BaseException:
        files.remove(staged)
        raise
    facts = replace(facts, archive=backup.archive_name)
    files.replace(backup.path / sidecar.FILE_NAME, facts.to_json(), 0o600, owner)


def _change_header(
    source: BinaryIO, out: BinaryIO, backup: Backup, keys: Keys, wanted: Recipients
) -> tuple[str, int]:
    """Write a new header and copy the payload as it is; return SHA-256 and size of the whole."""
    digest, size = hashlib.sha256(), 0
    old = read_header(source, backup.archive)
    data = rewrapped(old, keys.identities, wanted.keys, path=backup.archive).encode()
    while data:
        digest.update(data)
        out.write(data)
        size += len(data)
        data = source.read(files.CHUNK)
    return digest.hexdigest(), size


def _encrypt_anew(
    source: BinaryIO, out: BinaryIO, backup: Backup, keys: Keys, wanted: Recipients
) -> tuple[str, int]:
    """Decrypt the payload and encrypt it with another file key, a chunk at a time; return the same."""
    sealed = Sealed(out, wanted.keys, backup.archive)
    for chunk in Reader(source, keys.identities, backup.archive):
        sealed.write(chunk)
    sealed.finish()
    return sealed.sha256, sealed.size


def _proved(
    made: Backup, keys: Keys, wanted: Recipients, copied: tuple[str, int], rekey: bool
) -> sidecar.Sidecar:
    """Read back what was written and return its public facts.

    A copied payload is as good as it was; one encrypted anew, or of which nothing is known, is read whole.
    """
    sha256, size = copied
    known = made.sidecar
    if known is None or rekey:
        proof = read_archive(made, keys)
        facts = proof.contents.manifest
        now = times.to_text(times.now())
        found = proof.sha256
        known = sidecar.Sidecar(
            id=made.id,
            created_at=facts.created_at,
            encrypted_at=now if rekey else facts.created_at,
            archive="",
            archive_sha256="",
            archive_size=0,
            recipients=(),
            owner_card_sha256=facts.owner_card_sha256,
            content_sha256=facts.content_sha256,
            name=facts.name,
            method=facts.method,
            verified_at=now,
        )
    else:
        found = files.sha256_of(made.archive)
        if not any(key is keys.keyring.current for key in opening_keys(made, keys)):
            raise Damaged("is not opened by the current key", path=made.archive)
    if found != sha256:
        raise Damaged("is not what was written to it", path=made.archive, hint="check the disk and run again")
    return replace(known, archive_sha256=sha256, archive_size=size, recipients=wanted.listed)
