# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of the shell runbook (``openssl enc -aes-256-cbc -pbkdf2``): read for ever, never written.

The format has no authentication: a wrong key or a flipped bit can decrypt to something. Whoever reads one
has to demand that its gzip and its manifest agree before anything of it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import Damaged, MissingLibrary

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

    PRESENT = True
except ImportError:  # said when such an archive is read
    PRESENT = False

ARCHIVE = "backup.tar.gz.enc"
SUM_FILE = "backup.tar.gz.enc.sha256"
KEY_ID_FILE = "key_id.txt"
_MAGIC = b"Salted__"
_SALT_BYTES = 8
_HEADER_BYTES = len(_MAGIC) + _SALT_BYTES
_BLOCK = 16
_KEY_BYTES = 32
_ROUNDS = 10_000  # what openssl enc -pbkdf2 does unless told otherwise
_GZIP_START = b"\x1f\x8b\x08"


class Passphrase:
    """The first line of a key file of the shell runbook. Never shown."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of_file(cls, data: bytes) -> Passphrase:
        """Return what openssl takes from a key file's content: the first line without its line feed."""
        return cls(data.split(b"\n", 1)[0])

    def fingerprint(self) -> str:
        """Return what may be shown of it: the beginning of a hash that cannot be turned back."""
        salt = b"vvtv.runbook legacy key"
        return hashlib.pbkdf2_hmac("sha256", self._secret, salt, _ROUNDS).hex()[:16]

    def cipher(self, salt: bytes, path: Path) -> CipherContext:
        """Return AES-256-CBC as ``openssl enc -pbkdf2`` derives it from the salt."""
        if not PRESENT:
            raise MissingLibrary(
                "this node's Python has no cryptography, which decrypts backups",
                path=path,
                hint="install it (apt-get install python3-cryptography)",
            )
        derived = hashlib.pbkdf2_hmac("sha256", self._secret, salt, _ROUNDS, _KEY_BYTES + _BLOCK)
        mode = modes.CBC(derived[_KEY_BYTES:])
        return Cipher(algorithms.AES(derived[:_KEY_BYTES]), mode).decryptor()

    def __repr__(self) -> str:
        return "<legacy key>"


def may_open(start: bytes, passphrase: Passphrase, path: Path) -> bool:
    """Return whether an archive that begins with ``start`` (32 bytes or more) decrypts to a gzip stream.

    True for the right key, and for one wrong key in about sixteen million.
    """
    salt = _salt(start, path)
    first = start[_HEADER_BYTES : _HEADER_BYTES + _BLOCK]
    return passphrase.cipher(salt, path).update(first).startswith(_GZIP_START)


def decrypted(chunks: Iterator[bytes], passphrase: Passphrase, path: Path) -> Iterator[bytes]:
    """Yield what ``chunks`` decrypt to; raise :class:`Damaged` when their length or padding is impossible."""
    held = b""
    while len(held) < _HEADER_BYTES and (chunk := next(chunks, b"")):
        held += chunk
    cipher = passphrase.cipher(_salt(held, path), path)
    plain = cipher.update(held[_HEADER_BYTES:])
    size = len(held) - _HEADER_BYTES
    for chunk in chunks:
        # The last block is padding, so the newest bytes wait until there are more.
        if len(plain) > _BLOCK:
            yield plain[:-_BLOCK]
            plain = plain[-_BLOCK:]
        plain += cipher.update(chunk)
        size += len(chunk)
    padded = plain[-1] if plain else 0
    if size % _BLOCK or not 1 <= padded <= _BLOCK or plain[-padded:] != bytes([padded]) * padded:
        raise Damaged("is damaged or was encrypted with another key", path=path, hint="use another backup")
    yield plain[:-padded]


def _salt(start: bytes, path: Path) -> bytes:
    if not start.startswith(_MAGIC) or len(start) < _HEADER_BYTES:
        raise Damaged("is no archive of openssl enc", path=path, hint="use another backup")
    return start[len(_MAGIC) : _HEADER_BYTES]
