# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Post-quantum keys: ``age1pq1...`` and ``AGE-SECRET-KEY-PQ-1...`` (C2SP age, "hybrid post-quantum").

HPKE with the KEM MLKEM768-X25519, which ``cryptography`` has from 48 on where its OpenSSL has ML-KEM. Without
it these keys are refused with a message that says so, and everything else works.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from ..errors import AnyPath, Unsupported
from . import bech32, encoding
from .failures import BadKey, HeaderFailure
from .header import FILE_KEY_BYTES, FileKey, Stanza
from .primitives import KEY_BYTES, TAG_BYTES, random_bytes, require, x25519_public, x25519_shared

try:
    from cryptography import exceptions
    from cryptography.hazmat.primitives import hpke
    from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

    PRESENT = True
except ImportError:  # said when such a key is used
    PRESENT = False

TYPE = "mlkem768x25519"
RECIPIENT_PREFIX = "age1pq"
IDENTITY_PREFIX = "AGE-SECRET-KEY-PQ-"
_INFO = b"age-encryption.org/mlkem768x25519"
_SEED_BYTES = 64
_KEM_KEY_BYTES = 1184
_RECIPIENT_BYTES = _KEM_KEY_BYTES + KEY_BYTES
_SHARE_BYTES = 1120
_BODY_BYTES = FILE_KEY_BYTES + TAG_BYTES


@cache
def suite() -> hpke.Suite:
    """Return the HPKE suite of these keys, or raise :class:`Unsupported` where the library has none."""
    require()
    try:
        if PRESENT:
            # Where OpenSSL lacks ML-KEM, only making a key says so.
            mlkem.MLKEM768PrivateKey.from_seed_bytes(bytes(_SEED_BYTES))
            return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    except (exceptions.UnsupportedAlgorithm, AttributeError):
        pass
    raise Unsupported(
        "this node's cryptography has no post-quantum keys (age1pq1...)",
        hint="use X25519 keys (age1...), or cryptography 48 or newer",
    )


@dataclass(frozen=True)
class HybridRecipient:
    """A public key: 1184 bytes for ML-KEM-768, then 32 for X25519. ``str()`` is its ``age1pq1...`` form."""

    key: bytes
    type = TYPE

    def wrap(self, file_key: FileKey) -> Stanza:
        """Return a stanza for the holder of the identity; raise :class:`BadKey` for a key that is none."""
        suite()
        try:
            public = hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(self.key[:_KEM_KEY_BYTES]),
                x25519.X25519PublicKey.from_public_bytes(self.key[_KEM_KEY_BYTES:]),
            )
            sealed = suite().encrypt(file_key.secret(), public, _INFO)
        except ValueError as exc:
            raise BadKey("a post-quantum recipient is no usable key", hint="generate a new identity") from exc
        return Stanza(TYPE, (encoding.encode(sealed[:_SHARE_BYTES]).decode(),), sealed[_SHARE_BYTES:])

    def __str__(self) -> str:
        return bech32.encode(RECIPIENT_PREFIX, self.key)


class HybridIdentity:
    """A private key: a seed of 32 bytes. :meth:`secret_text` gives it away on purpose."""

    type = TYPE

    def __init__(self, secret: bytes) -> None:
        suite()
        if len(secret) != KEY_BYTES:
            raise BadKey(f"a post-quantum identity holds {KEY_BYTES} bytes")
        self._secret = secret
        expanded = hashlib.shake_256(secret).digest(_SEED_BYTES + KEY_BYTES)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_SEED_BYTES])
        self._curve = expanded[_SEED_BYTES:]
        self._key = hpke.MLKEM768X25519PrivateKey(
            kem, x25519.X25519PrivateKey.from_private_bytes(self._curve)
        )
        self.recipient = HybridRecipient(kem.public_key().public_bytes_raw() + x25519_public(self._curve))

    @classmethod
    def generate(cls) -> HybridIdentity:
        """Return a new random identity."""
        return cls(random_bytes(KEY_BYTES))

    def unwrap(self, stanza: Stanza, path: AnyPath | None = None) -> FileKey | None:
        """Return the file key, or ``None`` when the stanza is of another type or for somebody else.

        Raise :class:`HeaderFailure` for a stanza of this type that breaks the specification.
        """
        if stanza.type != TYPE:
            return None
        share = (
            encoding.decode_exactly(stanza.arguments[0], _SHARE_BYTES) if len(stanza.arguments) == 1 else None
        )
        if share is None or len(stanza.body) != _BODY_BYTES:
            raise _malformed(path)
        try:
            x25519_shared(self._curve, share[-KEY_BYTES:])  # the library takes a zero secret for a wrong key
        except ValueError as exc:
            raise _malformed(path) from exc
        try:
            return FileKey(suite().decrypt(share + stanza.body, self._key, _INFO))
        except exceptions.InvalidTag:
            return None

    def secret_text(self) -> str:
        """Return the ``AGE-SECRET-KEY-PQ-1...`` form: for a key file, for nothing else."""
        return bech32.encode(IDENTITY_PREFIX, self._secret)

    def __repr__(self) -> str:
        return f"<post-quantum age identity of {str(self.recipient)[:20]}...>"


def _malformed(path: AnyPath | None) -> HeaderFailure:
    return HeaderFailure(
        "the age header has a malformed post-quantum recipient",
        path=path,
        hint="take another copy of the file",
    )
