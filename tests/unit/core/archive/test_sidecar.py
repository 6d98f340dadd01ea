# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup.json beside an archive is hostile until it was checked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import sidecar
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, NotFound

LEAST = sidecar.Sidecar(
    id="20260131T235959Z",
    created_at="2026-01-31T23:59:59.123456Z",
    encrypted_at="2026-02-01T00:00:00Z",
    archive="backup.tar.zst.age",
    archive_sha256="0123456789abcdef" * 4,
    archive_size=0,
    recipients=(sidecar.For("age1qqqq"),),
)
MOST = dataclasses.replace(
    LEAST,
    id="20260131T235959Z-2",
    archive="backup.tar.gz.age",
    archive_size=1 << 50,
    recipients=(sidecar.For("age1qqqq", "20260101T000000Z-3"), sidecar.For("age1pq1" + "x" * 1950)),
    owner_card_sha256="a" * 64,
    content_sha256="b" * 64,
    name="before-change-1",
    method="pinned",
    verified_at="2026-02-01T00:00:00Z",
)
DOCUMENT: dict[str, Any] = json.loads(MOST.to_json())
OPTIONAL = {"owner_card_sha256", "content_sha256", "name", "method", "verified_at"}
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read(folder: Path, data: bytes) -> sidecar.Sidecar:
    (folder / sidecar.FILE_NAME).write_bytes(data)
    return sidecar.read(folder)


def refusal(folder: Path, **changes: Any) -> str:
    document = {key: value for key, value in {**DOCUMENT, **changes}.items() if value != "absent"}
    with pytest.raises(Damaged) as caught:
        read(folder, json.dumps(document).encode())
    assert str(folder / sidecar.FILE_NAME) in str(caught.value)
    return caught.value.msg


@pytest.mark.parametrize("facts", [LEAST, MOST], ids=["least", "most"])
def test_what_is_written_is_read_back(tmp_path: Path, facts: sidecar.Sidecar) -> None:
    assert read(tmp_path, facts.to_json()) == facts


def test_it_names_the_keys_of_the_node(tmp_path: Path) -> None:
    assert read(tmp_path, MOST.to_json()).key_ids == ["20260101T000000Z-3"]
    assert read(tmp_path, LEAST.to_json()).key_ids == []


def test_further_fields_are_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps({**DOCUMENT, "more": [1, {}]}).encode()) == MOST


@pytest.mark.parametrize("field", sorted(set(DOCUMENT) - OPTIONAL))
def test_each_field_is_needed(tmp_path: Path, field: str) -> None:
    assert field in refusal(tmp_path, **{field: "absent"})


@pytest.mark.parametrize("field", sorted(OPTIONAL))
def test_the_others_may_be_missing(tmp_path: Path, field: str) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != field}
    assert getattr(read(tmp_path, json.dumps(document).encode()), field) is None


@pytest.mark.parametrize("value", [None, True, 7, -1, 1.0, "", "\n", [], {}, [[]], "../x", "x" * 5000])
@pytest.mark.parametrize("field", DOCUMENT)
def test_each_field_is_what_it_may_be(tmp_path: Path, field: str, value: Any) -> None:
    if (field, value) == ("archive_size", 7):
        assert read(tmp_path, json.dumps({**DOCUMENT, field: value}).encode()).archive_size == 7
    else:
        assert field.rstrip("s") in refusal(tmp_path, **{field: value})


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, [1]])
def test_another_version_is_refused(tmp_path: Path, version: Any) -> None:
    assert "format_version" in refusal(tmp_path, format_version=version)


@pytest.mark.parametrize(
    "name",
    [
        "backup.tar.zst",
        "../backup.tar.zst.age",
        "/backup.tar.gz.age",
        "backup.tar.xz.age",
        "backup.tar.gz.age\n",
    ],
)
def test_an_archive_has_one_of_two_names(tmp_path: Path, name: str) -> None:
    assert "archive" in refusal(tmp_path, archive=name)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ([{}], "recipient is missing"),
        ([{"recipient": 7}], "recipient is 7"),
        ([{"recipient": "AGE-SECRET-KEY-1QQQQ"}], "recipient is 'AGE"),
        ([{"recipient": "age1qqqq", "key_id": "../x"}], "key_id is '../x'"),
        ([{"recipient": "age1qqqq", "key_id": None}], "key_id is None"),
        (["age1qqqq"], "a recipient is no object"),
        ([DOCUMENT["recipients"][0], None], "a recipient is no object"),
        ([{"recipient": "age1qqqq"}] * 513, "recipients is no list"),
    ],
)
def test_a_recipient_is_a_public_key_with_or_without_an_id(
    tmp_path: Path, listed: list[Any], why: str
) -> None:
    assert why in refusal(tmp_path, recipients=listed)


def test_a_hash_in_capitals_is_the_same_hash(tmp_path: Path) -> None:
    document = {**DOCUMENT, "archive_sha256": DOCUMENT["archive_sha256"].upper()}
    assert read(tmp_path, json.dumps(document).encode()) == MOST


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    twice = MOST.to_json().rstrip()[:-1] + b', "archive": "backup.tar.gz.age"}'
    with pytest.raises(Damaged, match="twice"):
        read(tmp_path, twice)


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 60_000, b" " * 70_000])
def test_what_is_no_document_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Damaged):
        read(tmp_path, data)


def test_none_and_a_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        sidecar.read(tmp_path)
    (tmp_path / "real.json").write_bytes(MOST.to_json())
    (tmp_path / sidecar.FILE_NAME).symlink_to("real.json")
    with pytest.raises(Damaged, match="symbolic link"):
        sidecar.read(tmp_path)


@same_folder
@given(st.binary(max_size=300))
def test_any_bytes_end_in_our_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Damaged):
        read(tmp_path, data)


@same_folder
@given(st.dictionaries(st.sampled_from(sorted(DOCUMENT)), json_values, max_size=4))
def test_any_values_end_in_facts_or_our_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    with contextlib.suppress(Damaged):
        found = read(tmp_path, json.dumps({**DOCUMENT, **changes}).encode())
        assert (tmp_path / found.archive).resolve().parent == tmp_path.resolve()
        assert json.loads(found.to_json()).items() <= {**DOCUMENT, **changes}.items()
