# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter table, called as a function and by Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.filter.table import FilterModule, table, text, width_of

CHECKOUT = Path(__file__).resolve().parents[3]


def test_a_table_has_a_header_a_rule_and_its_rows() -> None:
    rows = [
        {"host": "tv-01", "state": "RUNNING", "buffer": 118, "healthy": True, "more": "not shown"},
        {"host": "tv-2", "state": None, "buffer": 7, "healthy": False},
    ]
    columns = ["host", {"key": "state", "title": "API"}, "buffer", "healthy", "gone"]
    assert table(rows, columns) == [
        "host   API      buffer  healthy  gone",
        "-----  -------  ------  -------  ----",
        "tv-01  RUNNING     118  yes      -",
        "tv-2   -             7  no       -",
    ]


def test_without_rows_there_are_a_header_and_a_rule() -> None:
    assert table([], ["a", {"key": "b", "title": "Buffer"}]) == ["a  Buffer", "-  ------"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (-12, "-12"),
        (0.5, "0.5"),
        (0.99512345, "0.9951"),
        (100.0, "100"),
        (-0.00001, "0"),
        (1234567.891, "1234567.891"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("", ""),
        ([], "-"),
        (["a", 1, None, 0.25], "a, 1, -, 0.25"),
        ({"a": "é", "b": [1]}, '{"a": "é", "b": [1]}'),
    ],
)
def test_a_value_reads_as_an_operator_expects(value: object, shown: str) -> None:
    assert text(value) == shown


def test_numbers_are_on_the_right_unless_asked_otherwise() -> None:
    rows = [{"n": 1, "m": "x", "b": True}, {"n": 100.5, "m": "long", "b": None}]
    assert table(rows, ["n", "m", "b"])[2:] == ["    1  x     yes", "100.5  long  -"]
    turned = [{"key": "n", "align": "left"}, {"key": "m", "align": "right"}]
    assert table(rows, turned)[2:] == ["1         x", "100.5  long"]


def test_long_cells_are_cut() -> None:
    rows = [{"a": "x" * 100, "b": "y" * 100}]
    lines = table(rows, ["a", {"key": "b", "width": 5}], max_width=10)
    assert lines[2] == "xxxxxxxxx…  yyyy…"
    assert len(table(rows, ["a"])[2]) == 60
    assert table([{"k": 1}], [{"key": "k", "title": "a long title", "width": 6}])[0] == "a lon…"


def test_wide_characters_take_two_places() -> None:
    rows = [{"a": "テレビ局", "b": 1}, {"a": "tv", "b": 2}]
    assert table(rows, ["a", "b"])[1:] == ["--------  -", "テレビ局  1", "tv        2"]
    assert table(rows, [{"key": "a", "width": 4}, "b"])[2] == "テ…  1"
    assert width_of("e\u0301") == 1


def test_hostile_data_steer_no_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\ttext\u202egnp\u200b\x9b31m\x00\ud800"
    lines = table([{evil: evil, "b": [evil], "c": {evil: evil}}], [evil, "b", {"key": "c", "title": evil}])
    assert len(lines) == 3
    for char in "".join(lines):
        assert char == " " or unicodedata.category(char)[0] not in "CZ", repr(char)
    assert "text" in lines[2]


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.floats()),
)


@given(st.lists(st.fixed_dictionaries({}, optional={"a": CELLS, "b": CELLS})), st.integers(1, 30))
def test_any_data_make_a_clean_table_of_aligned_columns(rows: list[dict[str, Any]], width: int) -> None:
    lines = table(rows, ["a", {"key": "b", "align": "right"}], width)
    assert len(lines) == len(rows) + 2
    # The last column is on the right, so all lines that are not cut of their blanks end in one place.
    assert len({width_of(line) for line in lines}) == 1
    assert width_of(lines[0]) <= 2 * width + 2
    assert all(char == " " or unicodedata.category(char)[0] not in "CZ" for line in lines for char in line)
    assert all(line.isascii() or line.encode() for line in lines)


@pytest.mark.parametrize(
    ("rows", "columns", "options", "word"),
    [
        ("text", ["a"], {}, "the input is str, not a list"),
        ({"a": 1}, ["a"], {}, "the input is dict, not a list"),
        (None, ["a"], {}, "the input is NoneType"),
        ([1], ["a"], {}, "row 1 is int, not a dictionary"),
        ([{}], "a", {}, "columns is str"),
        ([{}], [], {}, "columns is empty"),
        ([{}], [1], {}, "a column is a key"),
        ([{}], [{"title": "A"}], {}, "a column is a key"),
        ([{}], [{"key": "a", "color": "red"}], {}, "a column has no 'color'"),
        ([{}], [{"key": "a", "align": "middle"}], {}, "align is 'left' or 'right'"),
        ([{}], [{"key": "a", "width": 0}], {}, "a width is"),
        ([{}], ["a"], {"max_width": True}, "a width is"),
        ([{}], ["a"], {"max_width": "9"}, "a width is"),
    ],
)
def test_what_is_no_table_is_refused(rows: Any, columns: Any, options: dict[str, Any], word: str) -> None:
    with pytest.raises(AnsibleFilterError, match=word):
        table(rows, columns, **options)


def test_the_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"table": table}


def test_ansible_finds_the_filter_and_gives_it_templated_data(tmp_path: Path) -> None:
    expected = ["s    n", "---  -", "aaa  2", "b    -"]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "rows": [{"n": "{{ 1 + 1 }}", "s": "{{ 'a' * 3 }}"}, {"n": "{{ none }}", "s": "b"}],
            "columns": ["s", {"key": "n", "align": "right"}],
            "expected": expected,
        },
        "tasks": [{"ansible.builtin.assert": {"that": "rows | vvtv.runbook.table(columns) == expected"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build/collections"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    command = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [command, "-i", "localhost,", "-c", "local", tmp_path / "play.yml"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok=1" in done.stdout
