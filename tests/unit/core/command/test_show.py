# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words and tables for a person: aligned, and harmless whatever a node holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import show


def test_a_table_is_aligned_and_a_dash_stands_for_nothing() -> None:
    assert show.table(("A", "LONG TITLE", "C"), [("x", None, "y"), ("longer", 1.5, "")]) == [
        "A       LONG TITLE  C",
        "x       -           y",
        "longer  1.5         -",
    ]
    assert show.table(("A",), []) == []
    assert show.pairs((("one", 1), ("three", None), ("seven", True))) == ["  one    1", "  seven  yes"]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_nothing_in_a_cell_moves_a_cursor_or_begins_a_line(texts: list[str]) -> None:
    for line in show.table(tuple("ABCD"[: len(texts)]), [texts]):
        assert line.isprintable()
    for line in show.diff([{"before_header": "a", "before": "".join(texts), "after": "x"}]):
        assert line.replace("\t", "").isprintable()
    assert show.listed(texts).isprintable()


SIZES = {
    None: None,
    0: "0 B",
    1023: "1023 B",
    1024: "1.0 KiB",
    1536: "1.5 KiB",
    5 << 40: "5.0 TiB",
    1 << 60: "1048576.0 TiB",
}


@pytest.mark.parametrize("count", SIZES)
def test_sizes(count: int | None) -> None:
    assert show.size(count) == SIZES[count]


TIMES = {
    0.0: "0 s",
    59.6: "1 min",
    61.0: "1 min 1 s",
    -3600.0: "-1 h",
    90_061.0: "1 d 1 h",
    86_401.0: "1 d 1 s",
}


@pytest.mark.parametrize("count", TIMES)
def test_times(count: float) -> None:
    assert show.seconds(count) == TIMES[count]


def test_instants_without_what_is_below_a_second() -> None:
    assert show.instant("2026-01-31T23:59:59.123456Z") == "2026-01-31T23:59:59Z"
    assert show.instant("2026-01-31T23:59:59.5+00:00") == "2026-01-31T23:59:59+00:00"
    assert show.instant("2026-01-31T23:59:59Z") == "2026-01-31T23:59:59Z"
    assert show.instant(None) is None


def test_what_is_too_much_is_counted() -> None:
    assert show.listed(range(8)) == "0, 1, 2, 3, 4 and 3 more"
    assert show.listed([]) == "none"
    long = {"before_header": "a", "after_header": "b", "before": "", "after": "x\n" * 1000}
    assert show.diff([long])[-1] == "and 603 lines more"
    assert show.diff([{"before": "a", "after": "b"}]) == []


def test_actions() -> None:
    assert show.actions([], False) == ["nothing to do"]
    assert show.actions([], True) == ["nothing would be done"]
    assert show.actions(["a", "b"], False) == ["done:", "  a", "  b"]
