# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing an archive in one pass: tar, compression and age, from the live database to the final file.

No plaintext touches the disk and there is no second copy. Three threads overlap: reading and hashing,
compression, and encryption with writing; SQLite checks the same state in a fourth.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Callable

from .. import files, times
from ..age.envelope import Recipient
from ..age.sealed import Writer
from ..errors import guarded
from ..manifest import FILE_NAME, OWNER_CARD_FILE, STATE_DB_FILE, Manifest
from ..still import Digests, Still
from . import members
from .compression import SUFFIXES, Compressor
from .pump import Aside, Pump

# SQLite's check while the bytes are read; the manifest records it, and the hash vouches for it later.
INTEGRITY = "quick"


@dataclass(frozen=True)
class Written:
    """What an archive turned out to be: SHA-256 and size in bytes of the ciphertext, and its manifest."""

    sha256: str
    size: int
    manifest: Manifest


def file_name(compression: str) -> str:
    """Return the name of an archive with that compression."""
    return f"backup.tar.{SUFFIXES[compression]}.age"


class Sealed:
    """The last stage: encrypts to recipients, hashes and counts the ciphertext, writes it to a file."""

    def __init__(self, out: BinaryIO, recipients: Sequence[Recipient], path: Path) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self.size = 0
        self._writer = Writer(recipients, _Tee(self._take), path)

    def _take(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)
        self.size += len(data)

    def write(self, data: bytes) -> None:
        """Encrypt the next bytes."""
        self._writer.write(data)

    def finish(self) -> None:
        """Write what makes the file whole."""
        self._writer.finish()

    @property
    def sha256(self) -> str:
        """SHA-256 of the ciphertext so far, in hex."""
        return self._digest.hexdigest()


class _Tee:
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def write(self, data: bytes, /) -> None:
        self._take(data)


def write(
    still: Still,
    card: bytes,
    made: Callable[[Digests], Manifest],
    target: Path,
    owner: files.Owner,
    recipients: Sequence[Recipient],
    compression: str,
) -> Written:
    """Write the archive of a database held still and of an OwnerCard to ``target``, which must not exist.

    ``made`` gives the manifest once the database's digests are known: it is the last member. ``compression``
    is ``zstd`` or ``gzip``. The file is durable when this returns; the caller removes it when this raises,
    which it also does when SQLite finds the database unsound.
    """
    now = times.now()
    with guarded("write", target), os.fdopen(files.open_new(target, 0o600, owner), "wb") as out:
        sealed = Sealed(out, recipients, target)
        with (
            _checked(still) as check,
            Pump(sealed) as encrypting,
            Pump(Compressor(compression, encrypting)) as compressing,
        ):
            manifest = made(_write_database(still, compressing, now))
            for name, data in ((OWNER_CARD_FILE, card), (FILE_NAME, manifest.to_json())):
                compressing.write(members.header(name, len(data), now.timestamp()))
                compressing.write(data + members.padding(len(data)))
            compressing.write(members.END)
            compressing.finish()
            check.result()
        out.flush()
        os.fsync(out.fileno())
    return Written(sealed.sha256, sealed.size, manifest)


def _write_database(still: Still, out: Pump, now: datetime) -> Digests:
    digests = Digests(still)
    out.write(members.header(STATE_DB_FILE, still.size, now.timestamp()))
    for chunk in still.chunks:
        digests.update(chunk)
        out.write(chunk)
    out.write(members.padding(still.size))
    return digests


@contextmanager
def _checked(still: Still) -> Iterator[Aside]:
    """Let SQLite check the state in a thread meanwhile; the check is stopped when anything else fails."""
    check = Aside(lambda: still.check(INTEGRITY))
    try:
        yield check
    except BaseException:
        while not check.over:
            still.connection.interrupt()
            time.sleep(0.02)
        raise
