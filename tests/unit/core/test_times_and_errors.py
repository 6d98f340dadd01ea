# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instants as the station writes them, and errors in the engine's words."""

from __future__ import annotations

import contextlib
import errno
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import errors, times

OFFSETS = st.integers(-14 * 60, 14 * 60)


@pytest.mark.parametrize(
    ("text", "seconds", "microseconds"),
    [
        ("2026-01-31T23:59:59Z", 59, 0),
        ("2026-01-31T23:59:59.123456789Z", 59, 123456),
        ("2026-01-31T23:59:59.1+00:00", 59, 100000),
        ("2026-02-01t05:29:59.000000001+05:30", 59, 0),
        ("2026-01-31 18:59:59-05:00", 59, 0),
    ],
)
def test_the_stations_instants_are_read(text: str, seconds: int, microseconds: int) -> None:
    expected = datetime(2026, 1, 31, 23, 59, seconds, microseconds, tzinfo=timezone.utc)
    assert times.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T23:59:59",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "now",
        "２026-01-31T23:59:59Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(errors.BadInput):
        times.parse(text)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), OFFSETS)  # noqa: DTZ001 - the offset follows
def test_what_is_written_is_read_back(naive: datetime, offset: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert times.parse(times.to_text(instant)) == instant
    assert times.parse(instant.isoformat()) == instant


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_our_error(text: str) -> None:
    with contextlib.suppress(errors.BadInput):
        assert times.parse(text).tzinfo == timezone.utc


def test_an_id_is_in_utc() -> None:
    assert times.to_id(datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "20260131T230000Z"


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.ENOSPC, errors.DiskFull, "free some space"),
        (errno.EDQUOT, errors.DiskFull, "free some space"),
        (errno.EACCES, errors.Denied, "become"),
        (errno.EROFS, errors.Denied, "become"),
        (errno.ENOENT, errors.NotFound, "No such file"),
        (errno.EIO, errors.SystemFault, "Input/output"),
    ],
)
def test_an_error_of_the_system_says_what_failed_where_and_what_to_do(
    number: int, kind: type[errors.RunbookError], word: str
) -> None:
    with pytest.raises(kind) as caught, errors.guarded("write", "/some/path"):
        raise OSError(number, __import__("os").strerror(number))
    assert str(caught.value).startswith("/some/path: cannot write: ")
    assert word in str(caught.value)


def test_a_path_is_said_once() -> None:
    assert str(errors.Damaged("/a/b is bad", path="/a/b")) == "/a/b is bad"
    assert str(errors.Damaged("is bad", path=Path("/a/b"), hint="mend it")) == "/a/b: is bad; mend it"


def test_every_kind_has_a_code_of_its_own() -> None:
    kinds = errors.RunbookError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("path", ["", "a", "./a", "/a\0b"])
def test_a_path_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(errors.BadInput, match="root must be an absolute path"):
        errors.require_absolute(path, "root")
