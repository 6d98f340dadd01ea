# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bech32 as age uses it: BIP 173 without its limit of length.

A text is all lower or all upper case and its checksum is computed over the lower case. What was read keeps
its case in the human-readable part, so that ``age`` and ``AGE`` stay different prefixes, as in stock age.
"""

from __future__ import annotations

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {char: value for value, char in enumerate(_CHARSET)}
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CHARS = 6
MAX_CHARS = 8192


def encode(prefix: str, data: bytes) -> str:
    """Return ``data`` under the human-readable ``prefix``, in the prefix's case."""
    lower = prefix.lower()
    values = _to_fives(data)
    rest = _polymod([*_expand(lower), *values, *[0] * _CHECKSUM_CHARS]) ^ 1
    values += [rest >> 5 * (_CHECKSUM_CHARS - 1 - place) & 31 for place in range(_CHECKSUM_CHARS)]
    text = lower + "1" + "".join(_CHARSET[value] for value in values)
    return text if prefix == lower else text.upper()


def decode(text: str) -> tuple[str, bytes]:
    """Return the human-readable part, in its case, and the data of ``text``.

    Raise :class:`ValueError` with a reason that quotes nothing of ``text``, which may be a secret.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"is longer than {MAX_CHARS} characters")
    if not text.isascii():  # some other characters have an ASCII lower case
        raise ValueError("has a character that is not ASCII")
    if text not in (text.lower(), text.upper()):
        raise ValueError("mixes upper and lower case")
    prefix, separator, tail = text.rpartition("1")
    if not separator or not prefix or len(tail) < _CHECKSUM_CHARS:
        raise ValueError("has no prefix or is too short")
    if any(not "!" <= char <= "~" for char in prefix):
        raise ValueError("has a character that is not allowed before the last 1")
    values = [_VALUES.get(char, -1) for char in tail.lower()]
    if -1 in values:
        raise ValueError("has a character that is not allowed after the last 1")
    if _polymod([*_expand(prefix.lower()), *values]) != 1:
        raise ValueError("has a wrong checksum: it was mistyped or cut off")
    return prefix, _from_fives(values[:-_CHECKSUM_CHARS])


def _expand(prefix: str) -> list[int]:
    return [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]


def _polymod(values: list[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATORS):
            if top >> place & 1:
                state ^= generator
    return state


def _to_fives(data: bytes) -> list[int]:
    """Return the bits of ``data`` in groups of five, the last one filled up with zeros."""
    bits = 8 * len(data)
    padding = -bits % 5
    number = int.from_bytes(data, "big") << padding
    return [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]


def _from_fives(values: list[int]) -> bytes:
    number = 0
    for value in values:
        number = number << 5 | value
    padding = 5 * len(values) % 8
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("ends in bits that belong to no byte")
    return (number >> padding).to_bytes(5 * len(values) // 8, "big")
