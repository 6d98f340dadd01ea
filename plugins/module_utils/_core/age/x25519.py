# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""X25519 keys: ``age1...`` and ``AGE-SECRET-KEY-1...`` (C2SP age, "The X25519 recipient type")."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AnyPath
from . import bech32, encoding
from .failures import BadKey, HeaderFailure
from .header import FILE_KEY_BYTES, FileKey, Stanza
from .primitives import (
    KEY_BYTES,
    TAG_BYTES,
    derive,
    open_once,
    random_bytes,
    require,
    seal_once,
    x25519_public,
    x25519_shared,
)

TYPE = "X25519"
RECIPIENT_PREFIX = "age"
IDENTITY_PREFIX = "AGE-SECRET-KEY-"
_INFO = b"age-encryption.org/v1/X25519"
_BODY_BYTES = FILE_KEY_BYTES + TAG_BYTES


@dataclass(frozen=True)
class X25519Recipient:
    """A public key: whoever has it can encrypt. ``str()`` is its ``age1...`` form."""

    point: bytes
    type = TYPE

    def wrap(self, file_key: FileKey) -> Stanza:
        """Return a stanza for the holder of the identity; raise :class:`BadKey` for a point of low order."""
        require()
        ephemeral = random_bytes(KEY_BYTES)
        try:
            shared = x25519_shared(ephemeral, self.point)
        except ValueError as exc:
            raise BadKey(f"the recipient {self} is no usable key", hint="generate a new identity") from exc
        share = x25519_public(ephemeral)
        key = derive(shared, share + self.point, _INFO)
        return Stanza(TYPE, (encoding.encode(share).decode(),), seal_once(key, file_key.secret()))

    def __str__(self) -> str:
        return bech32.encode(RECIPIENT_PREFIX, self.point)


class X25519Identity:
    """A private key. It is shown by its recipient only; :meth:`secret_text` gives it away on purpose."""

    type = TYPE

    def __init__(self, secret: bytes) -> None:
        require()
        if len(secret) != KEY_BYTES:
            raise BadKey(f"an X25519 identity holds {KEY_BYTES} bytes")
        self._secret = secret
        self.recipient = X25519Recipient(x25519_public(secret))

    @classmethod
    def generate(cls) -> X25519Identity:
        """Return a new random identity."""
        return cls(random_bytes(KEY_BYTES))

    def unwrap(self, stanza: Stanza, path: AnyPath | None = None) -> FileKey | None:
        """Return the file key, or ``None`` when the stanza is of another type or for somebody else.

        Raise :class:`HeaderFailure` for an X25519 stanza that breaks the specification.
        """
        if stanza.type != TYPE:
            return None
        share = (
            encoding.decode_exactly(stanza.arguments[0], KEY_BYTES) if len(stanza.arguments) == 1 else None
        )
        if share is None or len(stanza.body) != _BODY_BYTES:
            raise _malformed(path)
        try:
            shared = x25519_shared(self._secret, share)
        except ValueError as exc:
            raise _malformed(path) from exc
        found = open_once(derive(shared, share + self.recipient.point, _INFO), stanza.body)
        return None if found is None else FileKey(found)

    def secret_text(self) -> str:
        """Return the ``AGE-SECRET-KEY-1...`` form: for a key file, for nothing else."""
        return bech32.encode(IDENTITY_PREFIX, self._secret)

    def __repr__(self) -> str:
        return f"<age identity of {self.recipient}>"


def _malformed(path: AnyPath | None) -> HeaderFailure:
    return HeaderFailure(
        "the age header has a malformed X25519 recipient", path=path, hint="take another copy of the file"
    )
