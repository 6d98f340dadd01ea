# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""manifest.json is hostile until it was checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import manifest
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged, RunbookError

STATION = {
    "schema_version": 1,
    "created_at": "2026-01-31T23:59:59.123456789Z",
    "state_db_file": "state.db",
    "state_db_sha256": "0123456789abcdef" * 4,
    "owner_card_file": "owner_card.yaml",
    "owner_card_sha256": "fedcba9876543210" * 4,
}
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read(folder: Path, data: bytes) -> manifest.Manifest:
    path = folder / "manifest.json"
    path.write_bytes(data)
    return manifest.read(path)


def refusal(folder: Path, **changes: Any) -> str:
    document = {key: value for key, value in {**STATION, **changes}.items() if value != "absent"}
    with pytest.raises(Damaged) as caught:
        read(folder, json.dumps(document).encode())
    assert str(folder / "manifest.json") in str(caught.value)
    return caught.value.msg


def test_the_stations_own_manifest_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps(STATION).encode())
    assert found.state_db_sha256 == STATION["state_db_sha256"]
    assert found.id is None


def test_further_fields_are_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps({**STATION, "more": [1, {}]}).encode()).created_at


def test_ours_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ours = manifest.Manifest(
        created_at="2026-01-31T23:59:59Z",
        state_db_sha256="a" * 64,
        owner_card_sha256="b" * 64,
        id="20260131T235959Z-2",
        name="before-change-1",
        method="pinned",
        content_sha256="c" * 64,
        verified_at="2026-01-31T23:59:59Z",
    )
    assert read(tmp_path, ours.to_json()) == ours


def test_ours_has_every_field_of_the_stations() -> None:
    ours = manifest.Manifest("2026-01-31T23:59:59Z", "a" * 64, "b" * 64)
    assert set(STATION) <= set(json.loads(ours.to_json()))


@pytest.mark.parametrize("field", STATION)
def test_each_field_of_the_station_is_needed(tmp_path: Path, field: str) -> None:
    assert field in refusal(tmp_path, **{field: "absent"})


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, [1]])
def test_another_schema_version_is_refused(tmp_path: Path, version: Any) -> None:
    assert "schema_version" in refusal(tmp_path, schema_version=version)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "", ".", "..", ".hidden", "x\0", "a" * 101, 7, None]
)
@pytest.mark.parametrize("field", ["state_db_file", "owner_card_file"])
def test_a_file_may_only_be_named_in_the_folder(tmp_path: Path, field: str, name: Any) -> None:
    assert field in refusal(tmp_path, **{field: name})


@pytest.mark.parametrize("name", ["owner_card.yaml", "manifest.json"])
def test_three_files_are_three_files(tmp_path: Path, name: str) -> None:
    assert "two files" in refusal(tmp_path, state_db_file=name)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "g" * 64, 0, None])
def test_a_hash_is_64_hex_digits(tmp_path: Path, digest: Any) -> None:
    assert "state_db_sha256" in refusal(tmp_path, state_db_sha256=digest)


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    twice = json.dumps(STATION)[:-1] + ', "state_db_file": "other.db"}'
    with pytest.raises(Damaged, match="twice"):
        read(tmp_path, twice.encode())


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 60_000, b" " * 70_000])
def test_what_is_no_document_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Damaged):
        read(tmp_path, data)


def test_a_link_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text(json.dumps(STATION))
    (tmp_path / "link").symlink_to("real.json")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        with pytest.raises(RunbookError):
            manifest.read(tmp_path / name)


@same_folder
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_manifest_or_our_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RunbookError):
        read(tmp_path, data)


@same_folder
@given(st.dictionaries(st.sampled_from([*STATION, "id", "name", "verified_at"]), json_values, max_size=4))
def test_any_values_end_in_a_manifest_or_our_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    try:
        found = read(tmp_path, json.dumps({**STATION, **changes}).encode())
    except Damaged:
        return
    for name in (found.state_db_file, found.owner_card_file):
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", ".a", "a" * 65, "before-restore", "a\n"])
def test_a_name_with_odd_characters_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        manifest.check_name(name)


@pytest.mark.parametrize("name", ["a", "rollout-r42", "2026.1_x", "a" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    assert manifest.check_name(name) == name
