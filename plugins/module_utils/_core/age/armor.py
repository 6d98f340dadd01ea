# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text form of age files: strict PEM (RFC 7468, figure 3; C2SP age, "ASCII armor").

Accepted beyond it: LF or CRLF, no line end after the last line, a little white space around the block.
"""

from __future__ import annotations

import base64
import binascii
import io

from ..errors import AnyPath, from_os_error
from .encoding import Buffer
from .failures import ArmorFailure
from .header import Source
from .payload import Sink, put

BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_LINE_BYTES = 48
_MAX_SPACE = 1024
_LONGEST_LINE = 128
_WHITE = b" \t\r\n"


class ArmorReader(io.RawIOBase):
    """The bytes of an armored file; wrap it by :func:`dearmor`, which reads lines and sizes."""

    def __init__(self, source: Source, path: AnyPath | None) -> None:
        super().__init__()
        self._source = source
        self._path = path
        self._ready = b""
        self._state = "outside"
        self._failure: ArmorFailure | None = None

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is 3.12's
        """Fill ``buffer`` with decoded bytes; raise :class:`ArmorFailure`, then again on every call."""
        if self._failure is not None:
            raise self._failure
        parts, wanted = [self._ready], len(buffer)
        got = len(self._ready)
        while got < wanted and self._state != "end":
            part = self._next_part()
            parts.append(part)
            got += len(part)
        data = b"".join(parts)
        self._ready = data[wanted:]
        filled = min(got, wanted)
        buffer[:filled] = data[:filled]
        return filled

    def _next_part(self) -> bytes:
        if self._state == "outside":
            self._find_begin()
            self._state = "body"
        line = self._line()
        if line == END:
            self._find_only_space()
            self._state = "end"
            return b""
        if self._state == "last":
            raise self._broken("a line follows a short one")
        data = self._decoded(line)
        if len(data) < _LINE_BYTES:
            self._state = "last"
        return data

    def _decoded(self, line: bytes) -> bytes:
        try:
            data = base64.b64decode(line, validate=True)
        except binascii.Error:
            data = b""
        if not data or len(line) > _COLUMNS or base64.b64encode(data) != line:
            raise self._broken("a line is empty, too long or no canonical base64")
        return data

    def _find_begin(self) -> None:
        left = _MAX_SPACE
        while left > 0:
            raw = self._raw_line()
            if raw.strip(_WHITE):
                break
            left -= len(raw) or left
        if _without_end(raw) != BEGIN:
            raise self._broken("its first line is wrong")

    def _find_only_space(self) -> None:
        rest = self._read(_MAX_SPACE + 1)
        if rest.strip(_WHITE) or len(rest) > _MAX_SPACE:
            raise self._broken("something follows its last line")

    def _line(self) -> bytes:
        raw = self._raw_line()
        line = _without_end(raw)
        if line == raw and raw != END:
            raise self._broken("it is cut off or a line is too long")
        return line

    def _raw_line(self) -> bytes:
        try:
            return self._source.readline(_LONGEST_LINE)
        except OSError as exc:
            raise from_os_error(exc, "read", self._path) from exc

    def _read(self, size: int) -> bytes:
        data = b""
        try:
            while len(data) < size and (part := self._source.read(size - len(data))):
                data += part
        except OSError as exc:
            raise from_os_error(exc, "read", self._path) from exc
        return data

    def _broken(self, why: str) -> ArmorFailure:
        self._failure = ArmorFailure(
            f"the armor is not strict: {why}", path=self._path, hint="take another copy of the file"
        )
        return self._failure


def _without_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith(b"\n") else raw


def dearmor(source: Source, path: AnyPath | None = None) -> io.BufferedReader:
    """Return the binary age file that the armored ``source`` spells, to be read like any other.

    Reading raises :class:`ArmorFailure`. ``path`` is for messages. ``source`` is left open.
    """
    return io.BufferedReader(ArmorReader(source, path), 64 * 1024)


class ArmorWriter:
    """A sink that writes the text form to another one; :meth:`finish` ends it, once the age file is whole."""

    def __init__(self, sink: Sink, path: AnyPath | None = None) -> None:
        self._sink = sink
        self._path = path
        self._held = b""
        put(sink, BEGIN + b"\n", path)

    def write(self, data: Buffer) -> int:
        """Take ``data``; return its length in bytes."""
        held = self._held + bytes(data)
        whole = len(held) - len(held) % _LINE_BYTES
        self._held = held[whole:]
        self._put_lines(held[:whole])
        return len(data)

    def finish(self) -> None:
        """Write what is left and the last line."""
        self._put_lines(self._held)
        put(self._sink, END + b"\n", self._path)

    def _put_lines(self, data: bytes) -> None:
        lines = (data[start : start + _LINE_BYTES] for start in range(0, len(data), _LINE_BYTES))
        put(self._sink, b"".join(base64.b64encode(line) + b"\n" for line in lines), self._path)
