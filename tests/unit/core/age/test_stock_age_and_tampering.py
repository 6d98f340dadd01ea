# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stock age opens what we write and the other way round; anything changed in between is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import NoMatch, PayloadFailure

from .helpers import CHUNK, ME, OTHER, SEALED, attempt, seal

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]


@pytest.fixture
def identity_file(tmp_path: Path) -> Path:
    """An identity file as we write it."""
    path = tmp_path / "key.txt"
    path.write_bytes(keys.render_identities([ME], ["made by a test"]))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("size", SIZES)
def test_stock_age_opens_ours(identity_file: Path, size: int) -> None:
    plain = os.urandom(size)
    for sealed in (seal(plain), seal(plain, OTHER, ME)):
        opened = subprocess.run(
            ["age", "-d", "-i", identity_file], input=sealed, capture_output=True, check=True
        )
        assert opened.stdout == plain


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_stock_age_makes(size: int) -> None:
    plain = os.urandom(size)
    recipients = ["-r", str(OTHER.recipient), "-r", str(ME.recipient)]
    sealed = subprocess.run(["age", *recipients], input=plain, capture_output=True, check=True).stdout
    assert attempt(sealed) == (plain, None)


def test_our_identity_files_are_read_by_stock_age_and_by_us(identity_file: Path) -> None:
    shown = subprocess.run(["age-keygen", "-y", identity_file], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(ME.recipient)
    (read,) = keys.parse_identities(identity_file.read_bytes(), identity_file)
    assert str(read.recipient) == str(ME.recipient)


def test_a_stranger_gets_nothing() -> None:
    plain, error = attempt(seal(b"a secret"), [OTHER])
    assert plain == b""
    assert isinstance(error, NoMatch)


def test_every_flipped_byte_is_refused() -> None:
    plain = b"what nobody may change"
    sealed = seal(plain)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        released, error = attempt(bytes(changed))
        assert error is not None, position
        assert released == b"", position


def test_every_truncation_is_refused() -> None:
    sealed = seal(b"what nobody may cut")
    for length in range(len(sealed)):
        released, error = attempt(sealed[:length])
        assert error is not None, length
        assert released == b"", length


def test_chunks_swapped_dropped_doubled_or_added_are_refused() -> None:
    plain = os.urandom(3 * CHUNK + 100)
    sealed = seal(plain)
    start = len(sealed) - (len(plain) + 4 * 16)
    header, chunks = sealed[:start], [sealed[start + n * SEALED : start + (n + 1) * SEALED] for n in range(4)]
    assert attempt(header + b"".join(chunks)) == (plain, None)
    for order in ([1, 0, 2, 3], [0, 2, 3], [0, 1, 2], [0, 1, 1, 2, 3], [0, 1, 2, 3, 3]):
        released, error = attempt(header + b"".join(chunks[n] for n in order))
        assert isinstance(error, PayloadFailure), order
        assert plain.startswith(released), order


def test_keys_do_not_show_in_what_is_printed() -> None:
    secret = ME.secret_text()
    assert secret.startswith("AGE-SECRET-KEY-1")
    for text in (repr(ME), str(ME), repr([ME]), f"{ME}", repr(attempt(b"nonsense").error)):
        assert secret not in text
        assert secret.lower() not in text.lower()
