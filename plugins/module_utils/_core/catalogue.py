# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups a node has: one folder each, named by the instant it was made."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import files, times
from . import manifest as manifests
from .archive import legacy
from .archive import sidecar as sidecars
from .archive.compression import SUFFIXES
from .errors import BadInput, Damaged, NotFound, RunbookError, guarded
from .outcome import Outcome

LATEST = "latest"
STAGING_PREFIX = ".staging-"
_ID = manifests.ID
_ARCHIVES = {kind: f"backup.tar.{suffix}.age" for kind, suffix in SUFFIXES.items()}
_MAX_WORD_FILE = 1024


@dataclass(frozen=True)
class Backup:
    """One backup as its folder shows it; ``problem`` says why it cannot be used, else ``None``.

    ``kind`` is plain, encrypted or legacy. ``size`` is in bytes. ``sha256`` is the database's of a plain
    backup and the archive's of the others. ``verified_at`` is the instant it was last proved good by reading
    it back. What an archive's folder does not tell is ``None`` or empty: the archive itself is the authority.
    """

    id: str
    path: Path
    kind: str
    created_at: str | None = None
    size: int = 0
    sha256: str | None = None
    name: str | None = None
    method: str | None = None
    verified_at: str | None = None
    owner_card_sha256: str | None = None
    content_sha256: str | None = None
    manifest: manifests.Manifest | None = None
    sidecar: sidecars.Sidecar | None = None
    archive_name: str = ""
    key_ids: tuple[str, ...] = ()
    problem: str | None = None
    note: str | None = None

    @property
    def facts(self) -> manifests.Manifest:
        """The manifest of a plain backup; raises :class:`Damaged` for a backup without a usable one."""
        if self.manifest is None:
            raise Damaged(f"backup {self.id} cannot be used: {self.problem}", path=self.path)
        return self.manifest

    @property
    def state_db(self) -> Path:
        """The database's file of a plain backup."""
        return self.path / self.facts.state_db_file

    @property
    def owner_card(self) -> Path:
        """The OwnerCard's file of a plain backup."""
        return self.path / self.facts.owner_card_file

    @property
    def archive(self) -> Path:
        """The file of an encrypted or legacy backup."""
        return self.path / self.archive_name

    @property
    def compression(self) -> str:
        """How an encrypted backup's archive is compressed, as its name says."""
        return "zstd" if f".{SUFFIXES['zstd']}." in self.archive_name else "gzip"

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public keys an encrypted backup is known to be for."""
        return tuple(who.recipient for who in self.sidecar.recipients) if self.sidecar else ()

    @property
    def is_safety(self) -> bool:
        """Whether a restore made it of the state that it replaced."""
        return self.name == manifests.SAFETY_NAME

    def result(self) -> dict[str, Any]:
        """Return what modules and the command show of a backup."""
        return {
            "id": self.id,
            "name": self.name,
            "path": os.fspath(self.path),
            "kind": self.kind,
            "created_at": self.created_at,
            "size": self.size,
            "sha256": self.sha256,
            "owner_card_sha256": self.owner_card_sha256,
            "key_ids": list(self.key_ids),
            "recipients": list(self.recipients),
            "method": self.method,
            "verified": self.verified_at,
            "problem": self.problem,
        }


def check_id(text: str) -> str:
    """Return ``text`` when it has the form of a backup's id, else raise :class:`BadInput`."""
    if not _ID.fullmatch(text):
        raise BadInput(
            f"{text[:80]!r} is no backup id",
            hint=f"give an id such as 20260131T235959Z or '{LATEST}'; backup_info lists them",
        )
    return text


def _order(backup_id: str) -> tuple[str, int]:
    found = _ID.fullmatch(backup_id)
    return (found[1], int(found[2] or 1)) if found else ("", 0)


def new_id(backup_dir: Path, instant: datetime) -> str:
    """Return an id that no folder has yet; the caller holds the node's lock."""
    base = times.to_id(instant)
    taken = {entry.name for entry in backup_dir.iterdir()} if backup_dir.exists() else set()
    number, candidate = 1, base
    while candidate in taken:
        number += 1
        candidate = f"{base}-{number}"
    return candidate


def list_backups(backup_dir: Path) -> list[Backup]:
    """Return every backup in the folder, newest first; those that cannot be used say why.

    A folder that does not exist holds none. Folders with other names are not ours.
    """
    with guarded("list the backups", backup_dir):
        if not backup_dir.exists():
            return []
        ids = [entry.name for entry in os.scandir(backup_dir) if _ID.fullmatch(entry.name)]
    return [_look_at(backup_dir / backup_id) for backup_id in sorted(ids, key=_order, reverse=True)]


def newest_good(backups: list[Backup], with_safety: bool = False) -> Backup | None:
    """Return the newest backup that has no known problem.

    What a restore kept of the state it replaced counts only ``with_safety``: else two restores of the newest
    backup in a row would bring back what the first one replaced.
    """
    usable = (backup for backup in backups if backup.problem is None)
    return next((backup for backup in usable if with_safety or not backup.is_safety), None)


