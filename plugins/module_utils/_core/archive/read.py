# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading an archive back: authenticated, bounded, and believed only when everything in it agrees.

Nothing is extracted by name. The database goes where the caller says, and the caller may use it only after
:func:`read` has returned: until then the rest of the archive is neither authenticated nor compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from .. import documents, files, manifest, owner_card, sqlite
from ..errors import Damaged
from ..manifest import FILE_NAME, OWNER_CARD_FILE, STATE_DB_FILE, Manifest
from . import members
from .compression import decompressed
from .pump import Pump, ahead

Write = Callable[[bytes], object]
# Given the database's size in bytes before its first byte comes; returns what takes the bytes, or None.
Keep = Callable[[int], Optional[Write]]


@dataclass(frozen=True)
class Contents:
    """What an archive proved to hold; ``size`` is the database's, in bytes."""

    manifest: Manifest
    card: bytes
    size: int


class _Hash:
    """A stage that hashes what it is given."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._digest.update(data)

    def finish(self) -> None:
        """There is nothing to finish."""

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def read(
    compression: str, chunks: Iterator[bytes], path: Path, most: int, keep: Keep | None = None
) -> Contents:
    """Read a whole decrypted archive and return what it holds.

    ``chunks`` must raise when they are not authentic to their end. ``most`` bounds the database's size in
    bytes; ``path`` is for messages. Raise :class:`Damaged` for anything that is not as it must be.
    """
    limits = {
        STATE_DB_FILE: most,
        OWNER_CARD_FILE: owner_card.MAX_BYTES,
        FILE_NAME: documents.MAX_BYTES,
    }
    small: dict[str, bytes] = {}
    found, size = "", 0
    with ahead(chunks) as coming:
        for member in members.members(decompressed(compression, coming, path), limits, path):
            if member.name == STATE_DB_FILE:
                found, size = _take_database(member, path, keep), member.size
            else:
                small[member.name] = b"".join(member.data)
        # Only an end that came by itself is an authentic one.
        for _left in coming:
            raise Damaged("the archive goes on after its end", path=path, hint="use another backup")
    missing = sorted(set(limits) - {*small, *([STATE_DB_FILE] if found else [])})
    if missing:
        raise Damaged(f"the archive lacks {', '.join(missing)}", path=path, hint="use another backup")
    facts = manifest.parse(small[FILE_NAME], path / FILE_NAME)
    card = small[OWNER_CARD_FILE]
    _compare(facts, found, files.sha256_hex(card), path)
    owner_card.parse(card, path / OWNER_CARD_FILE)
    return Contents(facts, card, size)


def _take_database(member: members.Member, path: Path, keep: Keep | None) -> str:
    write = keep(member.size) if keep else None
    first = b""
    while len(first) < sqlite.HEADER_BYTES and (piece := next(member.data, b"")):
        first += piece
    sqlite.page_size_of(first[: sqlite.HEADER_BYTES], path / STATE_DB_FILE)
    digest = _Hash()
    with Pump(digest) as hashing:
        for piece in _after(first, member.data):
            hashing.write(piece)
            if write is not None:
                write(piece)
        hashing.finish()
    return digest.hexdigest()


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _compare(facts: Manifest, state_db: str, card: str, path: Path) -> None:
    if (facts.state_db_file, facts.owner_card_file) != (STATE_DB_FILE, OWNER_CARD_FILE):
        raise Damaged("the manifest names other files than the archive holds", path=path)
    for name, found, wanted in (
        (STATE_DB_FILE, state_db, facts.state_db_sha256),
        (OWNER_CARD_FILE, card, facts.owner_card_sha256),
    ):
        if found != wanted:
            raise Damaged(
                f"{name} in it has SHA-256 {found}, its manifest says {wanted}",
                path=path,
                hint="use another backup",
            )
