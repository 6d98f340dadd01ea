# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are never half there, one by one and as a set."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Damaged,
    DiskFull,
    RunbookError,
)

ME = files.Owner(os.getuid(), os.getgid())


class Cut(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two files with their old content."""
    targets = tmp_path / "a.key", tmp_path / "b.id"
    for target in targets:
        target.write_text("old")
    return targets


def prepare(folder: Path, targets: tuple[Path, ...]) -> files.Intent:
    moves = tuple((files.stage(target, b"new", 0o600, ME), target) for target in targets)
    return files.Intent(folder / "intent.json", moves, {"why": "a test"})


def content(targets: tuple[Path, ...]) -> list[str]:
    return [target.read_text() for target in targets]


def test_replace_gives_content_mode_and_no_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    files.replace(target, b"new", 0o640, ME)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_a_replacement_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="No space left"):
        files.replace(target, b"new", 0o600, ME)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", range(1, 12))
def test_a_set_cut_at_any_step_is_old_or_can_be_finished(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    left = step

    def counted(function: object) -> object:
        def call(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Cut
            assert callable(function)
            return function(*args, **more)

        return call

    intent = prepare(tmp_path, pair)
    with monkeypatch.context() as patched:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patched.setattr(owner, name, counted(getattr(owner, name)))
        with contextlib.suppress(Cut):
            files.replace_set(intent, ME)
    left_over = files.pending(tmp_path / "intent.json", pair)
    if left_over is None:
        assert content(pair) in (["old", "old"], ["new", "new"])
    else:
        files.carry_out(left_over)
        assert content(pair) == ["new", "new"]
        assert files.pending(tmp_path / "intent.json", pair) is None


def test_a_set_can_be_dropped_before_it_is_carried_out(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    intent = prepare(tmp_path, pair)
    files.declare(intent, ME)
    assert files.pending(intent.path, pair) == intent
    files.drop(intent)
    assert content(pair) == ["old", "old"]
    assert sorted(os.listdir(tmp_path)) == ["a.key", "b.id"]


def test_a_set_that_was_not_staged_is_refused(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    intent = prepare(tmp_path, pair)
    intent.moves[1][0].unlink()
    with pytest.raises(BadInput, match="not staged"):
        files.replace_set(intent, ME)
    assert content(pair) == ["old", "old"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"moves": 3, "facts": {}}',
        b'{"moves": [["/etc/passwd", "/etc/shadow"]], "facts": {}}',
        b'{"moves": [], "facts": []}',
        b"[" * 60_000,
    ],
)
def test_an_intent_that_is_none_is_refused(tmp_path: Path, pair: tuple[Path, Path], document: bytes) -> None:
    (tmp_path / "intent.json").write_bytes(document)
    with pytest.raises(Damaged, match="look at it, then remove it"):
        files.pending(tmp_path / "intent.json", pair)


def test_an_intent_may_move_only_to_and_from_where_it_belongs(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    for staged, target in ((pair[1], pair[0]), (files.staged_path(pair[0]), tmp_path / "other")):
        document = {"moves": [[str(staged), str(target)]], "facts": {}}
        (tmp_path / "intent.json").write_text(json.dumps(document))
        with pytest.raises(Damaged, match="may not move"):
            files.pending(tmp_path / "intent.json", pair)


def test_a_copy_has_the_hash_that_sha256sum_gives(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(3 * files.CHUNK + 17))
    digest = files.copy_durably(tmp_path / "a", tmp_path / "b", 0o600, ME)
    listed = subprocess.run(["sha256sum", tmp_path / "b"], capture_output=True, text=True, check=True).stdout
    assert listed.split()[0] == digest == files.sha256_of(tmp_path / "a")


def test_a_copy_of_what_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="could not be read to its end"):
        files.copy_durably(tmp_path, tmp_path / "b", 0o600, ME)
    assert os.listdir(tmp_path) == []


def test_reading_apart_can_be_given_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5 * files.CHUNK))
    chunks = files.read_apart(tmp_path / "a")
    assert next(chunks)
    chunks.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_more_than_is_free_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="bytes but only"):
        files.require_room(tmp_path, 1 << 60)


def test_folders_are_made_with_their_mode_and_old_ones_stay(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a/b", 0o700, ME)
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700
    (tmp_path / "a").chmod(0o755)
    files.make_folder(tmp_path / "a", 0o700, ME)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_a_folder_where_a_file_belongs_is_refused_and_not_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Damaged, match="is not a regular file"):
        files.read_bounded(tmp_path, 10)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_not_there_is_removed_on_a_read_only_file_system_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file system refuses before it looks; it is played, since only root can make one."""

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    (tmp_path / "there").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    assert not files.remove(tmp_path / "gone")
    with pytest.raises(RunbookError, match="[Rr]ead-only"):
        files.remove(tmp_path / "there")
