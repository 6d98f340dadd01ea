# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An archive is believed only when everything in it agrees, and only at its end."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import documents, files, owner_card
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import PayloadFailure
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Reader
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.read import Contents, read
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, DiskFull
from ansible_collections.vvtv.runbook.plugins.module_utils._core.manifest import Manifest
from tests.simulator.owner_card import SAMPLE
from tests.unit.core.age.helpers import ME, SEALED, seal

from .helpers import KINDS, PATH, compress, cut, noise, tar_of

DB = b"SQLite format 3\0\x10\0" + noise(200_000) + bytes(100_000)
CARD = SAMPLE.encode()
NAMES = ("state.db", "owner_card.yaml", "manifest.json")
MOST = 1 << 24


def manifest(db: bytes = DB, card: bytes = CARD, **changes: Any) -> bytes:
    """Return the manifest of an archive of these two."""
    facts = {"state_db_sha256": files.sha256_hex(db), "owner_card_sha256": files.sha256_hex(card), **changes}
    return Manifest("2026-01-31T23:59:59Z", **facts).to_json()


def packed(db: bytes = DB, card: bytes = CARD, facts: bytes | None = None, kind: str = "gzip") -> bytes:
    """Return the payload of an archive."""
    held = zip(NAMES, (db, card, manifest(db, card) if facts is None else facts))
    return compress(kind, tar_of(held))


def opened(payload: bytes, kind: str = "gzip", most: int = MOST) -> Contents:
    return read(kind, cut(payload), PATH, most)


def refusal(payload: bytes) -> str:
    with pytest.raises(Damaged) as caught:
        opened(payload)
    assert str(PATH) in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_archive_gives_manifest_card_and_database(kind: str) -> None:
    sizes, kept = [], []

    def keep(size: int) -> Any:
        sizes.append(size)
        return kept.append

    found = read(kind, cut(packed(kind=kind)), PATH, MOST, keep)
    assert (found.card, found.size, found.manifest.to_json()) == (CARD, len(DB), manifest())
    assert (sizes, b"".join(kept)) == ([len(DB)], DB)
    assert read(kind, cut(packed(kind=kind)), PATH, MOST, lambda _size: None) == found


def test_the_order_of_the_members_does_not_matter() -> None:
    held = dict(zip(NAMES, (DB, CARD, manifest())))
    for names in (NAMES[::-1], (NAMES[1], NAMES[0], NAMES[2])):
        assert opened(compress("gzip", tar_of((name, held[name]) for name in names))).size == len(DB)


def test_what_is_compressed_otherwise_than_its_name_says_is_refused() -> None:
    for kind, other in (("gzip", "zstd"), ("zstd", "gzip")):
        if {kind, other} <= set(KINDS):
            with pytest.raises(Damaged):
                opened(packed(kind=kind), other)
    assert "no sound gzip stream" in refusal(tar_of([("manifest.json", manifest())]))


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_member_is_named(missing: str) -> None:
    held = zip(NAMES, (DB, CARD, manifest()))
    left = tar_of((name, data) for name, data in held if name != missing)
    assert f"the archive lacks {missing}" in refusal(compress("gzip", left))


def test_an_empty_archive_lacks_everything() -> None:
    assert "lacks manifest.json, owner_card.yaml, state.db" in refusal(compress("gzip", tar_of([])))


def test_a_database_or_card_that_is_another_than_the_manifest_says_is_refused() -> None:
    other = DB[:-1] + b"\1"
    assert "state.db in it has SHA-256" in refusal(packed(db=other, facts=manifest()))
    assert "state.db in it has SHA-256" in refusal(packed(db=DB[:-512], facts=manifest()))
    assert "owner_card.yaml in it has SHA-256" in refusal(packed(card=CARD + b"\n", facts=manifest()))


def test_a_manifest_of_other_files_is_refused() -> None:
    for field in ("state_db_file", "owner_card_file"):
        assert "names other files" in refusal(packed(facts=manifest(**{field: "other.db"})))


@pytest.mark.parametrize("facts", [b"", b"{}", b"[]", b"\xff", b'{"schema_version": 2}'])
def test_a_manifest_that_is_none_is_refused(facts: bytes) -> None:
    assert "/an/archive/manifest.json" in refusal(packed(facts=facts))


