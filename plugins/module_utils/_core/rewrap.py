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
from .opening import Keys, brought_opens, opening_keys, read_archive
from .recipients import Recipients

_MOST_HEADER_BYTES = 256 * 1024


@dataclass(frozen=True)
class Result:
    """``renewed``, ``unchanged`` or ``failed``, and why."""

    state: str
    why: str = ""


@dataclass(frozen=True)
class _Copied:
    """SHA-256 and size of what was written, and SHA-256 of what it was copied from."""

    sha256: str
    size: int
    source_sha256: str | None = None


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
    if not opening and not brought_opens(backup, keys):
        raise keys.missing(backup)
    current = keys.keyring.current
    known = backup.sidecar
    _require_recovery(backup, wanted)
    if rekey and (known is None or current is None or times.parse(known.encrypted_at) < current.created_at):
        return "its payload was encrypted before the current key was made"
    others = [key.id for key in opening if current is None or key.fingerprint != current.fingerprint]
    if others:
        return f"key {', '.join(others)} opened it"
    if not opening:
        return "no key of the node opened it"
    if known is None:
        return f"it has no {sidecar.FILE_NAME}"
    if known.recipients != wanted.listed:
        return "its recipients are others"
    if known.archive_size != backup.size:
        return f"its {sidecar.FILE_NAME} is out of date"
    return None


def _require_recovery(backup: Backup, wanted: Recipients) -> None:
    """Refuse to take away the last recipients that open the archive when the node is lost."""
    recovery = [who.recipient for who in wanted.listed if who.key_id is None]
    known = [] if backup.sidecar is None else backup.sidecar.recipients
    dropped = [who.recipient for who in known if who.key_id is None]
    if dropped and not recovery:
        raise MissingKey(
            f"it is also for recovery recipient {', '.join(dropped)}, and none is given now",
            path=backup.archive,
            hint="give recovery_recipients (vvtv_recovery_recipients), these or others",
        )


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
) -> _Copied:
    """Write a new header and copy the payload as it is."""
    old = read_header(source, backup.archive)
    data = rewrapped(old, keys.identities, wanted.keys, path=backup.archive).encode()
    before, after, size = hashlib.sha256(old.encode()), hashlib.sha256(), 0
    while data:
        after.update(data)
        out.write(data)
        size += len(data)
        data = source.read(files.CHUNK)
        before.update(data)
    return _Copied(after.hexdigest(), size, before.hexdigest())


def _encrypt_anew(source: BinaryIO, out: BinaryIO, backup: Backup, keys: Keys, wanted: Recipients) -> _Copied:
    """Decrypt the payload and encrypt it with another file key, a chunk at a time."""
    sealed = Sealed(out, wanted.keys, backup.archive)
    for chunk in Reader(source, keys.identities, backup.archive):
        sealed.write(chunk)
    sealed.finish()
    return _Copied(sealed.sha256, sealed.size)


def _proved(made: Backup, keys: Keys, wanted: Recipients, copied: _Copied, rekey: bool) -> sidecar.Sidecar:
    """Read back what was written and return its public facts.

    A payload copied from the archive that was verified is as good as that one. Any other is read whole: one
    encrypted anew, and one that is not what its facts say, by damage or because a run was killed.
    """
    known = made.sidecar
    if known is None or rekey or known.archive_sha256 != copied.source_sha256:
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
    if found != copied.sha256:
        raise Damaged("is not what was written to it", path=made.archive, hint="check the disk and run again")
    return replace(known, archive_sha256=copied.sha256, archive_size=copied.size, recipients=wanted.listed)
