# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup.json beside an encrypted archive: what can be known of it without a key.

It is a convenience and no authority: an archive without it, or with a damaged one, can still be verified and
restored, since everything that counts is in the archive's own manifest and authenticated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import documents, files
from ..documents import HEX64
from ..errors import BadInput, Damaged
from ..manifest import ID, METHOD, NAME

FILE_NAME = "backup.json"
FORMAT_VERSION = 1
_ARCHIVE = re.compile(r"backup\.tar\.(zst|gz)\.age", re.ASCII)
# An operator's own key has the name of its file for an id.
KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_RECIPIENT = re.compile(r"age1[0-9a-z]{1,4000}", re.ASCII)
_MOST_RECIPIENTS = 512


@dataclass(frozen=True)
class For:
    """Somebody who can open the archive: a public key, and the key's id on the node if it is one of it."""

    recipient: str
    key_id: str | None = None


@dataclass(frozen=True)
class Sidecar:
    """The public facts of one archive. ``archive_sha256`` and ``archive_size`` (bytes) are the ciphertext's.

    ``encrypted_at`` is when the payload was encrypted, which a rewrap does not change and a rekey does;
    ``content_sha256`` tells whether a node still has the same content.
    """

    id: str
    created_at: str
    encrypted_at: str
    archive: str
    archive_sha256: str
    archive_size: int
    recipients: tuple[For, ...]
    owner_card_sha256: str | None = None
    content_sha256: str | None = None
    name: str | None = None
    method: str | None = None
    verified_at: str | None = None

    def to_json(self) -> bytes:
        """Return the document to write."""
        listed = [
            {key: value for key, value in who.__dict__.items() if value is not None}
            for who in self.recipients
        ]
        return documents.to_json({"format_version": FORMAT_VERSION, **self.__dict__, "recipients": listed})

    @property
    def key_ids(self) -> list[str]:
        """The ids of the node's keys that open it."""
        return [who.key_id for who in self.recipients if who.key_id is not None]


def read(folder: Path) -> Sidecar:
    """Read and check the facts in a backup's folder; raise :class:`Damaged` or :class:`NotFound`."""
    path = folder / FILE_NAME
    document = documents.parse(files.read_bounded(path, documents.MAX_BYTES), path)
    try:
        return _checked(document)
    except BadInput as exc:
        raise Damaged(f"does not describe an archive: {exc}", path=path) from exc


def _checked(document: dict[str, Any]) -> Sidecar:
    documents.require_version(document, "format_version", FORMAT_VERSION)
    listed = document.get("recipients")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_RECIPIENTS:
        raise BadInput("recipients is no list of them")
    return Sidecar(
        id=documents.text(document, "id", ID),
        created_at=documents.instant(document, "created_at"),
        encrypted_at=documents.instant(document, "encrypted_at"),
        archive=documents.text(document, "archive", _ARCHIVE),
        archive_sha256=documents.text(document, "archive_sha256", HEX64).lower(),
        archive_size=documents.whole(document, "archive_size"),
        recipients=tuple(_recipient(item) for item in listed),
        owner_card_sha256=documents.optional_text(document, "owner_card_sha256", HEX64),
        content_sha256=documents.optional_text(document, "content_sha256", HEX64),
        name=documents.optional_text(document, "name", NAME),
        method=documents.optional_text(document, "method", METHOD),
        verified_at=documents.optional_instant(document, "verified_at"),
    )


def _recipient(item: Any) -> For:
    if not isinstance(item, dict):
        raise BadInput("a recipient is no object")
    return For(documents.text(item, "recipient", _RECIPIENT), documents.optional_text(item, "key_id", KEY_ID))
