# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""manifest.json, schema_version 1: what the station's own tools write and read, and more fields of ours.

The station's verifier ignores further fields and refuses another schema_version; so do we.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, times
from .errors import BadInput, Damaged

FILE_NAME = "manifest.json"
STATE_DB_FILE = "state.db"
OWNER_CARD_FILE = "owner_card.yaml"
SCHEMA_VERSION = 1
MAX_BYTES = 64 * 1024
# The name of what a restore keeps of the state it replaces; nobody else may use it.
SAFETY_NAME = "before-restore"

_HEX64 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_METHOD = re.compile(r"[a-z]{1,20}", re.ASCII)


@dataclass(frozen=True)
class Manifest:
    """The facts of one backup. The first five fields are the station's; it never writes the others."""

    created_at: str
    state_db_sha256: str
    owner_card_sha256: str
    state_db_file: str = STATE_DB_FILE
    owner_card_file: str = OWNER_CARD_FILE
    id: str | None = None
    name: str | None = None
    method: str | None = None
    content_sha256: str | None = None
    verified_at: str | None = None

    def to_json(self) -> bytes:
        """Return the document to write."""
        document = {"schema_version": SCHEMA_VERSION, **self.__dict__}
        known = {key: value for key, value in document.items() if value is not None}
        return (json.dumps(known, indent=2) + "\n").encode()


def check_name(name: str) -> str:
    """Return ``name`` when a procedure may call its backup so, else raise :class:`BadInput`."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"name {name[:80]!r} has characters it may not have",
            hint="use up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        )
    if name == SAFETY_NAME:
        raise BadInput(f"name {name} belongs to what restores keep", hint="choose another name")
    return name


def read(path: Path) -> Manifest:
    """Read and check a manifest; raise :class:`Damaged` naming the file and what is wrong with it."""
    data = files.read_bounded(path, MAX_BYTES)
    try:
        document = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise Damaged(f"is no JSON document: {exc}", path=path) from exc
    try:
        return _checked(document)
    except BadInput as exc:
        raise Damaged(f"is no manifest: {exc}", path=path) from exc


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _checked(document: Any) -> Manifest:
    if not isinstance(document, dict):
        raise BadInput("it is not an object")
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version != SCHEMA_VERSION:
        raise BadInput(f"schema_version is {version!r:.40}, not {SCHEMA_VERSION}")
    file_names = {field: _text(document, field, _FILE_NAME) for field in ("state_db_file", "owner_card_file")}
    if len({*file_names.values(), FILE_NAME}) != 3:
        raise BadInput("state_db_file and owner_card_file must be two files beside the manifest")
    return Manifest(
        created_at=_instant(document, "created_at"),
        state_db_sha256=_text(document, "state_db_sha256", _HEX64).lower(),
        owner_card_sha256=_text(document, "owner_card_sha256", _HEX64).lower(),
        **file_names,
        id=_optional(document, "id", re.compile(r"[0-9TZ-]{16,24}", re.ASCII)),
        name=_optional(document, "name", _NAME),
        method=_optional(document, "method", _METHOD),
        content_sha256=_optional(document, "content_sha256", _HEX64),
        verified_at=_instant(document, "verified_at") if "verified_at" in document else None,
    )


def _text(document: dict[str, Any], field: str, form: re.Pattern[str]) -> str:
    if field not in document:
        raise BadInput(f"{field} is missing")
    value = document[field]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise BadInput(f"{field} is {value!r:.80}, which it may not be")
    return value


def _optional(document: dict[str, Any], field: str, form: re.Pattern[str]) -> str | None:
    return _text(document, field, form) if field in document else None


def _instant(document: dict[str, Any], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str):
        raise BadInput(f"{field} is {value!r:.80}, not an instant")
    times.parse(value)
    return value
