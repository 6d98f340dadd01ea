# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files opened by a passphrase (C2SP age, "The scrypt recipient type"): for a recovery key kept on paper."""

from __future__ import annotations

import re

from ..errors import AnyPath
from . import encoding
from .failures import BadKey, HeaderFailure
from .header import FILE_KEY_BYTES, FileKey, Stanza
from .primitives import TAG_BYTES, open_once, random_bytes, scrypt_key, seal_once

TYPE = "scrypt"
_LABEL = b"age-encryption.org/v1/scrypt"
_SALT_BYTES = 16
_BODY_BYTES = FILE_KEY_BYTES + TAG_BYTES
_FACTOR = re.compile(r"[1-9][0-9]?")
WORK_FACTOR = 18
MAX_WORK_FACTOR = 22


class Passphrase:
    """Both recipient and identity. Never shown.

    ``work_factor`` is the binary logarithm of scrypt's N, which is also the KiB of memory it takes: 18 takes
    256 MiB. Files that ask for more than ``max_work_factor`` are refused: the file's maker chose it.
    """

    type = TYPE

    def __init__(
        self, text: str, *, work_factor: int = WORK_FACTOR, max_work_factor: int = MAX_WORK_FACTOR
    ) -> None:
        if not text:
            raise BadKey("the passphrase is empty")
        if not 1 <= work_factor <= max_work_factor <= MAX_WORK_FACTOR:
            raise BadKey(f"a passphrase's work factor must be between 1 and {MAX_WORK_FACTOR}")
        self._secret = text.encode("utf-8", "surrogateescape")
        self._work_factor = work_factor
        self._max_work_factor = max_work_factor

    def wrap(self, file_key: FileKey) -> Stanza:
        """Return the stanza, which has to be the file's only one."""
        salt = random_bytes(_SALT_BYTES)
        key = scrypt_key(self._secret, _LABEL + salt, self._work_factor)
        arguments = (encoding.encode(salt).decode(), str(self._work_factor))
        return Stanza(TYPE, arguments, seal_once(key, file_key.secret()))

    def unwrap(self, stanza: Stanza, path: AnyPath | None = None) -> FileKey | None:
        """Return the file key, or ``None`` when the stanza is of another type or the passphrase is wrong.

        Raise :class:`HeaderFailure` for a malformed scrypt stanza or one of too high a work factor.
        """
        if stanza.type != TYPE:
            return None
        salt = (
            encoding.decode_exactly(stanza.arguments[0], _SALT_BYTES) if len(stanza.arguments) == 2 else None
        )
        if salt is None or len(stanza.body) != _BODY_BYTES or not stanza.arguments[1].isdecimal():
            raise HeaderFailure(
                "the age header has a malformed scrypt recipient",
                path=path,
                hint="take another copy of the file",
            )
        factor = stanza.arguments[1]
        if not _FACTOR.fullmatch(factor) or int(factor) > self._max_work_factor:
            raise HeaderFailure(
                f"the passphrase's work factor is not between 1 and {self._max_work_factor}", path=path
            )
        found = open_once(scrypt_key(self._secret, _LABEL + salt, int(factor)), stanza.body)
        return None if found is None else FileKey(found)

    def __repr__(self) -> str:
        return "<age passphrase>"
