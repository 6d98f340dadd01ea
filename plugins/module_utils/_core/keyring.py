# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a node: age identity files that stock ``age -i`` reads, and those of the shell runbook.

A key's id is written inside its file, so that key and id change in one step. Every key lies in ``archive/``
from its birth; ``current.key`` is a copy of the one in use, ``current.key.id`` is for the shell runbook's
tools only and nothing here relies on it. A key says which one it follows, so that a run that was killed
before it took its key into use can be told from an operator's choice and from a clock that went back.
"""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import files, times
from .age import keys as age_keys
from .age.hybrid import HybridIdentity
from .age.x25519 import X25519Identity
from .archive.legacy import Passphrase
from .archive.sidecar import KEY_ID
from .errors import BadInput, Damaged, NotFound, RunbookError, Unsafe, guarded
from .manifest import ID
from .node import Node

CURRENT = "current.key"
CURRENT_ID = "current.key.id"
ARCHIVE = "archive"
SUFFIX = ".key"
_MAX_KEYS = 4096
_OUR_ID = re.compile(rb"^# vvtv\.runbook key (\S+)$", re.MULTILINE)
_FOLLOWS = re.compile(rb"^# follows: (\S+)$", re.MULTILINE)
_CREATED = re.compile(rb"^# created: (\S+)$", re.MULTILINE)
_LEGACY_LINE = re.compile(rb"[!-~][ -~]{7,1022}")
# How age's own files begin, encrypted ones too: no such line is a key of the shell runbook.
_AGE_STARTS = (b"#", b"AGE-SECRET-KEY-", b"age-encryption.org/", b"-----BEGIN AGE ")
_SECONDS_PER_DAY = 86400


@dataclass(frozen=True)
class Key:
    """One key. ``identity`` is age's; a key of the shell runbook has none.

    ``passphrase`` is what the shell runbook's tools take from the file, whichever kind it is: they go on
    encrypting with the first line of the current one after we have adopted the keyring. ``follows`` is the
    fingerprint of the key that it was made to succeed.
    """

    id: str
    path: Path
    created_at: datetime
    identity: X25519Identity | HybridIdentity | None = None
    passphrase: Passphrase | None = None
    follows: str | None = None

    @property
    def kind(self) -> str:
        """``age`` or ``legacy``."""
        return "age" if self.identity is not None else "legacy"

    @property
    def recipient(self) -> str | None:
        """The public key; a key of the shell runbook has none."""
        return None if self.identity is None else str(self.identity.recipient)

    @property
    def fingerprint(self) -> str:
        """What may be shown and compared: the public key, or a hash of the passphrase."""
        return self.recipient or (self.passphrase.fingerprint() if self.passphrase else "")

    def age_days(self, now: datetime) -> float:
        """How many days old it is."""
        return (now - self.created_at).total_seconds() / _SECONDS_PER_DAY

    def result(self, now: datetime) -> dict[str, Any]:
        """Return what modules show of a key: never the key."""
        return {
            "id": self.id,
            "kind": self.kind,
            "recipient": self.recipient,
            "created_at": times.to_text(self.created_at),
            "age_days": round(self.age_days(now), 2),
        }


@dataclass(frozen=True)
class Keyring:
    """All keys of a node. ``archived`` is newest first and holds the current one too once it is archived.

    ``problems`` says which files are no keys; they are left alone.
    """

    folder: Path
    current: Key | None = None
    archived: tuple[Key, ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def archive(self) -> Path:
        """The folder that holds every key."""
        return self.folder / ARCHIVE

    @property
    def keys(self) -> list[Key]:
        """Every key once, the current one first, then newest first."""
        found = [] if self.current is None else [self.current]
        known = {key.fingerprint for key in found}
        for key in self.archived:
            if key.fingerprint not in known:
                known.add(key.fingerprint)
                found.append(key)
        return found

    @property
    def successor(self) -> Key | None:
        """The archived key that should be in use: one that follows the current key, or the newest if none is.

        There is one only after a run was killed between making a key and taking it into use.
        """
        after = None if self.current is None else self.current.fingerprint
        known = [key for key in self.archived if key.kind == "age"]
        return next((key for key in known if after is None or key.follows == after), None)


def read(node: Node) -> Keyring:
    """Read a node's keys; a folder that does not exist holds none.

    Raise :class:`Unsafe` when others can use folder or files, with the command that mends it, and
    :class:`Damaged` when the current key is none.
    """
    folder, owner = node.key_dir, node.owner()
    with guarded("look for the keys", folder):
        if not folder.exists():
            return Keyring(folder)
    _require_private(folder, owner, 0o700)
    archive = folder / ARCHIVE
    archived, problems = _read_archive(archive, owner)
    current = folder / CURRENT
    found = _read_current(current, archived, owner) if _present(current) else None
    return Keyring(folder, found, tuple(archived), tuple(problems))


def _present(path: Path) -> bool:
    with guarded("look for the keys", path):
        return path.is_symlink() or path.exists()


def _read_archive(archive: Path, owner: files.Owner) -> tuple[list[Key], list[str]]:
    if not _present(archive):
        return [], []
    _require_private(archive, owner, 0o700)
    with guarded("list the keys", archive):
        paths = sorted(path for path in archive.iterdir() if path.suffix == SUFFIX and path.name[0] != ".")
    if len(paths) > _MAX_KEYS:
        raise Damaged(f"holds more than {_MAX_KEYS} keys", path=archive)
    found: list[Key] = []
    problems = []
    for path in paths:
        try:
            _require_private(path, owner, 0o600)
            found.append(_read_key(path, path.stem))
        except NotFound:
            continue  # pruned since the folder was listed
        except (Damaged, BadInput) as exc:
            problems.append(str(exc))
    return sorted(found, key=lambda key: (key.created_at, key.id), reverse=True), problems


def _read_current(path: Path, archived: list[Key], owner: files.Owner) -> Key:
    _require_private(path, owner, 0o600)
    taken = {other.stem for other in _files(path.with_name(ARCHIVE))}
    try:
        key = _read_key(path, _recorded_id(path.with_name(CURRENT_ID)), taken)
    except BadInput as exc:
        raise Damaged(
            f"is no key: {exc.msg}", path=path, hint=f"move it away; a new one is made, {ARCHIVE}/ is kept"
        ) from exc
    # What is archived under the key itself is right, whatever id a shell tool left beside it.
    same = [known for known in archived if known.fingerprint == key.fingerprint]
    return replace(same[0], path=path) if same else key


def _recorded(path: Path) -> str:
    try:
        return files.read_bounded(path, 256).decode("ascii", "replace").strip()
    except RunbookError:
        return ""


def _recorded_id(path: Path) -> str:
    text = _recorded(path)
    return text if ID.fullmatch(text) else ""


def _read_key(path: Path, named: str, taken: Collection[str] = ()) -> Key:
    """Read one key file; ``named`` is the id that its surroundings give it, or nothing.

    A key that does not say its own id gets one that is not ``taken``: it will be archived under that.
    """
    data = files.read_bounded(path, age_keys.MAX_FILE_BYTES)
    with guarded("read the age", path):
        written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    first = data.split(b"\n", 1)[0]
    if first.startswith(_AGE_STARTS):
        identities = age_keys.parse_identities(data, path)
        if len(identities) != 1:
            raise BadInput("holds more than one identity", path=path, hint="one key a file")
        created = _instant(_CREATED.search(data)) or _instant_of_id(named) or written
        inside, follows = _OUR_ID.search(data), _FOLLOWS.search(data)
        return Key(
            _id(inside[1].decode("ascii", "replace"), created)
            if inside
            else _free(_id(named, created), taken),
            path,
            created,
            identities[0],
            Passphrase.of_file(data),
            follows=follows[1].decode("ascii", "replace") if follows else None,
        )
    if not _LEGACY_LINE.fullmatch(first):
        raise BadInput("is neither an age identity nor a key of the shell runbook", path=path)
    created = _instant_of_id(named) or written
    return Key(_free(_id(named, created), taken), path, created, passphrase=Passphrase.of_file(data))


def _free(base: str, taken: Collection[str]) -> str:
    """Return ``base`` or the first of ``base-2``, ``base-3`` and so on that is not taken."""
    number, found = 1, base
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    return found


def _id(found: str, created: datetime) -> str:
    return found if KEY_ID.fullmatch(found) else times.to_id(created)


def _instant(found: re.Match[bytes] | None) -> datetime | None:
    try:
        return times.parse(found[1].decode("ascii", "replace")) if found else None
    except BadInput:
        return None


def _instant_of_id(text: str) -> datetime | None:
    found = ID.fullmatch(text)
    return times.of_id(found[1]) if found else None


def _require_private(path: Path, owner: files.Owner, mode: int) -> None:
    with guarded("look at the keys", path):
        found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise Unsafe("is a symbolic link; keys are kept as what they are", path=path, hint="replace the link")
    if found.st_uid != owner.uid:
        raise Unsafe(
            f"belongs to uid {found.st_uid}, not to the service user (uid {owner.uid})",
            path=path,
            hint=f"run: chown -R {owner.uid}:{owner.gid} {shlex.quote(str(path))}",
        )
    if found.st_mode & 0o077:
        raise Unsafe(
            f"can be used by others: its mode is {stat.S_IMODE(found.st_mode):04o}",
            path=path,
            hint=f"run: chmod {mode:o} {shlex.quote(str(path))}",
        )


# --- writing; the caller holds the node's lock ---


def make(node: Node, keyring: Keyring, now: datetime, created: datetime) -> Key:
    """Make a new key and archive it; it is not in use yet. Its id is no other key's.

    The id comes from ``now``; its age is counted from ``created``.
    """
    taken = {key.id for key in keyring.keys} | {path.stem for path in _files(keyring.archive)}
    key_id = _free(times.to_id(now), taken)
    identity = X25519Identity.generate()
    comments = [f"vvtv.runbook key {key_id}", f"created: {times.to_text(created)}"]
    if keyring.current is not None:
        comments.append(f"follows: {keyring.current.fingerprint}")
    path = keyring.archive / f"{key_id}{SUFFIX}"
    _write(node, path, age_keys.render_identities([identity], comments))
    return Key(key_id, path, created, identity)


def archive_current(node: Node, keyring: Keyring) -> Path | None:
    """Archive the current key if it is not yet; return where, or ``None``. No other file is replaced."""
    key = keyring.current
    if key is None or any(known.fingerprint == key.fingerprint for known in keyring.archived):
        return None
    key_id = _free(key.id, {path.stem for path in _files(keyring.archive)})
    path = keyring.archive / f"{key_id}{SUFFIX}"
    _write(node, path, files.read_bounded(key.path, age_keys.MAX_FILE_BYTES))
    return path


def use(node: Node, keyring: Keyring, key: Key) -> None:
    """Make an archived key the current one."""
    _write(node, keyring.folder / CURRENT, files.read_bounded(key.path, age_keys.MAX_FILE_BYTES))
    write_id(node, keyring, key.id)


def write_id(node: Node, keyring: Keyring, key_id: str) -> None:
    """Write the id that the shell runbook's tools look at."""
    _write(node, keyring.folder / CURRENT_ID, f"{key_id}\n".encode())


def id_is_recorded(keyring: Keyring) -> bool:
    """Return whether the shell runbook's tools would find the current key's id."""
    return keyring.current is None or _recorded(keyring.folder / CURRENT_ID) == keyring.current.id


def leftovers(node: Node) -> list[Path]:
    """Return what killed runs prepared in the keyring and never put in place."""
    return [path for folder in (node.key_dir, node.key_dir / ARCHIVE) for path in files.staged_in(folder)]


def _write(node: Node, path: Path, data: bytes) -> None:
    owner = node.owner()
    files.make_folder(path.parent, 0o700, owner)
    files.replace(path, data, 0o600, owner)


def _files(folder: Path) -> list[Path]:
    with guarded("list the keys", folder):
        return list(folder.iterdir()) if folder.exists() else []
