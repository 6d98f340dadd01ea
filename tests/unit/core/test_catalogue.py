# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups there are: ids, order, and folders that cannot be used."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import catalogue, manifest
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged, NotFound

INSTANT = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone.utc)


def make(backup_dir: Path, backup_id: str, name: str | None = None) -> Path:
    """Make a folder that looks like a backup."""
    folder = backup_dir / backup_id
    folder.mkdir(parents=True)
    (folder / "state.db").write_bytes(b"12345")
    (folder / "owner_card.yaml").write_bytes(b"123")
    known = manifest.Manifest("2026-01-31T23:59:59Z", "a" * 64, "b" * 64, name=name)
    (folder / "manifest.json").write_bytes(known.to_json())
    return folder


def test_ids_are_unique_within_one_second(tmp_path: Path) -> None:
    made = []
    for _turn in range(12):
        made.append(catalogue.new_id(tmp_path, INSTANT))
        (tmp_path / made[-1]).mkdir()
    assert made[:3] == ["20260131T235959Z", "20260131T235959Z-2", "20260131T235959Z-3"]
    assert len(set(made)) == 12


def test_newest_comes_first_also_within_one_second(tmp_path: Path) -> None:
    for backup_id in ("20260131T235959Z-2", "20260131T235959Z-10", "20260201T000000Z", "20260131T235959Z"):
        make(tmp_path, backup_id)
    ids = [found.id for found in catalogue.list_backups(tmp_path)]
    assert ids == ["20260201T000000Z", "20260131T235959Z-10", "20260131T235959Z-2", "20260131T235959Z"]


def test_a_folder_that_does_not_exist_holds_no_backups(tmp_path: Path) -> None:
    assert catalogue.list_backups(tmp_path / "none") == []
    with pytest.raises(NotFound, match="no usable backup"):
        catalogue.find(tmp_path / "none", "latest")


def test_other_names_are_passed_over(tmp_path: Path) -> None:
    for name in (
        "replaced",
        ".staging-20260131T235959Z",
        "20260131",
        "20260131T235959Z-0",
        "20260131T235959Z.bak",
    ):
        make(tmp_path, name)
    assert catalogue.list_backups(tmp_path) == []


def test_what_cannot_be_used_says_why_and_is_never_the_latest(tmp_path: Path) -> None:
    make(tmp_path, "20260101T000000Z")
    (tmp_path / "20260201T000000Z").mkdir()
    (tmp_path / "20260202T000000Z").write_text("a file")
    (make(tmp_path, "20260203T000000Z") / "state.db").unlink()
    (tmp_path / "20260204T000000Z").symlink_to("20260101T000000Z")
    strange = tmp_path / "20260205T000000Z"
    strange.mkdir()
    (strange / "backup.tar.bz2").write_bytes(b"BZh")
    problems = {found.id[4:8]: found.problem or "" for found in catalogue.list_backups(tmp_path)}
    assert problems["0101"] == ""
    assert "it is empty" in problems["0201"]
    assert "not a folder" in problems["0202"]
    assert "is missing" in problems["0203"]
    assert "not a folder" in problems["0204"]
    assert "backup.tar.bz2" in problems["0205"]
    assert catalogue.find(tmp_path, "latest").id == "20260101T000000Z"
    with pytest.raises(Damaged, match="the newest usable one is 20260101T000000Z"):
        catalogue.find(tmp_path, "20260203T000000Z")
    with pytest.raises(NotFound, match="the newest usable one is 20260101T000000Z"):
        catalogue.find(tmp_path, "20250101T000000Z")


def test_what_a_restore_kept_is_not_the_latest_but_has_its_id(tmp_path: Path) -> None:
    make(tmp_path, "20260101T000000Z")
    make(tmp_path, "20260201T000000Z", manifest.SAFETY_NAME)
    assert catalogue.find(tmp_path, "latest").id == "20260101T000000Z"
    assert catalogue.find(tmp_path, "20260201T000000Z").is_safety
    assert catalogue.newest_good(catalogue.list_backups(tmp_path), with_safety=True).id == "20260201T000000Z"


def test_the_result_has_the_names_that_every_module_shows(tmp_path: Path) -> None:
    make(tmp_path, "20260101T000000Z", "mine")
    found = catalogue.find(tmp_path, "latest").result()
    assert (found["id"], found["name"], found["kind"], found["size"]) == (
        "20260101T000000Z",
        "mine",
        "plain",
        8,
    )
    assert found["key_ids"] == []
    assert catalogue.tell(tmp_path).facts == {"backups": [found], "newest": found}


@given(st.text(max_size=30))
def test_an_id_is_an_id_or_our_error(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert catalogue.check_id(text)[8] == "T"
