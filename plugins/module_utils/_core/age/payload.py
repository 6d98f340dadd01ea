# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The encrypted data of an age file: chunks of 64 KiB, each authenticated (C2SP age, "Payload").

Memory is that of one chunk, in both directions. Whoever reads gets nothing of a chunk before the whole chunk
is authenticated; that the data end where they should is known only when the iteration ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional, Protocol

from ..errors import AnyPath, RunbookError, from_os_error
from .encoding import Buffer
from .failures import HeaderFailure, PayloadFailure
from .header import FileKey, Source
from .primitives import TAG_BYTES, Cipher, random_bytes

CHUNK_BYTES = 64 * 1024
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
NONCE_BYTES = 16
_MORE, _LAST = b"\0", b"\1"


class Sink(Protocol):
    """What age files are written to: a blocking file, buffered or raw, or any object with its ``write``."""

    def write(self, data: bytes, /) -> Optional[int]:  # noqa: UP045 - evaluated by Python 3.9
        """Write some or all of ``data``; return how many bytes, or ``None`` for all."""


class PayloadWriter:
    """Encrypts what is written to it; :meth:`finish` makes the payload whole. The sink is left open."""

    def __init__(self, file_key: FileKey, sink: Sink, path: AnyPath | None = None) -> None:
        """Write the payload's nonce. ``path`` is for messages."""
        self._sink = sink
        self._path = path
        self._held = bytearray()
        self._count = 0
        nonce = random_bytes(NONCE_BYTES)
        self._cipher: Cipher | None = Cipher(file_key.payload_key(nonce))
        put(sink, nonce, path)

    def write(self, data: Buffer) -> int:
        """Encrypt ``data`` and return how many bytes that were. At most 64 KiB wait for the next call.

        Raise what an ``OSError`` of the sink means; nothing can be written after any exception.
        """
        view = memoryview(data).cast("B")
        size, start, held = len(view), 0, self._held
        if held:
            start = min(CHUNK_BYTES - len(held), size)
            held += view[:start]
            if start == size:
                return size  # a full chunk waits too: it may turn out to be the last
            self._seal(held, _MORE)
            self._held = held = bytearray()
        while size - start > CHUNK_BYTES:
            self._seal(view[start : start + CHUNK_BYTES], _MORE)
            start += CHUNK_BYTES
        held += view[start:]
        return size

    def finish(self) -> None:
        """Write the last chunk, which is empty only if nothing was written."""
        self._seal(self._held, _LAST)
        self._cipher = None

    def _seal(self, plain: Buffer, mark: bytes) -> None:
        cipher, self._cipher = self._cipher, None  # given back only when the chunk is written
        if cipher is None:
            raise PayloadFailure(
                "is finished or failed before; nothing can be written to it", path=self._path
            )
        put(self._sink, cipher.seal(_nonce(self._count, mark), plain), self._path)
        self._count += 1
        self._cipher = cipher


class PayloadReader:
    """Iterates over the authenticated plaintext, in chunks of at most 64 KiB, none of them empty.

    Raises :class:`PayloadFailure`, or what an ``OSError`` of the source means; after an exception every
    further step raises, so that a broken payload never looks like one that came to its end.
    """

    def __init__(self, file_key: FileKey, source: Source, path: AnyPath | None = None) -> None:
        """Read the payload's nonce; raise :class:`HeaderFailure` when there is none."""
        self._source = source
        self._path = path
        self._failure: RunbookError | None = None
        nonce = self._take(NONCE_BYTES)
        if len(nonce) != NONCE_BYTES:
            raise HeaderFailure(
                "ends before the encrypted data begin", path=path, hint="take another copy of the file"
            )
        self._cipher = Cipher(file_key.payload_key(nonce))
        self._chunks = self._open_all()

    def __iter__(self) -> PayloadReader:
        return self

    def __next__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except RunbookError as exc:
            self._failure = exc
            raise
        except BaseException:
            self._failure = PayloadFailure("was not read to its end", path=self._path)
            raise

    def _open_all(self) -> Iterator[bytes]:
        count, last = 0, False
        while not last:
            sealed = self._take(_SEALED_BYTES)
            last = len(sealed) < _SEALED_BYTES
            plain = None if last else self._cipher.open(_nonce(count, _MORE), sealed)
            if plain is None:
                last = True
                plain = self._open_last(count, sealed)
            if plain:
                yield plain
            count += 1
        if self._take(1):
            raise self._broken("go on after their last chunk")

    def _open_last(self, count: int, sealed: bytes) -> bytes:
        if len(sealed) < TAG_BYTES:
            raise self._broken(f"are cut off in chunk {count}")
        plain = self._cipher.open(_nonce(count, _LAST), sealed)
        if plain is None:
            raise self._broken(f"were changed or cut off in chunk {count}")
        if count and not plain:
            raise self._broken("end in an empty chunk")
        return plain

    def _take(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end, also from a source that gives less at a time."""
        try:
            data = self._source.read(size)
            if not data or len(data) == size:
                return data
            parts, got = [data], len(data)
            while got < size and (data := self._source.read(size - got)):
                parts.append(data)
                got += len(data)
        except OSError as exc:
            raise from_os_error(exc, "read", self._path) from exc
        return b"".join(parts)

    def _broken(self, how: str) -> PayloadFailure:
        return PayloadFailure(
            f"the encrypted data {how}", path=self._path, hint="take another copy of the file"
        )


def put(sink: Sink, data: bytes, path: AnyPath | None) -> None:
    """Write all of ``data``, also to a raw file that takes a part at a time."""
    try:
        written = sink.write(data)
        while written is not None and written < len(data):
            data = data[written:]
            written = sink.write(data)
    except OSError as exc:
        raise from_os_error(exc, "write", path) from exc


def _nonce(count: int, mark: bytes) -> bytes:
    return count.to_bytes(11, "big") + mark
