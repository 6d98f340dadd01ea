# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who can open a file: wrapping its key for recipients, unwrapping it with identities, wrapping it anew.

Everything here works on the header alone; the payload, however large, is neither read nor changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import AnyPath
from . import hybrid, scrypt, x25519
from .failures import BadKey, HeaderFailure, MacFailure, NoMatch
from .header import MAX_HEADER_BYTES, MAX_STANZAS, FileKey, Header, Stanza

# The types a rewrap replaces, whether or not this system's library can use them.
KNOWN_TYPES = frozenset({x25519.TYPE, scrypt.TYPE, hybrid.TYPE})


class Recipient(Protocol):
    """Somebody a file can be encrypted to."""

    @property
    def type(self) -> str:
        """The first argument of its stanzas."""

    def wrap(self, file_key: FileKey) -> Stanza:
        """Return a stanza from which only the holder gets the file key."""


class Identity(Protocol):
    """Something a file can be opened with."""

    def unwrap(self, stanza: Stanza, path: AnyPath | None = None) -> FileKey | None:
        """Return the file key, or ``None`` when the stanza is for somebody else."""


def seal_header(file_key: FileKey, recipients: Sequence[Recipient], kept: Sequence[Stanza] = ()) -> Header:
    """Return a header that every one of ``recipients`` can open; ``kept`` stanzas go into it as they are.

    Raise :class:`BadKey` for no recipients, too many, or types that the specification keeps apart.
    """
    types = {recipient.type for recipient in recipients}
    count = len(recipients) + len(kept)
    if not recipients:
        raise BadKey("there is no recipient to encrypt to")
    if count > MAX_STANZAS:
        raise BadKey(f"there are more than {MAX_STANZAS} recipients")
    if scrypt.TYPE in types and count > 1:
        raise BadKey("a passphrase must be the only recipient of a file")
    if hybrid.TYPE in types and len(types) > 1:
        raise BadKey("post-quantum recipients and others must not share a file")
    stanzas = tuple(recipient.wrap(file_key) for recipient in recipients)
    header = Header.make((*stanzas, *kept), file_key)
    if header.size > MAX_HEADER_BYTES:
        raise BadKey(f"the header for these recipients is longer than {MAX_HEADER_BYTES} bytes")
    return header


def open_header(header: Header, identities: Sequence[Identity], path: AnyPath | None = None) -> FileKey:
    """Return the file key, with the header authenticated by it. ``path`` is for messages.

    Stanzas of unknown types are passed over. Raise :class:`HeaderFailure` for a malformed stanza of an
    identity's type, :class:`NoMatch` when no identity opens the file, :class:`MacFailure` when the header
    was changed.
    """
    types = [stanza.type for stanza in header.stanzas]
    if scrypt.TYPE in types and len(types) > 1:
        raise HeaderFailure("the age header has a passphrase beside other recipients", path=path)
    for identity in identities:
        for stanza in header.stanzas:
            file_key = identity.unwrap(stanza, path)
            if file_key is None:
                continue
            if not header.fits(file_key):
                raise MacFailure(
                    "the age header was changed: its MAC does not fit",
                    path=path,
                    hint="take another copy of the file",
                )
            return file_key
    raise NoMatch(
        f"none of {len(identities)} identities opens it (recipients: {_listed(types)})",
        path=path,
        hint="give the identity it was encrypted to, an archived one or the recovery key",
    )


def rewrapped(
    header: Header,
    identities: Sequence[Identity],
    recipients: Sequence[Recipient],
    *,
    keep_unknown: bool = True,
    path: AnyPath | None = None,
) -> Header:
    """Return the header of the same file for other ``recipients``; the payload's bytes fit it unchanged.

    Every stanza of a known type is replaced; ``keep_unknown`` keeps the others verbatim, in their order,
    after the new ones. Raise what :func:`open_header` and :func:`seal_header` raise. A rewrap does not
    shut out somebody who had the file key: only encrypting anew does.
    """
    file_key = open_header(header, identities, path)
    kept = [stanza for stanza in header.stanzas if keep_unknown and stanza.type not in KNOWN_TYPES]
    return seal_header(file_key, recipients, kept)


def _listed(types: Sequence[str]) -> str:
    """Return the types for a message; they are hostile, hence few and short."""
    names = sorted({kind[:20] for kind in types})
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
