# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which domain a reason code names, and which entry of an allowlist covers it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import discovery

from .sample_maker import domain, failures

CODE = discovery.MARKER


@pytest.mark.parametrize(
    ("reason_code", "expected"),
    [
        (f"{CODE}:example.com", "example.com"),
        (f"{CODE}:Example.COM.", "example.com"),
        (f"{CODE}: example.com timed out", "example.com"),
        (f"{CODE}:https://example.com:443/watch?v=1", "example.com"),
        (f"{CODE}_TIMEOUT:example.com", "example.com"),
        (f"crawler/{CODE}:example.com", "example.com"),
        (f"a:b {CODE}:example.com:{CODE}", "example.com"),
        (f"{CODE}:müsic.example", "müsic.example"),
        (CODE, None),
        (f"{CODE}:", None),
        (f"{CODE}: ", None),
        (f"{CODE}:.", None),
        (f"{CODE}:/x", None),
    ],
)
def test_the_domain_is_what_follows_the_colon(reason_code: str, expected: str | None) -> None:
    assert discovery.domain_of(reason_code) == expected


@given(st.text(max_size=600))
def test_any_reason_code_gives_a_bounded_printable_domain_or_none(text: str) -> None:
    found = discovery.domain_of(f"{CODE}:{text}")
    assert found is None or (found.isprintable() and 0 < len(found) <= discovery.MAX_NAME)


@pytest.mark.parametrize(
    ("name", "allowlist", "entry"),
    [
        ("example.com", ["example.com"], "example.com"),
        ("cdn.example.com", ["example.com"], "example.com"),
        ("a.b.example.com", ["example.com", "b.example.com"], "b.example.com"),
        ("example.com", ["Example.Com."], "example.com"),
        ("cdn.example.com", ["*.example.com"], "example.com"),
        ("cdn.example.com", [".example.com"], "example.com"),
        ("example.com", ["https://example.com/films"], "example.com"),
        ("example.com", ["cdn.example.com"], None),
        ("notexample.com", ["example.com"], None),
        ("example.com.evil.net", ["example.com"], None),
        ("example.com", ["com."], "com"),
        ("example.com", ["", "*", "."], None),
        (None, ["example.com", ""], None),
    ],
)
def test_an_entry_covers_its_domain_and_every_subdomain(
    name: str | None, allowlist: list[str], entry: str | None
) -> None:
    found = failures(domain(name, 3)).value
    assert found is not None
    assert discovery.against(found, allowlist).domains[0].entry == entry


def test_what_is_kept_is_bounded_and_what_matters_comes_first() -> None:
    many = [domain(f"other{number}", 9) for number in range(500)]
    found = failures(*many, domain("allowed", 1, "allowed"), domain(None, 2), omitted=3).value
    assert found is not None
    short = discovery.shortened(found)
    assert [one.domain for one in short.domains[:3]] == ["allowed", None, "other0"]
    assert len(short.domains) == discovery.MAX_TOLD
    assert short.omitted == 3 + 9 * (502 - discovery.MAX_TOLD)
