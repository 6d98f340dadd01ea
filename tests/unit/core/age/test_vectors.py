# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The official test vectors of the age format (C2SP CCTV), every one of them."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import (
    armor,
    envelope,
    failures,
    keys,
    payload,
    sealed,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.header import Source, read_header
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.scrypt import Passphrase
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import RunbookError, Unsupported

from .helpers import post_quantum

FOLDER = Path(__file__).resolve().parents[4] / "build/vectors/age"
MISSING = f"the age test vectors are missing in {FOLDER}: run 'make setup' (tests/tools/age_vectors.py)"
NAMES = sorted(path.name for path in FOLDER.glob("*")) or ["missing"]

# Which error each expectation of the vectors stands for, and how many vectors there are of each.
CLASSES = {
    "header failure": failures.HeaderFailure,
    "HMAC failure": failures.MacFailure,
    "no match": failures.NoMatch,
    "payload failure": failures.PayloadFailure,
    "armor failure": failures.ArmorFailure,
}
COUNTS = {
    "success": 26,
    "header failure": 62,
    "HMAC failure": 1,
    "no match": 13,
    "payload failure": 19,
    "armor failure": 22,
}
# They need a post-quantum identity, which not every cryptography can use: Unsupported there, at once.
POST_QUANTUM = {
    "armor_hybrid",
    "hybrid",
    "hybrid_and_x25519",
    "hybrid_bad_tag",
    "hybrid_currupted_enc_mlkem",
    "hybrid_currupted_enc_x25519",
    "hybrid_extra_argument",
    "hybrid_grease",
    "hybrid_identity",
    "hybrid_long_file_key",
    "hybrid_long_share",
    "hybrid_low_order",
    "hybrid_multiple_recipients",
    "hybrid_no_match",
    "hybrid_not_canonical_body",
    "hybrid_not_canonical_enc",
    "hybrid_short_share",
    "hybrid_uppercase",
    "hybrid_x25519_arg",
}
FIELDS = {"expect", "payload", "file key", "identity", "passphrase", "armored", "compressed", "comment"}


@dataclass(frozen=True)
class Vector:
    """A vector: its fields in order, some of them repeated, and the age file."""

    fields: list[tuple[str, str]]
    data: bytes

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)

    def source(self) -> Source:
        plain = io.BytesIO(self.data)
        return armor.dearmor(plain) if self.field("armored") else plain

    def identities(self) -> list[envelope.Identity]:
        found: list[envelope.Identity] = []
        for key, value in self.fields:
            if key == "identity":
                found.append(keys.parse_identity(value))
            elif key == "passphrase":
                found.append(Passphrase(value))
        return found


def load(name: str) -> Vector:
    if name == "missing":
        pytest.fail(MISSING)
    head, _blank, data = (FOLDER / name).read_bytes().partition(b"\n\n")
    fields = [
        (key, value) for key, _colon, value in (line.partition(": ") for line in head.decode().split("\n"))
    ]
    assert {key for key, _value in fields} <= FIELDS, "a vector of a kind this test does not know"
    vector = Vector(fields, data)
    if vector.field("compressed") == "zlib":
        vector = Vector(fields, zlib.decompress(data))
    return vector


def outcome(vector: Vector) -> tuple[str, bytes]:
    """Return how opening the vector ends, in the vectors' words, and what was released until then."""
    plain = b""
    try:
        for chunk in sealed.Reader(vector.source(), vector.identities()):
            plain += chunk
    except Unsupported:
        return "unsupported", plain
    except RunbookError as exc:
        return next((word for word, kind in CLASSES.items() if exc.__class__ is kind), repr(exc)), plain
    return "success", plain


def expected(name: str, vector: Vector) -> str | None:
    if name in POST_QUANTUM and not post_quantum():
        return "unsupported"
    return vector.field("expect")


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_ends_as_it_must_and_releases_what_it_may(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    vector = load(name)
    result, plain = outcome(vector)
    record_property("age vector", result)  # counted in tests/unit/conftest.py
    assert result == expected(name, vector)
    if result != "unsupported":
        digest = vector.field("payload") or hashlib.sha256(b"").hexdigest()
        assert hashlib.sha256(plain).hexdigest() == digest


def test_all_vectors_are_accounted_for_by_class() -> None:
    vectors = {name: load(name) for name in NAMES}
    assert Counter(vector.field("expect") for vector in vectors.values()) == COUNTS
    asked = {
        name
        for name, vector in vectors.items()
        if any(value.startswith("AGE-SECRET-KEY-PQ-") for _blank, value in vector.fields)
    }
    passed: Counter[str] = Counter()
    for name, vector in vectors.items():
        result, _plain = outcome(vector)
        assert result == expected(name, vector), name
        passed[result] += 1
    assert sum(passed.values()) == len(vectors) == 143
    assert asked == POST_QUANTUM
    assert passed["unsupported"] == (0 if post_quantum() else len(POST_QUANTUM))


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_parses_encodes_to_the_same_bytes(name: str) -> None:
    source = load(name).source()
    try:
        header = read_header(source)
    except (failures.HeaderFailure, failures.ArmorFailure):
        return
    again = load(name).source()
    assert again.read(header.size) == header.encode()
    assert again.read(100) == source.read(100)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_key_nonce_and_data_encrypt_to_the_same_bytes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = load(name)
    if expected(name, vector) != "success":
        return
    source = vector.source()
    file_key = envelope.open_header(read_header(source), vector.identities())
    assert file_key.secret().hex() == vector.field("file key")
    body = b"".join(iter(lambda: source.read(1 << 20), b""))
    monkeypatch.setattr(payload, "random_bytes", lambda count: body[:count])
    sink = io.BytesIO()
    writer = payload.PayloadWriter(file_key, sink)
    writer.write(b"".join(payload.PayloadReader(file_key, io.BytesIO(body))))
    writer.finish()
    assert sink.getvalue() == body