def find(backup_dir: Path, wanted: str) -> Backup:
    """Return the backup with the id ``wanted``, or the newest usable one for ``latest``.

    Raise :class:`BadInput` for an impossible id, :class:`NotFound` when there is none such, and
    :class:`Damaged` when the one named cannot be used.
    """
    backups = list_backups(backup_dir)
    good = newest_good(backups)
    if wanted == LATEST:
        if good is None:
            raise NotFound("has no usable backup", path=backup_dir, hint="make one, or check backup_dir")
        return good
    check_id(wanted)
    found = next((backup for backup in backups if backup.id == wanted), None)
    newest = f"the newest usable one is {good.id}" if good else "it has no usable backup at all"
    if found is None:
        raise NotFound(f"has no backup {wanted}", path=backup_dir, hint=newest)
    if found.problem is not None:
        raise Damaged(f"backup {wanted} cannot be used: {found.problem}", path=found.path, hint=newest)
    return found


def tell(backup_dir: Path) -> Outcome:
    """Return all backups and the newest usable one as facts of an outcome."""
    backups = list_backups(backup_dir)
    good = newest_good(backups)
    return Outcome(
        facts={"backups": [backup.result() for backup in backups], "newest": good and good.result()}
    )


def _look_at(folder: Path) -> Backup:
    """Read what a folder says of itself, without reading the data."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise Damaged("is not a folder", path=folder)
        held = {entry.name for entry in folder.iterdir()}
        for name in _ARCHIVES.values():
            if name in held:
                return _look_at_encrypted(folder, name)
        if legacy.ARCHIVE in held:
            return _look_at_legacy(folder)
        return _look_at_plain(folder)
    except NotFound:
        return Backup(folder.name, folder, "plain", problem=f"has no {manifests.FILE_NAME}{_instead(folder)}")
    except RunbookError as exc:
        return Backup(folder.name, folder, "plain", problem=str(exc))


def _look_at_plain(folder: Path) -> Backup:
    known = manifests.read(folder / manifests.FILE_NAME)
    size = sum(_size_of(folder / name) for name in (known.state_db_file, known.owner_card_file))
    return Backup(
        folder.name,
        folder,
        "plain",
        known.created_at,
        size,
        known.state_db_sha256,
        known.name,
        known.method,
        known.verified_at,
        known.owner_card_sha256,
        known.content_sha256,
        manifest=known,
    )


def _look_at_encrypted(folder: Path, archive: str) -> Backup:
    """Without usable public facts an archive is a backup all the same: it holds the true ones."""
    size = _size_of(folder / archive)
    bare = Backup(folder.name, folder, "encrypted", _instant_of(folder.name), size, archive_name=archive)
    try:
        known = sidecars.read(folder)
    except NotFound:
        return replace(bare, note=f"{sidecars.FILE_NAME} is missing")
    except Damaged as exc:
        return replace(bare, note=str(exc))
    if (known.id, known.archive) != (folder.name, archive):
        return replace(bare, note=f"{sidecars.FILE_NAME} belongs to backup {known.id}")
    return replace(
        bare,
        created_at=known.created_at,
        sha256=known.archive_sha256,
        name=known.name,
        method=known.method,
        verified_at=known.verified_at,
        owner_card_sha256=known.owner_card_sha256,
        content_sha256=known.content_sha256,
        sidecar=known,
        key_ids=tuple(known.key_ids),
    )


def _look_at_legacy(folder: Path) -> Backup:
    key_id = _word(folder / legacy.KEY_ID_FILE)
    return Backup(
        folder.name,
        folder,
        "legacy",
        _instant_of(folder.name),
        _size_of(folder / legacy.ARCHIVE),
        _word(folder / legacy.SUM_FILE),
        archive_name=legacy.ARCHIVE,
        key_ids=(key_id,) if key_id else (),
    )


def _word(path: Path) -> str | None:
    """Return the first word of a small file of the shell runbook, or ``None`` when there is none."""
    try:
        words = files.read_bounded(path, _MAX_WORD_FILE).decode("ascii", "replace").split()
    except NotFound:
        return None
    if not words:
        raise Damaged("is empty", path=path)
    return words[0]


def _instant_of(backup_id: str) -> str | None:
    """Return the instant that an id names, for backups that tell no other."""
    instant = times.of_id(_order(backup_id)[0])
    return None if instant is None else times.to_text(instant)


def _size_of(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise Damaged("is missing", path=path) from None
    if not stat.S_ISREG(found.st_mode):
        raise Damaged("is not a regular file", path=path)
    return found.st_size


def _instead(folder: Path) -> str:
    held = sorted(entry.name for entry in folder.iterdir())[:5]
    return f" (it holds {', '.join(held)})" if held else " (it is empty)"
