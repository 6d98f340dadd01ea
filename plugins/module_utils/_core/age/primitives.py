# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The few primitives of age: X25519, ChaCha20-Poly1305 and scrypt from ``cryptography``, HKDF from here.

Nothing is asked of the library before it is used, so that whoever needs no encryption needs no library.
"""

from __future__ import annotations

import hmac
import os
from functools import cache

from ..errors import MissingLibrary, Unsupported
from .encoding import Buffer

try:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.asymmetric import x25519
    from cryptography.hazmat.primitives.ciphers import aead
    from cryptography.hazmat.primitives.kdf import scrypt

    PRESENT = True
except ImportError:  # said when a primitive is needed
    PRESENT = False

KEY_BYTES = 32
TAG_BYTES = 16
_NONCE_BYTES = 12


@cache
def require() -> bool:
    """Return whether the cipher reads any buffer without a copy; raise where age cannot be used at all.

    :class:`MissingLibrary` without ``cryptography``, :class:`Unsupported` where its primitives are refused.
    """
    if not PRESENT:
        raise MissingLibrary(
            "this node's Python has no cryptography, which encrypts and decrypts backups",
            hint="install it (apt-get install python3-cryptography)",
        )
    try:
        x25519_shared(bytes([1] * KEY_BYTES), bytes([9, *[0] * 31]))
        cipher = aead.ChaCha20Poly1305(bytes(KEY_BYTES))
        cipher.encrypt(bytes(_NONCE_BYTES), b"", None)
        try:
            cipher.encrypt(bytes(_NONCE_BYTES), memoryview(b""), None)
        except TypeError:  # before 37 the library takes bytes only
            return False
    except (exceptions.UnsupportedAlgorithm, exceptions.InternalError, ValueError) as exc:
        raise Unsupported(
            "this system's OpenSSL refuses X25519 or ChaCha20-Poly1305, as it does in FIPS mode",
            hint="take a system outside FIPS mode, or plain backups",
        ) from exc
    return True


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return the 32 bytes that HKDF-SHA-256 (RFC 5869) derives: one block of output, so one expansion."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def x25519_public(secret: bytes) -> bytes:
    """Return the public point, 32 bytes, of a secret of 32 bytes."""
    return _raw(x25519.X25519PrivateKey.from_private_bytes(secret).public_key())


def x25519_shared(secret: bytes, point: bytes) -> bytes:
    """Return the shared secret, 32 bytes; raise :class:`ValueError` when it is all zero (RFC 7748, 6.1)."""
    private = x25519.X25519PrivateKey.from_private_bytes(secret)
    shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    if not any(shared):
        raise ValueError("the shared secret is zero")
    return shared


def _raw(public: x25519.X25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def scrypt_key(passphrase: bytes, salt: bytes, log_n: int) -> bytes:
    """Return the 32 bytes of scrypt (RFC 7914) with N = 2**log_n, r = 8, p = 1: N KiB of memory.

    Raise :class:`Unsupported` when the memory cannot be had.
    """
    require()
    try:
        return scrypt.Scrypt(salt=salt, length=KEY_BYTES, n=1 << log_n, r=8, p=1).derive(passphrase)
    except MemoryError as exc:
        raise Unsupported(
            f"a passphrase of work factor {log_n} needs {1 << log_n >> 10} MiB of memory",
            hint="open it on a larger machine",
        ) from exc


class Cipher:
    """ChaCha20-Poly1305 (RFC 8439) under one key of 32 bytes, without additional data."""

    def __init__(self, key: bytes) -> None:
        self._as_it_is = require()
        self._cipher = aead.ChaCha20Poly1305(key)

    def seal(self, nonce: bytes, plain: Buffer) -> bytes:
        """Return ``plain`` encrypted, 16 bytes longer. A nonce of 12 bytes serves once per key."""
        return self._cipher.encrypt(nonce, plain if self._as_it_is else bytes(plain), None)

    def open(self, nonce: bytes, sealed: bytes) -> bytes | None:
        """Return what was sealed, or ``None`` when it does not authenticate."""
        try:
            return self._cipher.decrypt(nonce, sealed, None)
        except exceptions.InvalidTag:
            return None


def seal_once(key: bytes, plain: bytes) -> bytes:
    """Encrypt under a key that serves once: the nonce is zero (C2SP age, recipient stanzas)."""
    return Cipher(key).seal(bytes(_NONCE_BYTES), plain)


def open_once(key: bytes, sealed: bytes) -> bytes | None:
    """Return what :func:`seal_once` sealed, or ``None``."""
    return Cipher(key).open(bytes(_NONCE_BYTES), sealed)


def random_bytes(count: int) -> bytes:
    """Return ``count`` bytes of the system's random source."""
    return os.urandom(count)
