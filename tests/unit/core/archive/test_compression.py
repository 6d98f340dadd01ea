# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""zstd and gzip both ways: stock tools agree, what is cut off or continued is refused, bombs do no harm."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import PayloadFailure
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import compression
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Damaged,
    MissingLibrary,
)

from .helpers import KINDS, PATH, compress, cut, decompress, noise, run

PIECE = compression.PIECE
PLAIN = noise(200) + bytes(300) + b"the end"
PROGRAMS = {"zstd": ("zstd", "-q"), "gzip": ("gzip",)}
# How a stream that is not good ends, where zstd can be read at all.
REFUSED = {"zstd": Damaged if "zstd" in KINDS else MissingLibrary, "gzip": Damaged}
SIZES = [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5]


def sample(size: int) -> bytes:
    """Return bytes of which half can be compressed."""
    return noise(size // 2 + 1) + bytes(size)


def made(kind: str, plain: bytes, *options: str) -> bytes:
    """Let the stock program compress."""
    return run(*PROGRAMS[kind], "-c", *options, given=plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back_and_stock_tools_agree(kind: str, size: int) -> None:
    plain = sample(size)[:size]
    compressed = compress(kind, plain)
    assert decompress(kind, compressed) == plain
    assert run(*PROGRAMS[kind], "-d", "-c", given=compressed) == plain
    assert decompress(kind, made(kind, plain)) == plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 3, 17, 1 << 20])
def test_the_size_of_the_chunks_does_not_matter(kind: str, step: int) -> None:
    plain = sample(3000)
    assert decompress(kind, compress(kind, plain, step), step) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_empty_chunks_do_no_harm(kind: str) -> None:
    chunks = [b"", *cut(compress(kind, PLAIN), 50), b""]
    gaps = [part for chunk in chunks for part in (chunk, b"")]
    assert b"".join(compression.decompressed(kind, iter(gaps), PATH)) == PLAIN


@pytest.mark.parametrize("options", [("-1",), ("-9",), ("-n",)])
def test_gzip_of_any_kind_is_read(options: tuple[str, ...]) -> None:
    assert decompress("gzip", made("gzip", PLAIN, *options)) == PLAIN


@pytest.mark.parametrize("options", [("-1",), ("-19",), ("--long=27",), ("--no-check",), ("-T2",)])
def test_zstd_of_any_kind_is_read(options: tuple[str, ...]) -> None:
    compressed = made("zstd", sample(300_000), *options)
    if "zstd" in KINDS:
        assert decompress("zstd", compressed) == sample(300_000)
    else:
        with pytest.raises(MissingLibrary):
            decompress("zstd", compressed)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_what_is_cut_off_is_refused_at_every_length(kind: str) -> None:
    compressed = made(kind, PLAIN)
    for length in range(len(compressed)):
        for step in (1 << 16, 10):
            with pytest.raises(REFUSED[kind]):
                decompress(kind, compressed[:length], step)


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize(
    "more",
    [b"\0", b"x", b"\x28", b"\x28\xb5\x2f", b"\x1f\x8b", b"\x50\x2a\x4d\x18\0\0\0\0", bytes(4096), b"again"],
)
def test_what_goes_on_after_its_end_is_refused(kind: str, more: bytes) -> None:
    compressed = made(kind, PLAIN)
    more = compressed if more == b"again" else more
    for step in (1 << 16, 10, len(compressed)):
        with pytest.raises(REFUSED[kind]):
            decompress(kind, compressed + more, step)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_flipped_bit_is_refused_or_without_effect(kind: str) -> None:
    compressed = made(kind, PLAIN)
    refused = 0
    for position in range(8 * len(compressed)):
        changed = bytearray(compressed)
        changed[position // 8] ^= 1 << position % 8
        try:
            assert decompress(kind, bytes(changed)) == PLAIN, position
        except REFUSED[kind]:
            refused += 1
    assert refused > 8 * len(compressed) - 100


@pytest.mark.parametrize("kind", PROGRAMS)
def test_an_error_of_the_source_comes_through_as_it_is(kind: str) -> None:
    def broken() -> Iterator[bytes]:
        yield made(kind, sample(300_000))[:1000]
        raise PayloadFailure("the encrypted data were changed")

    with pytest.raises(PayloadFailure if kind in KINDS else MissingLibrary):
        list(compression.decompressed(kind, broken(), PATH))


def test_a_window_that_needs_much_memory_is_refused() -> None:
    within, beyond = made("zstd", PLAIN, "--ultra", "--long=27"), made("zstd", PLAIN, "--ultra", "--long=31")
    if "zstd" in KINDS:
        assert decompress("zstd", within) == PLAIN
    for huge in (beyond, made("zstd", PLAIN, "--ultra", "--long=28")):
        with pytest.raises(REFUSED["zstd"]):
            decompress("zstd", huge)


# A stream of many GiB is read until 256 MiB came out of it; then memory and input are counted.
_BOMB = """
import sys, zlib
from itertools import islice
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import compression
kind, taken = sys.argv[1], 0

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

def bomb():
    global taken
    if kind == "zstd":
        start = bytes.fromhex("28b52ffd 00 50")
        zeros = (128 * 1024 << 3 | 2).to_bytes(3, "little") + bytes(1)
        count = 1 << 16
    else:
        state = zlib.compressobj(9, zlib.DEFLATED, 31)
        start, zeros = (state.compress(bytes(1 << 20)) + state.flush(zlib.Z_FULL_FLUSH) for _turn in "12")
        count = 1 << 13
    yield start
    for _turn in range(64):
        taken += len(zeros) * count // 64
        yield zeros * (count // 64)

chunks = bomb()
next(compression.decompressed(kind, chunks, "a path"))
before = peak()
pieces = [len(piece) for piece in islice(compression.decompressed(kind, bomb(), "a path"), 256)]
print(peak() - before, taken, max(pieces), sum(pieces))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_comes_out_in_small_pieces_and_takes_no_memory(kind: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _BOMB, kind], env=env, capture_output=True, text=True, check=True
    )
    grown_kib, taken, largest, total = (int(word) for word in done.stdout.split())
    assert largest <= PIECE
    assert total > 128 * PIECE
    assert taken < 2 * PIECE
    assert grown_kib < 8 * 1024


def test_without_the_library_zstd_is_named_and_gzip_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "zstandard", None)
    assert compression.choose("auto") == compression.choose("gzip") == "gzip"
    with pytest.raises(MissingLibrary, match="cannot write zstd.*has no zstandard.*apt-get install"):
        compression.choose("zstd")
    with pytest.raises(MissingLibrary, match="/an/archive.*cannot read zstd.*python3-zstandard"):
        decompress("zstd", b"")


def test_with_the_library_zstd_is_the_first_choice() -> None:
    assert compression.choose("auto") == KINDS[0]
    assert compression.choose("gzip") == "gzip"
    with pytest.raises(BadInput, match="auto, zstd, gzip, not 'lz4'"):
        compression.choose("lz4")


@pytest.mark.parametrize("kind", PROGRAMS)
@given(data=st.binary(max_size=300), place=st.integers(0, 400))
def test_any_bytes_end_in_bytes_or_our_error(kind: str, data: bytes, place: int) -> None:
    whole = SAMPLES[kind]
    for hostile in (data, whole[:place] + data, whole[:place] + data + whole[place:]):
        with contextlib.suppress(REFUSED[kind]):
            decompress(kind, hostile)


SAMPLES = {kind: made(kind, PLAIN) for kind in PROGRAMS}
