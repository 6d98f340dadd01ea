# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bech32: one spelling for each key, and no mistyped one is taken."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import bech32, keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import BadKey

from .helpers import ME

PUBLIC, SECRET = str(ME.recipient), ME.secret_text()
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
prefixes = st.text(visible, min_size=1, max_size=30).flatmap(
    lambda text: st.sampled_from([text.lower(), text.upper()])
)


@given(prefixes, st.binary(max_size=100))
def test_everything_comes_back(prefix: str, data: bytes) -> None:
    text = bech32.encode(prefix, data)
    assert bech32.decode(text) == (prefix, data)
    assert text in (text.lower(), text.upper())


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("A12UEL5L", "A"),
        ("a12uel5l", "a"),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef"),
        ("11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j", "1"),
        ("split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split"),
        ("?1ezyfcl", "?"),
    ],
)
def test_the_examples_of_bip_173_are_read(text: str, prefix: str) -> None:
    assert bech32.decode(text)[0] == prefix
    assert bech32.encode(*bech32.decode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "A12uEL5L",
        "de1lg7wt\xff",
        "\x201nwldj5",
        "\x7f1axkwrx",
        "\x801eym55h",
        "",
        "1",
        "age",
        "q" * (bech32.MAX_CHARS + 1),
    ],
)
def test_the_counterexamples_of_bip_173_and_more_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|mixes|ends) "):
        bech32.decode(text)


@pytest.mark.parametrize("text", [PUBLIC, SECRET], ids=["public", "secret"])
def test_every_single_wrong_character_is_refused(text: str) -> None:
    alphabet = CHARSET + "1bio-" if text.islower() else (CHARSET + "1bio-").upper()
    for place, char in enumerate(text):
        for other in set(alphabet) - {char}:
            with pytest.raises(ValueError, match="checksum|prefix|character"):
                bech32.decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("text", [PUBLIC, SECRET], ids=["public", "secret"])
def test_what_is_cut_off_swapped_or_in_mixed_case_is_refused(text: str) -> None:
    for place in range(len(text)):
        swapped = text[:place] + text[place + 1 : place + 2] + text[place] + text[place + 2 :]
        mixed = text[:place] + text[place].swapcase() + text[place + 1 :]
        for wrong in (text[:place], text[place + 1 :], text[:place] + text[place + 1 :], swapped, mixed):
            if wrong != text:
                with pytest.raises(ValueError, match="checksum|prefix|character|mixes|bits"):
                    bech32.decode(wrong)


def test_bits_that_belong_to_no_byte_have_to_be_zero_and_few() -> None:
    def spelled(values: list[int]) -> str:
        rest = bech32._polymod([*bech32._expand("age"), *values, *[0] * 6]) ^ 1
        values = values + [rest >> 5 * (5 - place) & 31 for place in range(6)]
        return "age1" + "".join(CHARSET[value] for value in values)

    assert bech32.decode(spelled([0, 0])) == ("age", b"\0")
    for values in ([0, 1], [0, 2], [0], [0, 0, 0], [31, 31]):
        with pytest.raises(ValueError, match="ends in bits that belong to no byte"):
            bech32.decode(spelled(values))


def test_a_character_that_only_looks_like_one_is_refused() -> None:
    kelvin = "\N{KELVIN SIGN}"
    assert kelvin.lower() == "k"
    for place, char in enumerate(SECRET):
        if char == "K":
            with pytest.raises(ValueError, match="not ASCII"):
                bech32.decode(SECRET[:place] + kelvin + SECRET[place + 1 :])
    for text in (
        SECRET + "\u0301",
        PUBLIC.replace("a", "\uff41", 1),
        PUBLIC + "\n",
        " " + PUBLIC,
        PUBLIC + "\0",
    ):
        with pytest.raises(ValueError, match="ASCII|character"):
            bech32.decode(text)


@given(st.text(max_size=90) | st.text(CHARSET + "1", max_size=90).map(lambda text: f"age1{text}"))
def test_any_text_ends_in_one_spelling_or_our_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert bech32.encode(*bech32.decode(text)) == text
    with contextlib.suppress(BadKey):
        assert str(keys.parse_recipient(text)) == text
    with contextlib.suppress(BadKey):
        assert keys.parse_identity(text).secret_text() == text


@given(prefixes | st.sampled_from(["age", "AGE-SECRET-KEY-"]), st.binary(max_size=40))
def test_any_data_under_any_prefix_end_in_a_key_or_our_error(prefix: str, data: bytes) -> None:
    text = bech32.encode(prefix, data)
    right_length = len(data) == 32
    for parse, kind in ((keys.parse_recipient, "age"), (keys.parse_identity, "AGE-SECRET-KEY-")):
        if right_length and prefix == kind:
            parse(text)
        else:
            with pytest.raises(BadKey) as caught:
                parse(text)
            assert text not in str(caught.value)
