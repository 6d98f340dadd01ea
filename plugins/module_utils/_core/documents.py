# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON documents that the engine writes and reads back, each field checked for what it may be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import times
from .errors import BadInput, Damaged

HEX64 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
MAX_BYTES = 64 * 1024


def to_json(fields: dict[str, Any]) -> bytes:
    """Return the document to write; fields that are ``None`` are left out."""
    known = {key: value for key, value in fields.items() if value is not None}
    return (json.dumps(known, indent=2) + "\n").encode()


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """Return the object that ``data`` is; raise :class:`Damaged` naming ``path`` otherwise."""
    try:
        document = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise Damaged(f"is no JSON document: {exc}", path=path) from exc
    if not isinstance(document, dict):
        raise Damaged("is no JSON object", path=path)
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def require_version(document: dict[str, Any], field: str, version: int) -> None:
    """Raise :class:`BadInput` unless ``field`` is the whole number ``version``."""
    found = document.get(field)
    if not isinstance(found, int) or isinstance(found, bool) or found != version:
        raise BadInput(f"{field} is {found!r:.40}, not {version}")


def text(document: dict[str, Any], field: str, form: re.Pattern[str]) -> str:
    """Return a text of the ``form``; raise :class:`BadInput` when it is missing or another."""
    if field not in document:
        raise BadInput(f"{field} is missing")
    value = document[field]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise BadInput(f"{field} is {value!r:.80}, which it may not be")
    return value


def optional_text(document: dict[str, Any], field: str, form: re.Pattern[str]) -> str | None:
    """Return the same, or ``None`` when the field is missing."""
    return text(document, field, form) if field in document else None


def whole(document: dict[str, Any], field: str) -> int:
    """Return a whole number, 0 or more."""
    value = document.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadInput(f"{field} is {value!r:.40}, not a whole number")
    return value


def instant(document: dict[str, Any], field: str) -> str:
    """Return the text of an RFC 3339 instant."""
    value = document.get(field)
    if not isinstance(value, str):
        raise BadInput(f"{field} is {value!r:.80}, not an instant")
    try:
        times.parse(value)
    except BadInput as exc:
        raise BadInput(f"{field}: {exc.msg}") from exc
    return value


def optional_instant(document: dict[str, Any], field: str) -> str | None:
    """Return the same, or ``None`` when the field is missing."""
    return instant(document, field) if field in document else None
