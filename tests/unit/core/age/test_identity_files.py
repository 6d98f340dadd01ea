# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identity files as stock age reads them, and errors that never quote a key."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import armor, keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import BadKey, NoMatch
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.scrypt import Passphrase
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Writer
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, RunbookError

from .helpers import ME, OTHER

SECRET, OTHERS = ME.secret_text().encode(), OTHER.secret_text().encode()
WEAK = 4  # the work factor of a passphrase; a real one takes a second
lines = st.lists(
    st.sampled_from(
        [
            SECRET,
            OTHERS,
            b"# a comment",
            b"",
            b"\r",
            SECRET + b"\r",
            b" " + SECRET,
            SECRET.lower(),
            SECRET[:-1],
        ]
    )
    | st.binary(max_size=30),
    max_size=6,
).map(b"\n".join)


def parse(data: bytes) -> list[str]:
    return [str(identity.recipient) for identity in keys.parse_identities(data, "key.txt")]


def stock(path: Path) -> list[str] | None:
    """What age-keygen says of an identity file, or ``None`` when it refuses it."""
    shown = subprocess.run(["age-keygen", "-y", path], capture_output=True, text=True, check=False)
    return shown.stdout.split() if shown.returncode == 0 else None


@pytest.mark.parametrize(
    "data",
    [
        SECRET,
        SECRET + b"\n",
        b"# comment\n\n" + SECRET + b"\n\n#" + OTHERS + b"\n",
        SECRET + b"\n" + OTHERS + b"\n",
        SECRET + b"\r\n" + OTHERS + b"\r\n",
        b"",
        b"# only a comment\n",
        b" " + SECRET,
        SECRET + b" ",
        SECRET + b" # comment",
        SECRET.lower(),
        SECRET.title(),
        SECRET[:-1],
        SECRET[:-1] + b"\xff",
        SECRET + b"\0",
        b"\xef\xbb\xbf" + SECRET,
        str(ME.recipient).encode(),
        SECRET + b"\nnonsense\n",
        SECRET + b"\n" + SECRET,
        b"\n\n" + SECRET,
        b"\t\n" + SECRET,
    ],
)
def test_we_and_stock_age_take_the_same_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key.txt"
    path.write_bytes(data)
    theirs = stock(path)
    if theirs is None:
        with pytest.raises(BadKey, match="key.txt"):
            parse(data)
    else:
        assert parse(data) == theirs


def test_an_error_names_the_line_and_quotes_nothing() -> None:
    for wrong in (SECRET[:-1], SECRET.lower(), b"x" + SECRET, SECRET + SECRET, SECRET.replace(b"-", b"_")):
        with pytest.raises(BadKey, match="key.txt: line 3: ") as caught:
            parse(b"# comment\n\n" + wrong + b"\n" + SECRET)
        for part in (wrong[20:40], SECRET[20:40]):
            assert part.decode().lower() not in str(caught.value).lower()


def test_what_is_written_is_read_back_by_both(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    path.write_bytes(keys.render_identities([ME, OTHER], ["two keys", "of a test: ä"]))
    assert parse(path.read_bytes()) == stock(path) == [str(ME.recipient), str(OTHER.recipient)]


@pytest.mark.parametrize("comment", ["two\nlines", "a\rreturn", "\0", "\x1b[31m", "\u2028"])
def test_a_comment_cannot_smuggle_in_a_line(comment: str) -> None:
    with pytest.raises(BadKey, match="one printable line"):
        keys.render_identities([ME], [comment])


def test_a_file_that_is_too_large_is_refused() -> None:
    assert parse(SECRET + b"\n" * (keys.MAX_FILE_BYTES - len(SECRET))) == [str(ME.recipient)]
    with pytest.raises(BadKey, match="is larger than 65536 bytes"):
        parse(SECRET + b"\n" * (keys.MAX_FILE_BYTES - len(SECRET) + 1))


def test_a_file_under_a_passphrase_is_opened_with_it_alone() -> None:
    def sealed(plain: bytes) -> bytes:
        sink = io.BytesIO()
        writer = Writer([Passphrase("open it", work_factor=WEAK)], sink)
        writer.write(plain)
        writer.finish()
        return sink.getvalue()

    def armored(data: bytes) -> bytes:
        sink = io.BytesIO()
        writer = armor.ArmorWriter(sink)
        writer.write(data)
        writer.finish()
        return sink.getvalue()

    binary = sealed(SECRET + b"\n")
    for data in (binary, armored(binary)):
        (found,) = keys.parse_identities(data, "key.txt", Passphrase("open it"))
        assert str(found.recipient) == str(ME.recipient)
        with pytest.raises(BadKey, match="key.txt: is encrypted with a passphrase"):
            keys.parse_identities(data, "key.txt")
        with pytest.raises(NoMatch):
            keys.parse_identities(data, "key.txt", Passphrase("another"))
        with pytest.raises(Damaged):
            keys.parse_identities(data[:-40], "key.txt", Passphrase("open it"))
    with pytest.raises(Damaged, match="work factor is not between 1 and 3"):
        keys.parse_identities(binary, "key.txt", Passphrase("open it", work_factor=1, max_work_factor=3))
    with pytest.raises(BadKey, match="larger than"):
        keys.parse_identities(sealed(bytes(keys.MAX_FILE_BYTES + 1)), "key.txt", Passphrase("open it"))


def test_a_key_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(BadKey, match="private key was given where a public one belongs"):
        keys.parse_recipient(SECRET.decode())
    with pytest.raises(BadKey, match="public key was given where a private one belongs"):
        keys.parse_identity(str(ME.recipient))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_error(data: bytes) -> None:
    with pytest.raises(RunbookError):
        parse(data)


@given(lines)
def test_any_lines_end_in_identities_or_our_error(data: bytes) -> None:
    known = {str(ME.recipient), str(OTHER.recipient)}
    with contextlib.suppress(BadKey):
        assert set(parse(data)) <= known
