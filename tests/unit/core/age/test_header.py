# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers are hostile: parsed strictly, within bounds, and spelled in one way only."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import envelope, header
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import (
    BadKey,
    HeaderFailure,
    MacFailure,
    NoMatch,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.header import FileKey, Header, Stanza
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import RunbookError, SystemFault

from .helpers import ME, OTHER, seal

FILE_KEY = FileKey(bytes(range(16)))
GREASE = Stanza("Xyz-grease", ("a", "!~"), b"")
SOMEBODY = Stanza("X25519", ("TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc",), bytes(range(32)))
GOOD = Header.make((SOMEBODY, GREASE), FILE_KEY).encode()

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
stanzas = st.builds(
    Stanza, visible, st.lists(visible, max_size=3).map(tuple), st.binary(max_size=200) | st.just(bytes(48))
)
# Pieces of the grammar, right and wrong, so that chance comes close to a header.
words = st.sampled_from(
    [b"age-encryption.org/v1\n", b"-> ", b"->", b"X25519", b" ", b"\n", b"---", b"--- ", b"A" * 43, b"A" * 64]
    + [b"\r\n", b"=", b"+/", b"B", b"age-encryption.org/v2\n", b"\0", b"\xff", GOOD[22:-48], GOOD[-48:]]
)


def parse(data: bytes) -> Header:
    return header.read_header(io.BytesIO(data))


def require_one_spelling(data: bytes) -> None:
    """Whatever is parsed encodes to the same bytes; anything else is our failure."""
    source = io.BytesIO(data)
    try:
        found = header.read_header(source)
    except HeaderFailure:
        return
    assert found.encode() == data[: source.tell()]
    assert found.size == source.tell()


@given(st.binary(max_size=300))
def test_any_bytes_end_in_our_failure(data: bytes) -> None:
    require_one_spelling(data)
    require_one_spelling(GOOD[:22] + data)


@given(st.lists(words, max_size=12).map(b"".join))
def test_pieces_of_the_grammar_end_in_one_spelling_or_our_failure(data: bytes) -> None:
    require_one_spelling(data)
    require_one_spelling(b"age-encryption.org/v1\n" + data)


@given(st.integers(0, len(GOOD)), st.integers(0, 4), st.binary(max_size=4))
def test_a_header_that_was_edited_has_one_spelling_or_is_refused(place: int, cut: int, new: bytes) -> None:
    require_one_spelling(GOOD[:place] + new + GOOD[place + cut :])


@given(st.lists(stanzas, min_size=1, max_size=5), st.binary(min_size=32, max_size=32), st.binary(max_size=9))
def test_any_header_is_read_back_and_nothing_after_it_is_taken(
    made: list[Stanza], mac: bytes, payload: bytes
) -> None:
    whole = Header(tuple(made), mac)
    source = io.BytesIO(whole.encode() + payload)
    assert header.read_header(source) == whole
    assert source.read() == payload


@given(st.lists(stanzas, max_size=4), st.integers(0, 4))
def test_strangers_stanzas_are_passed_over_wherever_they_stand(others: list[Stanza], place: int) -> None:
    kept = [stanza for stanza in others if stanza.type not in envelope.KNOWN_TYPES]
    mine = ME.recipient.wrap(FILE_KEY)
    whole = Header.make((*kept[:place], mine, *kept[place:]), FILE_KEY)
    assert envelope.open_header(parse(whole.encode()), [OTHER, ME]).secret() == FILE_KEY.secret()
    with pytest.raises(NoMatch):
        envelope.open_header(whole, [OTHER])
    if kept:
        with pytest.raises(MacFailure):
            envelope.open_header(Header((mine, *kept[1:]), whole.mac), [ME])


@given(
    st.lists(visible, max_size=3).map(tuple), st.binary(max_size=40), st.sampled_from(["X25519", "scrypt"])
)
def test_any_stanza_of_a_known_type_opens_is_for_another_or_is_our_failure(
    arguments: tuple[str, ...], body: bytes, kind: str
) -> None:
    whole = Header.make((Stanza(kind, arguments, body),), FILE_KEY)
    with pytest.raises((HeaderFailure, NoMatch)):
        envelope.open_header(whole, [ME])


def test_a_header_of_any_length_within_the_limit_is_read_and_no_longer_one() -> None:
    def long(size: int) -> bytes:
        return Header.make((Stanza("long", ("x" * size,), b""),), FILE_KEY).encode()

    spare = header.MAX_HEADER_BYTES - len(long(1)) + 1
    assert len(long(spare)) == header.MAX_HEADER_BYTES
    assert parse(long(spare)).size == header.MAX_HEADER_BYTES
    with pytest.raises(HeaderFailure, match="longer than 262144 bytes"):
        parse(long(spare + 1))
    with pytest.raises(HeaderFailure, match="longer than 262144 bytes"):
        parse(GOOD[:22] + b"-> " + b"x" * (1 << 20))


def test_more_than_the_most_recipients_are_refused_both_ways() -> None:
    many = (GREASE,) * header.MAX_STANZAS
    assert len(parse(Header.make(many, FILE_KEY).encode()).stanzas) == header.MAX_STANZAS
    with pytest.raises(HeaderFailure, match="more than 512 recipients"):
        parse(Header.make((*many, GREASE), FILE_KEY).encode())
    with pytest.raises(BadKey, match="more than 512"):
        envelope.seal_header(FILE_KEY, [ME.recipient], many)


def test_an_endless_line_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.taken += size
            return b"x" * size

    source = Endless()
    with pytest.raises(HeaderFailure):
        header.read_header(source)
    assert source.taken == header.MAX_HEADER_BYTES


def test_an_error_of_the_disk_is_named() -> None:
    class Broken(io.RawIOBase):
        def readline(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SystemFault, match="a path: cannot read the header: Input/output error"):
        header.read_header(Broken(), "a path")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends within it"),
        (b"age-encryption.org/v2\n", "its version is not v1"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "text form"),
        (b"\x1f\x8b\n", "does not begin as an age file does"),
        (b"age-encryption.org/v1\r\n", "its version is not v1"),
        (b"age-encryption.org/v1\n---", "it is cut off"),
        (b"age-encryption.org/v1\n--- " + b"A" * 43 + b"\n", "first line is malformed"),
        (GOOD[:-2] + b"\n", "holds no MAC"),
        (b"age-encryption.org/v1\n-> a\n" + b"A" * 65 + b"\n" + GOOD[-48:], "longer than 64 columns"),
        (b"age-encryption.org/v1\n-> a\nAB\n" + GOOD[-48:], "no canonical base64"),
        (b"age-encryption.org/v1\n-> a\nAA==\n" + GOOD[-48:], "no canonical base64"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, why: str) -> None:
    with pytest.raises(HeaderFailure, match=why):
        parse(data)


def test_a_rewrap_keeps_strangers_stanzas_in_order_after_its_own() -> None:
    first, last = Stanza("first", (), b"1"), Stanza("last", ("x",), bytes(48))
    old = Header.make((first, ME.recipient.wrap(FILE_KEY), last), FILE_KEY)
    new = envelope.rewrapped(old, [ME], [OTHER.recipient, ME.recipient])
    assert [stanza.type for stanza in new.stanzas] == ["X25519", "X25519", "first", "last"]
    assert new.stanzas[2:] == (first, last)
    bare = envelope.rewrapped(old, [ME], [OTHER.recipient], keep_unknown=False)
    assert [stanza.type for stanza in bare.stanzas] == ["X25519"]
    for made in (new, bare):
        assert envelope.open_header(made, [OTHER]).secret() == FILE_KEY.secret()
    with pytest.raises(NoMatch):
        envelope.rewrapped(bare, [ME], [ME.recipient])
    with pytest.raises(BadKey, match="no recipient"):
        envelope.rewrapped(old, [ME], [])


def test_a_file_key_and_its_header_are_never_shown() -> None:
    assert FILE_KEY.secret().hex() not in f"{FILE_KEY} {FILE_KEY!r} {parse(GOOD)!r}"
    with pytest.raises(RunbookError) as caught:
        envelope.open_header(parse(seal(b"x")), [OTHER])
    assert "X25519" in str(caught.value)
    assert OTHER.secret_text() not in str(caught.value)
