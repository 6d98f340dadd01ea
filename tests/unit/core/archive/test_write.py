# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An archive written from a live database in one pass, and what is left when that fails."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, still
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.keys import render_identities
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Reader
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import write as archives
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.read import read
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, DiskFull, RunbookError
from ansible_collections.vvtv.runbook.plugins.module_utils._core.manifest import Manifest
from tests.simulator.owner_card import SAMPLE
from tests.unit.core.age.helpers import ME, OTHER
from tests.unit.core.conftest import ME as OWNER
from tests.unit.core.conftest import ask, sha256sum

from .helpers import KINDS, run

CARD = SAMPLE.encode()
PROGRAMS = {"zstd": "zstd", "gzip": "gzip"}


def facts_of(digests: still.Digests) -> Manifest:
    return Manifest(
        "2026-01-31T23:59:59Z", digests.sha256, files.sha256_hex(CARD), content_sha256=digests.content_sha256
    )


def write(source: Path, target: Path, kind: str, **changes: Any) -> archives.Written:
    made = changes.get("made", facts_of)
    with still.opened(source, changes.get("method", "auto"), 5, target.parent) as state:
        return archives.write(state, CARD, made, target, OWNER, [OTHER.recipient, ME.recipient], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", still.METHODS)
def test_what_is_written_is_read_back(live: Path, tmp_path: Path, kind: str, method: str) -> None:
    target = tmp_path / archives.file_name(kind)
    written = write(live, target, kind, method=method)
    assert (written.sha256, written.size) == (sha256sum(target), target.stat().st_size)
    assert target.stat().st_mode & 0o777 == 0o600
    kept: list[bytes] = []
    with target.open("rb") as source:
        found = read(kind, iter(Reader(source, [ME])), target, 1 << 24, lambda _size: kept.append)
    assert (found.card, found.manifest) == (CARD, written.manifest)
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"".join(kept))
    assert sha256sum(copy) == written.manifest.state_db_sha256
    assert ask(copy, ".dump") == ask(live, ".dump")


@pytest.mark.parametrize("kind", KINDS)
def test_stock_tools_take_it_apart(live: Path, tmp_path: Path, kind: str) -> None:
    key, inside = tmp_path / "key", tmp_path / "inside"
    key.write_bytes(render_identities([ME]))
    inside.mkdir()
    write(live, tmp_path / "archive", kind)
    plain = run(PROGRAMS[kind], "-d", "-c", given=run("age", "-d", "-i", key, tmp_path / "archive"))
    assert run("tar", "t", given=plain).decode().split() == ["state.db", "owner_card.yaml", "manifest.json"]
    run("tar", "x", given=plain, cwd=inside)
    facts = json.loads((inside / "manifest.json").read_text())
    assert sha256sum(inside / "state.db") == facts["state_db_sha256"]
    assert (inside / "owner_card.yaml").read_bytes() == CARD
    assert ask(inside / "state.db", "PRAGMA integrity_check") == "ok"


def test_a_file_that_exists_is_not_overwritten(live: Path, tmp_path: Path) -> None:
    target = tmp_path / "archive"
    target.write_text("older")
    with pytest.raises(RunbookError, match="File exists"):
        write(live, target, "gzip")
    assert target.read_text() == "older"


def test_a_database_that_sqlite_finds_unsound_fails_the_archive(live: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'plans'").fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    with live.open("r+b") as file:
        file.seek((root - 1) * page + 2)
        file.write(b"\xff" * 6)
    with pytest.raises(Damaged, match="quick_check"):
        write(live, tmp_path / "archive", "gzip")


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_ends_every_thread_and_says_what_it_was(
    live: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_manifest(_digests: still.Digests) -> Manifest:
        raise DiskFull("no room for a manifest")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = threading.active_count()
    with pytest.raises(DiskFull, match="no room for a manifest"):
        write(live, tmp_path / "one", kind, made=no_manifest)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="two: cannot write: No space left on device"):
        write(live, tmp_path / "two", kind)
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full_in_the_middle_fails_the_archive(
    live: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskFull, match="No space left"), still.opened(live, "auto", 5, live.parent) as state:
        monkeypatch.setattr(files, "open_new", lambda *_more: os.open("/dev/full", os.O_WRONLY))
        archives.write(state, CARD, facts_of, live.parent / "new", OWNER, [ME.recipient], kind)
