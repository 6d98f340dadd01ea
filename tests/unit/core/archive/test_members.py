# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tar inside an archive: stock tar reads ours, we read stock tar's, and nothing else comes through."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import members
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged

from .helpers import PATH, cut, members_of, run, tar_of

FILES = {"state.db": bytes(range(256)) * 3, "owner_card.yaml": b"a: 1\n", "manifest.json": b"{}"}
LIMITS = {"state.db": 1 << 20, "owner_card.yaml": 1024, "manifest.json": 512}
GOOD = tar_of(FILES.items())
BLOCK = 512
SIZE = slice(124, 136)
SUM = slice(148, 156)


def summed(block: bytes) -> bytes:
    """Return a header block with the checksum that fits it."""
    total = sum(block[: SUM.start]) + sum(block[SUM.stop :]) + 8 * ord(" ")
    return block[: SUM.start] + b"%06o\0 " % total + block[SUM.stop :]


def sized(field: bytes) -> bytes:
    """Return the header of a database with that in the field for its size."""
    block = members.header("state.db", 0, 0)
    return summed(block[: SIZE.start] + field + block[SIZE.stop :])


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", to: str = "") -> bytes:
    """Return one member as tarfile writes it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), to
    return info.tobuf(tarfile.GNU_FORMAT) + data + members.padding(len(data))


def refusal(data: bytes) -> str:
    with pytest.raises(Damaged) as caught:
        members_of(cut(data), LIMITS)
    assert str(PATH) in str(caught.value)
    return caught.value.msg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three files of an archive."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_stock_tar_and_tarfile_read_ours(tmp_path: Path) -> None:
    run("tar", "x", given=GOOD, cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert run("tar", "t", given=GOOD).decode().split() == list(FILES)
    with tarfile.open(fileobj=io.BytesIO(GOOD), mode="r:") as opened:
        assert {info.name: opened.extractfile(info).read() for info in opened} == FILES


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 70_001])
def test_every_size_comes_back(size: int) -> None:
    files = {"state.db": b"x" * size, "manifest.json": b"after it"}
    assert members_of(cut(tar_of(files.items())), LIMITS) == files


@pytest.mark.parametrize("step", [1, 7, BLOCK, BLOCK + 1, 1 << 20])
def test_the_size_of_the_chunks_does_not_matter(step: int) -> None:
    assert members_of(cut(GOOD, step), LIMITS) == FILES


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "ustar", "v7"])
@pytest.mark.parametrize(
    "what", [".", "state.db owner_card.yaml manifest.json", "./manifest.json ./state.db"]
)
def test_archives_of_stock_tar_are_read(folder: Path, form: str, what: str) -> None:
    made = run("tar", "c", f"--format={form}", *what.split(), cwd=folder)
    found = members_of(cut(made), LIMITS)
    assert found == {name: FILES[name] for name in found}
    assert len(found) == (2 if "./manifest" in what else 3)


def test_extended_headers_are_refused(folder: Path) -> None:
    pax = run("tar", "c", "--format=pax", "--pax-option=comment:=x", "state.db", cwd=folder)
    assert "of type b'x'" in refusal(pax)
    everywhere = run("tar", "c", "--format=pax", "--pax-option=comment=x", "state.db", cwd=folder)
    assert "of type b'g'" in refusal(everywhere)
    (folder / ("long" * 40)).write_bytes(b"")
    assert "of type b'L'" in refusal(run("tar", "c", "--format=gnu", "long" * 40, cwd=folder))
    (folder / "link").symlink_to("long" * 40)
    assert "of type b'K'" in refusal(run("tar", "c", "--format=gnu", "link", cwd=folder))


NAMES = [
    "other",
    "STATE.DB",
    "state.db ",
    "../state.db",
    "./../state.db",
    "/state.db",
    "//state.db",
    "a/state.db",
    "././state.db",
    ".",
    "..",
    "",
    "/etc/passwd",
    "state.db\n",
    "\udcff",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_name_is_refused(name: str) -> None:
    assert "may not hold" in refusal(member(name, data=b"x") + GOOD)


KINDS = {
    "hard link": tarfile.LNKTYPE,
    "symbolic link": tarfile.SYMTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "folder": tarfile.DIRTYPE,
    "pipe": tarfile.FIFOTYPE,
    "contiguous": tarfile.CONTTYPE,
    "long name": tarfile.GNUTYPE_LONGNAME,
    "long link": tarfile.GNUTYPE_LONGLINK,
    "sparse": tarfile.GNUTYPE_SPARSE,
    "pax": tarfile.XHDTYPE,
    "pax for all": tarfile.XGLTYPE,
    "solaris": tarfile.SOLARIS_XHDTYPE,
    "unknown": b"Z",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_refused(kind: str) -> None:
    for name in ("state.db", "./state.db"):
        assert "may not hold" in refusal(member(name, KINDS[kind], to="/etc/passwd") + members.END)


@pytest.mark.parametrize("name", ["../", "a/", "/", "./a/", "state.db/"])
def test_a_foreign_folder_is_refused(name: str) -> None:
    assert "may not hold" in refusal(member(name, tarfile.DIRTYPE) + GOOD)


def test_the_folder_itself_is_passed_over_once() -> None:
    folder = member("./", tarfile.DIRTYPE)
    assert members_of(cut(folder + GOOD), LIMITS) == FILES
    assert "may not hold" in refusal(folder + folder + GOOD)
    assert "may not hold" in refusal(member("./", tarfile.DIRTYPE, b"with data") + GOOD)


@pytest.mark.parametrize("again", ["state.db", "./state.db", "./manifest.json"])
def test_a_name_that_comes_twice_is_refused(again: str) -> None:
    whole = GOOD[: -len(members.END)]
    assert "may not hold" in refusal(whole + member(again, data=b"{}") + members.END)


def test_a_size_above_its_limit_is_refused_and_one_at_it_is_not() -> None:
    files = {"manifest.json": bytes(LIMITS["manifest.json"])}
    assert members_of(cut(tar_of(files.items())), LIMITS) == files
    larger = tar_of([("manifest.json", bytes(LIMITS["manifest.json"] + 1))])
    assert "more than 512" in refusal(larger)


@pytest.mark.parametrize(
    "field",
    [
        b"\xff" * 12,
        b"\xff" * 11 + b"\0",
        b"\x80" + b"\xff" * 11,
        b"\x80\0\0\0" + b"\1" + bytes(7),
        b"77777777777\0",
        b"777777777777",
    ],
)
def test_a_size_that_is_negative_or_huge_is_refused(field: bytes) -> None:
    assert "bytes, more than" in refusal(sized(field) + bytes(2048))


@pytest.mark.parametrize("field", [b"-0000000001\0", b"0x000000001\0", b"not octal!!\0", b"1_0        \0"])
def test_a_size_that_is_no_number_is_refused(field: bytes) -> None:
    if field.startswith(b"-"):
        assert "more than" in refusal(sized(field) + bytes(2048))
    elif field.startswith(b"1_0"):
        # Python's own parser takes it for 10 (octal); the data that follow then decide.
        assert members_of(cut(sized(field) + bytes(BLOCK) + members.END), LIMITS) == {"state.db": bytes(8)}
    else:
        assert "is no tar" in refusal(sized(field) + bytes(2048))


def test_an_archive_that_is_cut_off_is_refused_at_every_length() -> None:
    for length in range(len(GOOD)):
        assert "is cut off" in refusal(GOOD[:length]), length
    assert members_of(cut(GOOD), LIMITS) == FILES


def test_the_end_has_to_be_there_whole() -> None:
    whole = GOOD[: -len(members.END)]
    assert "one block of its end only" in refusal(whole + bytes(BLOCK) + member("state.db"))
    assert "is no tar" in refusal(whole + b"x" * BLOCK + members.END)


def test_zeros_may_follow_the_end_and_nothing_else_may() -> None:
    assert members_of(cut(GOOD + bytes(20 * BLOCK)), LIMITS) == FILES
    for more in (b"x", bytes(10_000) + b"\1", member("other"), GOOD):
        assert "goes on after the end" in refusal(GOOD + more)


def test_many_zeros_are_given_up_early() -> None:
    taken = 0

    def zeros() -> Iterator[bytes]:
        nonlocal taken
        yield GOOD
        for number in range(1000):
            taken = number
            yield bytes(1 << 16)

    with pytest.raises(Damaged, match="goes on after the end"):
        members_of(zeros(), LIMITS)
    assert taken < 20


def test_a_changed_header_is_refused() -> None:
    for position in range(BLOCK):
        if position == SUM.stop - 1:  # what ends the checksum carries no meaning
            continue
        changed = bytearray(GOOD)
        changed[position] ^= 1
        assert refusal(bytes(changed)), position


def test_data_that_the_caller_leaves_are_passed_over() -> None:
    assert [found.name for found in members.members(cut(GOOD, 100), LIMITS, PATH)] == list(FILES)
    reading = members.members(cut(GOOD, 100), LIMITS, PATH)
    assert next(next(reading).data)
    assert b"".join(next(reading).data) == FILES["owner_card.yaml"]


@given(st.binary(max_size=4 * BLOCK), st.integers(0, len(GOOD)))
def test_any_bytes_end_in_members_or_our_error(data: bytes, place: int) -> None:
    for hostile in (data, GOOD[:place] + data, GOOD[:place] + data + GOOD[place:]):
        with contextlib.suppress(Damaged):
            assert set(members_of(cut(hostile), LIMITS)) <= set(LIMITS)


@given(
    name=st.sampled_from([name.encode() for name in LIMITS]) | st.binary(max_size=100),
    size=st.binary(min_size=12, max_size=12) | st.integers(0, 600).map(lambda number: b"%011o\0" % number),
    kind=st.sampled_from([b"0", b"\0", b"5", b"S", b"L", b"x"]) | st.binary(min_size=1, max_size=1),
    rest=st.binary(max_size=355),
    after=st.binary(max_size=2 * BLOCK),
)
def test_any_header_with_a_right_checksum_ends_in_members_or_our_error(
    name: bytes, size: bytes, kind: bytes, rest: bytes, after: bytes
) -> None:
    block = name.ljust(100, b"\0") + b"0000600\0" * 3 + size + b"%011o\0" % 0 + bytes(8) + kind
    header = summed(block + rest.ljust(355, b"\0"))
    assert len(header) == BLOCK
    with contextlib.suppress(Damaged):
        found = members_of(cut(header + after + members.END), LIMITS)
        assert set(found) <= set(LIMITS)
        assert not found or kind in (b"0", b"\0")
