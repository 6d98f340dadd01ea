# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""manifest.json, schema_version 1: what the station's own tools write and read, and more fields of ours.

The station's verifier ignores further fields and refuses another schema_version; so do we.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import documents, files
from .documents import HEX64, MAX_BYTES
from .errors import BadInput, Damaged

FILE_NAME = "manifest.json"
STATE_DB_FILE = "state.db"
OWNER_CARD_FILE = "owner_card.yaml"
SCHEMA_VERSION = 1
# The name of what a restore keeps of the state it replaces; nobody else may use it.
SAFETY_NAME = "before-restore"

ID = re.compile(r"(\d{8}T\d{6}Z)(?:-([1-9]\d{0,5}))?", re.ASCII)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
METHOD = re.compile(r"[a-z]{1,20}", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Manifest:
    """The facts of one backup. The first five fields are the station's; it never writes the others.

    ``integrity`` says which check of SQLite's own the database passed as it was copied.
    """

    created_at: str
    state_db_sha256: str
    owner_card_sha256: str
    state_db_file: str = STATE_DB_FILE
    owner_card_file: str = OWNER_CARD_FILE
    id: str | None = None
    name: str | None = None
    method: str | None = None
    content_sha256: str | None = None
    integrity: str | None = None
    verified_at: str | None = None

    def to_json(self) -> bytes:
        """Return the document to write."""
        return documents.to_json({"schema_version": SCHEMA_VERSION, **self.__dict__})


def check_name(name: str) -> str:
    """Return ``name`` when a procedure may call its backup so, else raise :class:`BadInput`."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"name {name[:80]!r} has characters it may not have",
            hint="use up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        )
    if name == SAFETY_NAME:
        raise BadInput(f"name {name} belongs to what restores keep", hint="choose another name")
    return name


def read(path: Path) -> Manifest:
    """Read and check a manifest; raise :class:`Damaged` naming the file and what is wrong with it."""
    return parse(files.read_bounded(path, MAX_BYTES), path)


def parse(data: bytes, path: Path) -> Manifest:
    """Return the manifest that ``data`` is; raise :class:`Damaged` as :func:`read` does."""
    document = documents.parse(data, path)
    try:
        return _checked(document)
    except BadInput as exc:
        raise Damaged(f"is no manifest: {exc}", path=path) from exc


def _checked(document: dict[str, Any]) -> Manifest:
    documents.require_version(document, "schema_version", SCHEMA_VERSION)
    file_names = {
        field: documents.text(document, field, _FILE_NAME) for field in ("state_db_file", "owner_card_file")
    }
    if len({*file_names.values(), FILE_NAME}) != 3:
        raise BadInput("state_db_file and owner_card_file must be two files beside the manifest")
    return Manifest(
        created_at=documents.instant(document, "created_at"),
        state_db_sha256=documents.text(document, "state_db_sha256", HEX64).lower(),
        owner_card_sha256=documents.text(document, "owner_card_sha256", HEX64).lower(),
        **file_names,
        id=documents.optional_text(document, "id", ID),
        name=documents.optional_text(document, "name", NAME),
        method=documents.optional_text(document, "method", METHOD),
        content_sha256=documents.optional_text(document, "content_sha256", HEX64),
        integrity=documents.optional_text(document, "integrity", METHOD),
        verified_at=documents.optional_instant(document, "verified_at"),
    )
