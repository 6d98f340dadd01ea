# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small archives made and taken apart in memory, and the programs that judge them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import compression, members

PATH = Path("/an/archive")
# Where this Python has no zstandard, zstd is refused, and the tests of zstd expect that.
KINDS = ("zstd", "gzip") if compression.zstandard else ("gzip",)


def noise(size: int) -> bytes:
    """Return bytes that do not compress, the same ones each time."""
    return hashlib.shake_128(b"noise").digest(size)


def run(*command: str | Path, given: bytes | None = None, cwd: Path | None = None) -> bytes:
    """Run a program and return what it prints; raise when it fails."""
    return subprocess.run(command, input=given, capture_output=True, check=True, cwd=cwd).stdout


def cut(data: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    """Yield ``data`` in chunks of a size."""
    return (data[start : start + size] for start in range(0, len(data), size))


def tar_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar as the engine writes it."""
    parts = []
    for name, data in files:
        parts += [members.header(name, len(data), 1_767_225_600.9), data, members.padding(len(data))]
    return b"".join([*parts, members.END])


def members_of(chunks: Iterator[bytes], limits: Mapping[str, int]) -> dict[str, bytes]:
    """Read a tar to its end; a member's size is what it says."""
    found = {}
    for member in members.members(chunks, limits, PATH):
        found[member.name] = b"".join(member.data)
        assert len(found[member.name]) == member.size <= limits[member.name]
    return found


class Collector:
    """The end of a pipeline: keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.finished = 0

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self) -> None:
        self.finished += 1


def compress(kind: str, data: bytes, step: int = 1 << 16) -> bytes:
    """Compress as the engine does."""
    sink = Collector()
    compressor = compression.Compressor(kind, sink)
    for chunk in cut(data, step):
        compressor.write(chunk)
    compressor.finish()
    assert sink.finished == 1
    return sink.data


def decompress(kind: str, data: bytes, step: int = 1 << 16) -> bytes:
    """Decompress as the engine does; no piece may be larger than it promises."""
    pieces = list(compression.decompressed(kind, cut(data, step), PATH))
    assert all(len(piece) <= compression.PIECE for piece in pieces)
    return b"".join(pieces)
