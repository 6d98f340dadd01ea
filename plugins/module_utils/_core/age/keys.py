# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys as people keep them: public keys in an inventory, identities in files that ``age -i`` reads too."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Union

from ..errors import AnyPath
from . import bech32
from .armor import BEGIN, dearmor
from .envelope import open_header
from .failures import BadKey
from .header import read_header
from .hybrid import IDENTITY_PREFIX as PQ_IDENTITY
from .hybrid import RECIPIENT_PREFIX as PQ_RECIPIENT
from .hybrid import HybridIdentity, HybridRecipient
from .payload import PayloadReader
from .primitives import KEY_BYTES
from .scrypt import Passphrase
from .x25519 import IDENTITY_PREFIX, RECIPIENT_PREFIX, X25519Identity, X25519Recipient

KeyRecipient = Union[X25519Recipient, HybridRecipient]
KeyIdentity = Union[X25519Identity, HybridIdentity]

MAX_FILE_BYTES = 64 * 1024
_PQ_RECIPIENT_BYTES = 1216
_BINARY_START = b"age-encryption.org/"


def parse_recipient(text: str) -> KeyRecipient:
    """Return the public key spelled ``age1...`` or ``age1pq1...``, in lower case. Raise :class:`BadKey`."""
    try:
        prefix, data = bech32.decode(text)
    except ValueError as exc:
        raise BadKey(f"a recipient {exc}", hint="copy the whole age1... text") from None
    if prefix == RECIPIENT_PREFIX and len(data) == KEY_BYTES:
        return X25519Recipient(data)
    if prefix == PQ_RECIPIENT and len(data) == _PQ_RECIPIENT_BYTES:
        return HybridRecipient(data)
    if prefix == IDENTITY_PREFIX:
        raise BadKey("a private key was given where a public one belongs", hint="give its age1... text")
    raise BadKey("a recipient is of no kind known here", hint="give an age1... text, in lower case")


def parse_identity(text: str) -> KeyIdentity:
    """Return the private key spelled ``AGE-SECRET-KEY-1...`` or ``AGE-SECRET-KEY-PQ-1...``, in upper case.

    Raise :class:`BadKey`, which never quotes the text, or :class:`Unsupported` for a post-quantum key that
    this system's library cannot use.
    """
    try:
        prefix, data = bech32.decode(text)
    except ValueError as exc:
        raise BadKey(f"an identity {exc}", hint="copy the whole AGE-SECRET-KEY-1... text") from None
    if prefix == IDENTITY_PREFIX and len(data) == KEY_BYTES:
        return X25519Identity(data)
    if prefix == PQ_IDENTITY and len(data) == KEY_BYTES:
        return HybridIdentity(data)
    if prefix == RECIPIENT_PREFIX:
        raise BadKey("a public key was given where a private one belongs", hint="give its identity file")
    raise BadKey(
        "an identity is of no kind known here", hint="give an AGE-SECRET-KEY-1... text, in upper case"
    )


def parse_identities(
    data: bytes, path: AnyPath | None = None, passphrase: Passphrase | None = None
) -> list[KeyIdentity]:
    """Return every identity of a file's content, at least one: one a line, ``#`` comments, empty lines.

    A file that is itself encrypted (``age -p``), armored or not, is opened with ``passphrase``. ``path`` is
    for messages, which name the line and never quote it. Raise :class:`BadKey`, or what opening raises.
    """
    _require_small(data, path)
    if data.startswith((_BINARY_START, BEGIN)):
        data = _opened(data, path, passphrase)
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line[:-1] if line.endswith(b"\r") else line
        if not text or text.startswith(b"#"):
            continue
        try:
            # Anything but ASCII becomes a character that no key may hold.
            found.append(parse_identity(text.decode("ascii", "replace")))
        except BadKey as exc:
            raise BadKey(f"line {number}: {exc.msg}", path=path, hint=exc.hint) from None
    if not found:
        raise BadKey("holds no identity", path=path, hint="give a file with an AGE-SECRET-KEY-1... line")
    return found


def render_identities(identities: Sequence[KeyIdentity], comments: Sequence[str] = ()) -> bytes:
    """Return the content of an identity file: every key, each followed by its public half, then comments.

    The first line is a secret on purpose: ``openssl enc -pass file:`` takes it as a passphrase, and the shell
    runbook's tools go on doing that with a key file of ours.
    """
    if any(not comment.isprintable() for comment in comments):
        raise BadKey("a comment of an identity file must be one printable line")
    lines = []
    for identity in identities:
        lines += [identity.secret_text(), f"# public key: {identity.recipient}"]
    return "\n".join([*lines, *(f"# {comment}" for comment in comments), ""]).encode()


def _opened(data: bytes, path: AnyPath | None, passphrase: Passphrase | None) -> bytes:
    if passphrase is None:
        raise BadKey("is encrypted with a passphrase", path=path, hint="decrypt it first: age -d")
    plain = io.BytesIO(data)
    source = dearmor(plain, path) if data.startswith(BEGIN) else plain
    file_key = open_header(read_header(source, path), [passphrase], path)
    opened = b"".join(PayloadReader(file_key, source, path))
    _require_small(opened, path)
    return opened


def _require_small(data: bytes, path: AnyPath | None) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise BadKey(f"is larger than {MAX_FILE_BYTES} bytes, which no identity file is", path=path)
