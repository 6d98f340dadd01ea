# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of ``openssl enc``: opened with their key, and never taken for good when anything is wrong."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import compression, legacy
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.legacy import Passphrase
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, MissingLibrary

from .helpers import PATH, cut, run

SECRET = b"bm9ib2R5IGV2ZXIgdXNlcyB0aGlzIHBhc3NwaHJhc2U="
KEY = Passphrase(SECRET)
PLAIN = gzip.compress(bytes(range(256)) * 4 + b"the end", mtime=0)
# The salt is given so that each run sees the same bytes.
ENC = ("openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-S", "0123456789abcdef")


def encrypt(plain: bytes, key_file: Path) -> bytes:
    """Return an archive as the shell runbook's openssl makes it."""
    return with_salt(run(*ENC, "-pass", f"file:{key_file}", given=plain))


def with_salt(made: bytes) -> bytes:
    """From OpenSSL 3 on a given salt is not written."""
    return made if made.startswith(b"Salted__") else b"Salted__" + bytes.fromhex(ENC[-1]) + made


def decrypt(data: bytes, key: Passphrase = KEY, step: int = 1 << 16) -> bytes:
    return b"".join(legacy.decrypted(cut(data, step), key, PATH))


def decompress(data: bytes, key: Passphrase = KEY) -> bytes:
    """Return what a reader gets of an archive; what openssl alone would accept may end here."""
    return b"".join(compression.decompressed("gzip", legacy.decrypted(cut(data), key, PATH), PATH))


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of the shell runbook."""
    path = tmp_path_factory.mktemp("legacy") / "current.key"
    path.write_bytes(SECRET + b"\n")
    return path


@pytest.fixture(scope="module")
def archive(key_file: Path) -> bytes:
    """A small archive of the shell runbook."""
    return encrypt(PLAIN, key_file)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 4095, 4096, 200_000])
def test_every_size_comes_back(key_file: Path, size: int) -> None:
    plain = bytes(range(251)) * (size // 251) + bytes(size % 251)
    sealed = encrypt(plain, key_file)
    for step in (1 << 16, 1000 if size > 1000 else 1, 16):
        assert decrypt(sealed, step=step) == plain, step


@pytest.mark.parametrize(
    "content",
    [SECRET, SECRET + b"\n", SECRET + b"\nsecond line\n", SECRET + b"\r\n", b" " + SECRET + b" \n", b"x\n"],
)
def test_the_passphrase_is_the_first_line_as_openssl_takes_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    sealed = encrypt(PLAIN, path)
    assert decrypt(sealed, Passphrase.of_file(content)) == PLAIN
    assert decrypt(sealed, Passphrase.of_file(content.split(b"\n")[0] + b"\nanother line")) == PLAIN


@pytest.mark.parametrize(
    "last", [b"\0", b"\x11", b"\x10", b"\1\2", b"\2\3\3", b"\xff"], ids=lambda last: last.hex()
)
def test_padding_that_openssl_never_makes_is_refused(key_file: Path, last: bytes) -> None:
    plain = b"x" * (32 - len(last)) + last
    made = run(*ENC, "-nopad", "-pass", f"file:{key_file}", given=plain)
    with pytest.raises(Damaged, match="is damaged or was encrypted with another key"):
        decrypt(with_salt(made))
    good = plain[:-1] + b"\1"
    assert decrypt(with_salt(run(*ENC, "-nopad", "-pass", f"file:{key_file}", given=good))) == good[:-1]


def test_a_length_that_openssl_never_makes_is_refused(archive: bytes) -> None:
    for more in (b"1", b"x" * 15):
        with pytest.raises(Damaged, match="is damaged or was encrypted with another key"):
            decrypt(archive + more)


def test_a_key_that_fits_is_told_from_its_first_block(archive: bytes) -> None:
    assert legacy.may_open(archive[:64], KEY, PATH)
    assert legacy.may_open(archive[:32], KEY, PATH)
    assert not legacy.may_open(archive[:31], KEY, PATH)


@pytest.mark.one_python
def test_every_wrong_key_is_refused(archive: bytes) -> None:
    for number in range(300):
        wrong = Passphrase(SECRET[:-3] + b"%03d" % number)
        assert not legacy.may_open(archive[:64], wrong, PATH)
        with pytest.raises(Damaged):
            decompress(archive, wrong)


@pytest.mark.one_python
def test_an_archive_that_is_cut_off_is_refused_at_every_length(archive: bytes) -> None:
    assert decompress(archive) == gzip.decompress(PLAIN)
    for length in range(len(archive)):
        with pytest.raises(Damaged):
            decompress(archive[:length])


@pytest.mark.one_python
def test_a_flipped_bit_never_gives_what_looks_good(archive: bytes) -> None:
    for position in range(len(archive)):
        changed = bytearray(archive)
        changed[position] ^= 1 << position % 8
        with pytest.raises(Damaged):
            decompress(bytes(changed))


def test_blocks_swapped_dropped_doubled_or_added_are_refused(archive: bytes) -> None:
    head, blocks = archive[:16], list(cut(archive[16:], 16))
    middle = len(blocks) // 2
    swapped = [*blocks[:middle], blocks[middle + 1], blocks[middle], *blocks[middle + 2 :]]
    for order in (
        swapped,
        blocks[:middle] + blocks[middle + 1 :],
        [*blocks[:middle], blocks[0], *blocks[middle:]],
        [*blocks, blocks[-1]],
        [*blocks, bytes(16)],
        blocks[1:],
    ):
        with pytest.raises(Damaged):
            decompress(head + b"".join(order))


@pytest.mark.parametrize("data", [b"", b"Salted__", b"Salted__1234567", b"salted__" + bytes(24), b"x" * 100])
def test_what_is_no_archive_of_openssl_is_named_so(data: bytes) -> None:
    for attempt in (lambda: decrypt(data), lambda: legacy.may_open(data, KEY, PATH)):
        with pytest.raises(Damaged, match="/an/archive: is no archive of openssl enc"):
            attempt()


def test_without_the_library_it_is_named(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "PRESENT", False)
    with pytest.raises(MissingLibrary, match="no cryptography.*apt-get install python3-cryptography"):
        decrypt(archive)


def test_a_passphrase_is_never_shown() -> None:
    shown = f"{KEY} {KEY!r} {[KEY]} {KEY.fingerprint()}"
    assert SECRET.decode() not in shown
    assert SECRET.hex() not in shown
    assert KEY.fingerprint() == Passphrase(SECRET).fingerprint() != Passphrase(SECRET + b" ").fingerprint()


@given(st.binary(max_size=200), st.sampled_from([b"", b"Salted__", b"Salted__" + bytes(8)]))
def test_any_bytes_end_in_bytes_or_our_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(Damaged):
        assert len(decrypt(start + data)) < len(start + data)
    with pytest.raises(Damaged):
        decompress(start + data)
