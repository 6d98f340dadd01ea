# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text form of age files: what stock age makes of it, and nothing that is not strict."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import armor, keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import ArmorFailure
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Reader
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import RunbookError, SystemFault

from .helpers import CHUNK, ME, seal

SIZES = [0, 1, 47, 48, 49, 95, 96, 97, 1000, CHUNK - 1, CHUNK, CHUNK + 1]


def armored(data: bytes, step: int = 1 << 16) -> bytes:
    sink = io.BytesIO()
    writer = armor.ArmorWriter(sink)
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
    writer.finish()
    return sink.getvalue()


def dearmored(text: bytes) -> bytes:
    return armor.dearmor(io.BytesIO(text), "a path").read()


SHORT, WHOLE_LINES = armored(b"x" * 100), armored(b"x" * 96)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1 << 16, 7, 48])
def test_every_size_comes_back(size: int, step: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    text = armored(data, step)
    assert dearmored(text) == dearmored(text.replace(b"\n", b"\r\n")) == data
    assert max(len(line) for line in text.split(b"\n")) <= 64


@pytest.mark.parametrize("size", [0, 1, CHUNK + 1])
def test_stock_age_and_we_read_each_others_text_form(tmp_path: Path, size: int) -> None:
    key = tmp_path / "key"
    key.write_bytes(keys.render_identities([ME]))
    plain = bytes(range(256)) * (size // 256) + bytes(size % 256)
    opened = subprocess.run(
        ["age", "-d", "-i", key], input=armored(seal(plain)), capture_output=True, check=True
    )
    assert opened.stdout == plain
    made = subprocess.run(
        ["age", "-a", "-r", str(ME.recipient)], input=plain, capture_output=True, check=True
    ).stdout
    assert b"".join(Reader(armor.dearmor(io.BytesIO(made)), [ME])) == plain


@pytest.mark.parametrize("text", [SHORT, WHOLE_LINES], ids=["short last line", "whole lines"])
def test_what_is_cut_off_is_refused_at_every_length(text: bytes) -> None:
    for length in range(len(text) - 1):
        with pytest.raises(ArmorFailure):
            dearmored(text[:length])
    assert dearmored(text[:-1]) == dearmored(text)  # the last line end is nobody's


def test_white_space_around_it_is_allowed_within_bounds() -> None:
    for before, after in ((b"\n\r\n \t\n", b" \n\n"), (b"\n" * 1000, b"\n" * 1000)):
        assert dearmored(before + SHORT + after) == b"x" * 100
    for before, after in ((b"\n" * 1025, b""), (b"", b"\n" * 1025), (b" ", b""), (b"x\n", b""), (b"", b"x")):
        with pytest.raises(ArmorFailure):
            dearmored(before + SHORT + after)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"eHh4\n\neHh4\n",
        b"eHh4\neHh4\n",
        b"eHh4 \n",
        b" eHh4\n",
        b"eHg\n",
        b"eHg=x\n",
        b"eHh=\n",
        b"eH-_\n",
        b"eHh4\r\n\r\n",
        b"A" * 68 + b"\n",
        b"A" * 200 + b"\n",
        b"eHh4\0\n",
        b"eHh4\r\r\n",
        b"eHh4",
    ],
)
def test_a_body_that_is_not_strict_is_refused(body: bytes) -> None:
    if body == b"":
        assert dearmored(armor.BEGIN + b"\n" + armor.END) == b""
    else:
        with pytest.raises(ArmorFailure):
            dearmored(armor.BEGIN + b"\n" + body + armor.END + b"\n")


def test_no_changed_character_gives_the_same_file() -> None:
    text = armored(seal(b"what nobody may change"))
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        with pytest.raises(RunbookError):
            list(Reader(armor.dearmor(io.BytesIO(changed)), [ME]))


def test_after_a_failure_every_further_step_fails_too() -> None:
    reader = armor.dearmor(io.BytesIO(SHORT[:-10]))
    for _turn in range(3):
        with pytest.raises(ArmorFailure):
            reader.read(10)


def test_an_error_of_the_disk_is_named() -> None:
    class Broken(io.RawIOBase):
        def readline(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SystemFault, match="a path: cannot read: Input/output error"):
        armor.dearmor(Broken(), "a path").read()


@given(st.binary(max_size=300))
def test_any_bytes_end_in_our_failure(data: bytes) -> None:
    with pytest.raises(ArmorFailure):
        dearmored(data)
    with contextlib.suppress(ArmorFailure):
        dearmored(armor.BEGIN + b"\n" + data)


@given(st.integers(0, len(SHORT)), st.integers(0, 4), st.binary(max_size=4))
def test_text_that_was_edited_is_refused_or_other_data(place: int, cut: int, new: bytes) -> None:
    text = SHORT[:place] + new + SHORT[place + cut :]
    with contextlib.suppress(ArmorFailure):
        data = dearmored(text)
        assert armored(data).split() == text.split()


@given(st.binary(max_size=300))
def test_any_data_come_back(data: bytes) -> None:
    assert dearmored(armored(data)) == data
