# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole age files, written and read as streams: the engine's door to the format.

``age -d`` opens what :class:`Writer` makes, and :class:`Reader` what ``age -r`` makes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import AnyPath
from . import keys
from .encoding import Buffer
from .envelope import Identity, Recipient, open_header, seal_header
from .header import FileKey, Source, read_header
from .payload import PayloadReader, PayloadWriter, Sink, put


class Writer:
    """Encrypts a stream to recipients. ``header`` is what was written first; the sink is left open."""

    def __init__(
        self, recipients: Sequence[Recipient | str], sink: Sink, path: AnyPath | None = None
    ) -> None:
        """Write the header for ``recipients``: objects, or public keys in their ``age1...`` form.

        ``path`` is for messages. Raise :class:`BadKey` before anything is written, or what an ``OSError`` of
        the sink means.
        """
        file_key = FileKey.generate()
        self.header = seal_header(file_key, [_recipient(item) for item in recipients])
        put(sink, self.header.encode(), path)
        self._payload = PayloadWriter(file_key, sink, path)

    def write(self, data: Buffer) -> int:
        """Encrypt ``data``; return its length in bytes. See :meth:`PayloadWriter.write`."""
        return self._payload.write(data)

    def finish(self) -> None:
        """Write what makes the file whole. Without it every reader refuses the file as cut off."""
        self._payload.finish()


class Reader:
    """Iterates over the authenticated plaintext of an age file, in chunks of at most 64 KiB.

    See :class:`PayloadReader` for what iterating raises; the file is whole only if it ends by itself.
    """

    def __init__(self, source: Source, identities: Sequence[Identity], path: AnyPath | None = None) -> None:
        """Read and authenticate the header; raise what :func:`read_header` and :func:`open_header` raise."""
        self.header = read_header(source, path)
        self._payload = PayloadReader(open_header(self.header, identities, path), source, path)

    def __iter__(self) -> PayloadReader:
        return self._payload


def _recipient(item: Recipient | str) -> Recipient:
    return keys.parse_recipient(item) if isinstance(item, str) else item
