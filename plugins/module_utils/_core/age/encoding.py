# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base64 of age: standard alphabet, no padding, one spelling only (C2SP age, conventions)."""

from __future__ import annotations

import base64
import re
from typing import Union

Buffer = Union[bytes, bytearray, memoryview]

_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")


def encode(data: bytes) -> bytes:
    """Return ``data`` as unpadded base64."""
    return base64.b64encode(data).rstrip(b"=")


def decode(text: bytes) -> bytes | None:
    """Return the bytes that ``text`` spells, or ``None`` when it is not the one unpadded spelling of them."""
    if not _ALPHABET.fullmatch(text) or len(text) % 4 == 1:
        return None
    data = base64.b64decode(text + b"=" * (-len(text) % 4))
    return data if encode(data) == text else None


def decode_exactly(text: str, size: int) -> bytes | None:
    """Return the ``size`` bytes that ``text`` spells, or ``None``. ``text`` is ASCII."""
    data = decode(text.encode("ascii"))
    return data if data is not None and len(data) == size else None
