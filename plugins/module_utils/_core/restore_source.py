# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore takes its data from: a backup proved good, its database in a file that SQLite can open.

A plain backup is used where it lies. An archive is opened beside the database it will replace, which is the
only place where its plaintext ever touches the disk, and where it is about to go anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Optional

from . import files, owner_card, sqlite
from .archive.pump import Pump
from .archive.read import Write
from .catalogue import Backup
from .errors import Unsupported, guarded
from .node import Node
from .opening import Keys, Proof, read_archive
from .verify import INTEGRITY, content_of, read_into_memory, verify

_SPARE_BYTES = 1 << 20
Rows = Optional[dict[str, int]]


@dataclass(frozen=True)
class Source:
    """A backup proved good. ``database`` is ``None`` when it was only looked at, and ``counted`` then holds
    the rows of each table if there was room to count them; ``content`` is the content digest, if known."""

    backup: Backup
    card: bytes
    content: str | None
    database: Path | None = None
    counted: Rows = None

    @property
    def rows(self) -> Rows:
        """The number of rows of each of the station's tables, or ``None`` when it is not known."""
        return self.counted if self.database is None else count_rows(self.database)

    @property
    def ready(self) -> Path:
        """The database's file; only a source that was prepared for writing has one."""
        if self.database is None:
            raise Unsupported("was looked at only", path=self.backup.path)
        return self.database


def looked_at(backup: Backup, keys: Keys, integrity: str) -> Source:
    """Prove a backup good and say what it holds, without writing anything."""
    if backup.kind == "plain":
        return _plain(backup, keys, integrity)
    try:
        with ExitStack() as stack:
            proof, space = read_into_memory(backup, keys, stack)
            place = backup.archive / "state.db"
            sqlite.require_state(space.connection, place)
            sqlite.require_sound(space.connection, place, integrity)
            rows: Rows = sqlite.row_counts(space.connection)
    except Unsupported:
        # No room in memory: the hashes have to do, and the rows stay uncounted.
        verify(backup, keys, integrity)
        proof, rows = read_archive(backup, keys), None
    return Source(backup, proof.contents.card, proof.contents.manifest.content_sha256, counted=rows)


@contextmanager
def prepared(node: Node, backup: Backup, keys: Keys, integrity: str) -> Iterator[Source]:
    """Prove a backup good and give its database as a file; what was made for that goes again at the end."""
    if backup.kind == "plain":
        yield _plain(backup, keys, integrity)
        return
    staged = files.staged_path(node.state_db)
    try:
        proof = _unpack(node, backup, keys, staged)
        recorded = proof.contents.manifest.integrity
        if integrity == "full" or recorded not in INTEGRITY:
            sqlite.check_still(staged, integrity)
        content = proof.contents.manifest.content_sha256 or sqlite.digests_of(staged)[1]
        yield Source(backup, proof.contents.card, content, staged)
    finally:
        files.remove(staged)


def _plain(backup: Backup, keys: Keys, integrity: str) -> Source:
    verify(backup, keys, integrity)
    card = owner_card.read(backup.owner_card)
    return Source(backup, card, content_of(backup), backup.state_db)


def count_rows(database: Path) -> dict[str, int]:
    """Return how many rows each of the station's tables has in a database that nobody writes."""
    with sqlite.speaking("count rows", database):
        connection = sqlite.connect_still(database)
        try:
            return sqlite.row_counts(connection)
        finally:
            connection.close()


def _unpack(node: Node, backup: Backup, keys: Keys, staged: Path) -> Proof:
    """Write an archive's database to ``staged``, durably; it counts only when this returns."""
    owner = node.owner()
    files.make_folder(staged.parent, 0o755, owner)
    with ExitStack() as stack:
        writing: list[Pump] = []

        def keep(size: int) -> Write:
            files.require_room(staged.parent, size + _SPARE_BYTES)
            files.remove(staged)
            out = stack.enter_context(os.fdopen(files.open_new(staged, 0o600, owner), "wb", files.CHUNK))
            # The disk takes its time; decompression goes on meanwhile.
            writing.append(stack.enter_context(Pump(_Into(out))))
            return writing[-1].write

        with guarded("write", staged):
            proof = read_archive(backup, keys, keep)
            writing[-1].finish()
            stack.close()
            _sync(staged)
    return proof


class _Into:
    """The last stage: a file."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes, /) -> None:
        self._out.write(data)

    def finish(self) -> None:
        self._out.flush()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
