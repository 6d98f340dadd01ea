# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The header of an age file: its grammar, its key, its MAC (C2SP age, "Header").

Parsing is as strict as the specification, so that a header has one spelling only: what was read encodes to
the same bytes. Sizes are bounded, since a header is read before anything of it is authenticated.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..errors import AnyPath, from_os_error
from . import encoding
from .failures import HeaderFailure
from .primitives import derive, random_bytes

FILE_KEY_BYTES = 16
MAX_HEADER_BYTES = 256 * 1024
MAX_STANZAS = 512
_FAMILY = b"age-encryption.org/"
_VERSION = _FAMILY + b"v1"
_ARGUMENTS = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)")
_MAC_BYTES = 32
_COLUMNS = 64


class Source(Protocol):
    """What age files are read from: a file opened ``rb``, a pipe, ``BytesIO``."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, no more than to the end of the line."""


class FileKey:
    """The 16 random bytes that one file is encrypted with. Never shown."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != FILE_KEY_BYTES:
            raise ValueError(f"a file key has {FILE_KEY_BYTES} bytes")
        self._secret = secret

    @classmethod
    def generate(cls) -> FileKey:
        """Return a new random key."""
        return cls(random_bytes(FILE_KEY_BYTES))

    def secret(self) -> bytes:
        """Return the key itself: for wrapping it, and for a header kept apart from its file."""
        return self._secret

    def mac(self, text: bytes) -> bytes:
        """Return the MAC, 32 bytes, of a header up to and with its ``---``."""
        return hmac.digest(derive(self._secret, b"", b"header"), text, "sha256")

    def payload_key(self, nonce: bytes) -> bytes:
        """Return the key, 32 bytes, of the payload that begins with ``nonce``."""
        return derive(self._secret, nonce, b"payload")

    def __repr__(self) -> str:
        return "<age file key>"


@dataclass(frozen=True)
class Stanza:
    """One wrapped copy of the file key: ``type``, the further ``arguments`` and the ``body``."""

    type: str
    arguments: tuple[str, ...]
    body: bytes

    def encode(self) -> bytes:
        """Return the stanza's lines; the last one is always shorter than 64 columns, if need be empty."""
        body = encoding.encode(self.body)
        lines = [body[start : start + _COLUMNS] for start in range(0, len(body) + 1, _COLUMNS)]
        first = " ".join(("->", self.type, *self.arguments)).encode("ascii")
        return b"\n".join([first, *lines, b""])


@dataclass(frozen=True)
class Header:
    """A whole header; ``mac`` is what it says, checked by :func:`.envelope.open_header`."""

    stanzas: tuple[Stanza, ...]
    mac: bytes

    @classmethod
    def make(cls, stanzas: tuple[Stanza, ...], file_key: FileKey) -> Header:
        """Return the header of these stanzas with its MAC."""
        return cls(stanzas, file_key.mac(_authenticated(stanzas)))

    def fits(self, file_key: FileKey) -> bool:
        """Return whether the MAC was made with ``file_key``; takes the same time either way."""
        return hmac.compare_digest(file_key.mac(_authenticated(self.stanzas)), self.mac)

    def encode(self) -> bytes:
        """Return the header's bytes, with the line feed after which the payload begins."""
        return _authenticated(self.stanzas) + b" " + encoding.encode(self.mac) + b"\n"

    @property
    def size(self) -> int:
        """The length in bytes: where in the file the payload begins."""
        return len(self.encode())


def _authenticated(stanzas: tuple[Stanza, ...]) -> bytes:
    return b"".join([_VERSION, b"\n", *(stanza.encode() for stanza in stanzas), b"---"])


def read_header(source: Source, path: AnyPath | None = None) -> Header:
    """Read one header; ``source`` then stands at the payload. ``path`` is for messages.

    Nothing is authenticated yet. Raise :class:`HeaderFailure`, or what an ``OSError`` of the source means.
    """
    lines = _lines(source, path)
    version = next(lines)
    if version != _VERSION:
        raise _failure(_strange_first_line(version), path)
    stanzas: list[Stanza] = []
    for line in lines:
        if line.startswith(b"---") and stanzas:
            mac = encoding.decode(line[4:]) if line.startswith(b"--- ") else None
            if mac is None or len(mac) != _MAC_BYTES:
                raise _failure("its last line holds no MAC", path)
            return Header(tuple(stanzas), mac)
        if len(stanzas) == MAX_STANZAS:
            raise _failure(f"it has more than {MAX_STANZAS} recipients", path)
        stanzas.append(_read_stanza(line, lines, path))
    raise AssertionError("lines end with an exception")


def _read_stanza(first: bytes, lines: Iterator[bytes], path: AnyPath | None) -> Stanza:
    found = _ARGUMENTS.fullmatch(first)
    if not found:
        raise _failure("a recipient's first line is malformed", path)
    kind, *arguments = found.group(1).decode("ascii").split(" ")
    text = []
    for line in lines:
        text.append(line)
        if len(line) < _COLUMNS:
            break
        if len(line) > _COLUMNS:
            raise _failure(f"a recipient's line is longer than {_COLUMNS} columns", path)
    body = encoding.decode(b"".join(text))
    if body is None:
        raise _failure("a recipient's body is no canonical base64", path)
    return Stanza(kind, tuple(arguments), body)


def _lines(source: Source, path: AnyPath | None) -> Iterator[bytes]:
    """Yield lines without their line feed; raise at the end of the input or of the largest size."""
    left = MAX_HEADER_BYTES
    while left:
        try:
            line = source.readline(left)
        except OSError as exc:
            raise from_os_error(exc, "read the header", path) from exc
        left -= len(line)
        if line.endswith(b"\n"):
            yield line[:-1]
        elif left:
            raise _failure("it is cut off" if line else "the file ends within it", path)
        else:
            break
    raise _failure(f"it is longer than {MAX_HEADER_BYTES} bytes", path)


def _strange_first_line(line: bytes) -> str:
    if line.startswith(_FAMILY):
        return "its version is not v1"
    if line.startswith(b"-----BEGIN AGE"):
        return "it is in the text form (armored), where the binary one was expected"
    return "it does not begin as an age file does"


def _failure(why: str, path: AnyPath | None) -> HeaderFailure:
    return HeaderFailure(
        f"the age header cannot be used: {why}", path=path, hint="take another copy of the file"
    )