def test_a_card_that_breaks_a_rule_is_refused_even_with_the_right_hash() -> None:
    for card in (b"", b"a: [", CARD.replace(b"schema_version: 1", b"schema_version: 0")):
        assert "is no valid OwnerCard" in refusal(packed(card=card))


def test_what_is_no_database_is_refused_even_with_the_right_hash() -> None:
    for db in (b"", b"x" * 4096, b"SQLite format 3\0" + bytes(84), DB[:99], DB[:16] + b"\0\3" + DB[18:]):
        assert "/an/archive/state.db" in refusal(packed(db=db))


def test_each_member_has_its_limit() -> None:
    assert opened(packed(), most=len(DB)).size == len(DB)
    with pytest.raises(Damaged, match=f"holds state.db of {len(DB)} bytes, more than {len(DB) - 1}"):
        opened(packed(), most=len(DB) - 1)
    large = CARD + b"#" * (owner_card.MAX_BYTES - len(CARD) + 1)
    assert f"more than {owner_card.MAX_BYTES}" in refusal(packed(card=large))
    assert f"more than {documents.MAX_BYTES}" in refusal(packed(facts=bytes(documents.MAX_BYTES + 1)))


def test_a_bomb_is_given_up_when_it_passes_its_limit() -> None:
    taken = 0

    def counted(payload: bytes) -> Iterator[bytes]:
        nonlocal taken
        for chunk in cut(payload, 4096):
            taken += 1
            yield chunk

    zeros = compress("gzip", tar_of([]) + bytes(64 << 20), 1 << 20)
    with pytest.raises(Damaged, match="goes on after the end of its tar"):
        read("gzip", counted(zeros), PATH, MOST)
    bomb = compress("gzip", tar_of([("state.db", DB + bytes(64 << 20))]), 1 << 20)
    with pytest.raises(Damaged, match="more than"):
        read("gzip", counted(bomb), PATH, len(DB))
    # What was taken in advance counts too.
    assert taken < 60 < len(zeros) // 4096


def test_what_goes_on_after_the_end_is_refused() -> None:
    assert "goes on after its gzip stream" in refusal(packed() + b"x")
    assert "goes on after the end of its tar" in refusal(compress("gzip", tar_of([]) + b"x"))


def test_nothing_is_good_before_the_last_byte_is_authentic() -> None:
    """The database was handed over whole; that it may not be used is what the error says."""
    payload = packed(card=CARD + b"# " + noise(200_000).hex().encode())
    sealed = seal(payload)
    start = len(sealed) - len(payload) - 16 * (-(-len(payload) // (SEALED - 16)))
    for position in (start, len(sealed) - 20, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[position] ^= 1
        kept: list[bytes] = []
        with pytest.raises(PayloadFailure):
            reader = Reader(io.BytesIO(changed), [ME])
            read("gzip", iter(reader), PATH, MOST, lambda _size, kept=kept: kept.append)
        assert DB.startswith(b"".join(kept))
        assert (b"".join(kept) == DB) == (position > start)
    with pytest.raises(PayloadFailure):
        read("gzip", iter(Reader(io.BytesIO(sealed + b"x"), [ME])), PATH, MOST)
    assert read("gzip", iter(Reader(io.BytesIO(sealed), [ME])), PATH, MOST).size == len(DB)


def test_an_error_while_the_database_is_kept_comes_through() -> None:
    def full(_data: bytes) -> None:
        raise DiskFull("no room")

    with pytest.raises(DiskFull, match="no room"):
        read("gzip", cut(packed()), PATH, MOST, lambda _size: full)


@settings(max_examples=40)
@given(st.binary(max_size=100), st.integers(0, 2000), st.booleans())
def test_any_bytes_end_in_our_error(data: bytes, place: int, inside: bool) -> None:
    if inside:
        tar = tar_of(zip(NAMES, (DB[:4096], CARD, manifest(DB[:4096]))))
        payload = compress("gzip", tar[: 512 * (place % 20)] + data + b"\1" + tar[512 * (place % 20) :])
    else:
        whole = packed(DB[:4096])
        payload = whole[:place] + data + b"\1" + whole[place + 1 + len(data) :]
        if payload == whole:
            return
    with pytest.raises(Damaged):
        opened(payload)
