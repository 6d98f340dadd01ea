# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's keys: private, each under one id, never lost, never shown."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, keyring
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import keys as age_keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, Unsafe
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from .age.helpers import ME, OTHER
from .nodes import LEGACY_SECRET, START, legacy_key, new_key


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that has nothing yet."""
    return Node.at(tmp_path)


def make(node: Node, **later: float) -> keyring.Key:
    """Make a key at a certain time and take it into use."""
    ring, now = keyring.read(node), START + timedelta(**later)
    key = keyring.make(node, ring, now, now)
    keyring.use(node, ring, key)
    return key


def test_a_node_without_a_folder_has_no_keys(node: Node) -> None:
    ring = keyring.read(node)
    assert (ring.current, ring.archived, ring.keys, ring.successor, ring.problems) == (None, (), [], None, ())
    assert keyring.id_is_recorded(ring)
    assert keyring.leftovers(node) == []
    assert not node.key_dir.exists()


def test_a_new_key_is_archived_and_not_yet_in_use(node: Node) -> None:
    made = keyring.make(node, keyring.read(node), START, START)
    ring = keyring.read(node)
    assert (ring.current, [key.id for key in ring.archived], ring.successor) == (
        None,
        ["20260131T235959Z"],
        ring.archived[0],
    )
    assert (made.kind, made.recipient, made.created_at) == ("age", ring.archived[0].recipient, START)
    keyring.use(node, ring, made)
    ring = keyring.read(node)
    assert ring.current and (ring.current.id, ring.current.path) == (made.id, node.key_dir / "current.key")
    assert [key.id for key in ring.keys] == [made.id]
    assert ring.successor is None


def test_stock_age_reads_a_key_file_and_only_its_owner_may(node: Node) -> None:
    made = make(node)
    for path in (node.key_dir / "current.key", node.key_dir / f"archive/{made.id}.key"):
        shown = subprocess.run(["age-keygen", "-y", path], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == made.recipient
        assert path.stat().st_mode & 0o777 == 0o600
    for folder in (node.key_dir, node.key_dir / "archive"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (node.key_dir / "current.key.id").read_text() == f"{made.id}\n"


def test_ids_are_unique_within_one_second_and_keys_are_newest_first(node: Node) -> None:
    made = [make(node, microseconds=turn) for turn in range(12)]
    assert [key.id for key in made[:3]] == ["20260131T235959Z", "20260131T235959Z-2", "20260131T235959Z-3"]
    assert len({key.id for key in made}) == len({key.fingerprint for key in made}) == 12
    ring = keyring.read(node)
    assert [key.id for key in ring.archived] == [key.id for key in made[::-1]]
    assert [key.follows for key in ring.archived] == [*(key.fingerprint for key in made[-2::-1]), None]


def test_an_id_that_a_file_has_is_not_used_again_whatever_is_in_the_file(node: Node) -> None:
    make(node)
    damaged = node.key_dir / "archive/20260131T235959Z-2.key"
    files.write_new(damaged, b"no key\n", 0o600, node.owner())
    assert make(node).id == "20260131T235959Z-3"
    assert damaged.read_bytes() == b"no key\n"


@pytest.mark.parametrize("recorded", [None, "20250101T000000Z", "nonsense", "", "../x", "x" * 300, "\xff"])
def test_a_wrong_current_id_is_found_out_and_the_key_keeps_its_own(node: Node, recorded: str | None) -> None:
    made = make(node)
    path = node.key_dir / "current.key.id"
    path.unlink()
    if recorded is not None:
        path.write_text(recorded, encoding="latin-1")
    ring = keyring.read(node)
    assert ring.current and ring.current.id == made.id
    assert not keyring.id_is_recorded(ring)
    keyring.write_id(node, ring, made.id)
    assert keyring.id_is_recorded(keyring.read(node))


def test_a_current_id_that_is_a_link_is_not_followed(node: Node) -> None:
    made = make(node)
    (node.key_dir / "current.key.id").unlink()
    (node.key_dir / "current.key.id").symlink_to("/etc/hostname")
    ring = keyring.read(node)
    assert ring.current and ring.current.id == made.id
    assert not keyring.id_is_recorded(ring)


@pytest.mark.parametrize(
    ("id_file", "expected"), [("20250101T000000Z", "20250101T000000Z"), ("nonsense", None), (None, None)]
)
def test_a_key_of_the_shell_runbook_has_the_id_beside_it_or_its_files_time(
    node: Node, id_file: str | None, expected: str | None
) -> None:
    path = legacy_key(node, "current.key")
    os.utime(path, (START.timestamp(), START.timestamp()))
    if id_file is not None:
        (node.key_dir / "current.key.id").write_text(f"{id_file}\n")
    current = keyring.read(node).current
    assert current is not None
    assert (current.kind, current.recipient, current.id) == ("legacy", None, expected or "20260131T235959Z")
    assert (current.created_at == START) == (expected is None)


def test_a_key_of_the_shell_runbook_is_archived_as_it_is_under_an_id_of_its_own(node: Node) -> None:
    legacy_key(node, "archive/20250101T000000Z.key", "another passphrase")
    current = legacy_key(node, "current.key")
    (node.key_dir / "current.key.id").write_text("20250101T000000Z\n")
    archived = keyring.archive_current(node, keyring.read(node))
    assert archived == node.key_dir / "archive/20250101T000000Z-2.key"
    assert archived.read_bytes() == current.read_bytes()
    ring = keyring.read(node)
    assert ring.current and ring.current.id == "20250101T000000Z-2"
    assert len(ring.keys) == len(ring.archived) == 2
    assert keyring.archive_current(node, ring) is None


def test_a_key_of_the_shell_runbook_is_never_a_successor(node: Node) -> None:
    legacy_key(node, "archive/20250101T000000Z.key")
    assert keyring.read(node).successor is None


def test_only_a_key_made_to_follow_the_current_one_succeeds_it(node: Node) -> None:
    first = make(node)
    ring = keyring.read(node)
    second = keyring.make(node, ring, START, START - timedelta(days=400))
    ring = keyring.read(node)
    assert ring.current and ring.current.id == first.id
    assert ring.successor and ring.successor.id == second.id
    keyring.use(node, ring, ring.successor)
    assert keyring.read(node).successor is None
    # An operator's own key, put in place by hand, is followed by none.
    files.replace(node.key_dir / "current.key", age_keys.render_identities([ME]), 0o600, node.owner())
    ring = keyring.read(node)
    assert ring.successor is None
    assert keyring.archive_current(node, ring) is not None
    assert len(keyring.read(node).keys) == 3


def test_the_newest_key_succeeds_where_none_is_in_use(node: Node) -> None:
    made = [make(node, days=turn) for turn in range(3)]
    (node.key_dir / "current.key").unlink()
    successor = keyring.read(node).successor
    assert successor and successor.id == made[-1].id


def test_a_damaged_file_in_the_archive_is_reported_and_left_alone(node: Node) -> None:
    made = make(node)
    wrong = {
        "empty.key": b"",
        "cut.key": b"# made by a test\n" + made.identity.secret_text().encode()[:-3],
        "two.key": age_keys.render_identities([ME, OTHER]),
        "short.key": b"short\n",
        "binary.key": bytes(range(256)),
        "large.key": b"# x\n" * 20_000,
    }
    for name, data in wrong.items():
        files.write_new(node.key_dir / "archive" / name, data, 0o600, node.owner())
    (node.key_dir / "archive/folder.key").mkdir(mode=0o700)
    (node.key_dir / "archive/notes.txt").write_text("not looked at")
    ring = keyring.read(node)
    assert [key.id for key in ring.keys] == [made.id]
    assert len(ring.problems) == len(wrong) + 1
    for name in (*wrong, "folder.key"):
        assert any(str(node.key_dir / "archive" / name) in problem for problem in ring.problems), name
    assert {
        path.name: path.read_bytes() for path in ring.archive.glob("*.key") if path.name in wrong
    } == wrong
    quoted = [ME.secret_text()[:40], OTHER.secret_text()[:40], made.identity.secret_text()[:40]]
    assert not any(secret in problem for problem in ring.problems for secret in quoted)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is neither an age identity nor a key of the shell runbook"),
        (b"short\n", "is neither an age identity nor a key of the shell runbook"),
        (b"# only a comment\n", "holds no identity"),
        (ME.secret_text()[:-1].encode(), "line 1: an identity has a wrong checksum"),
        (age_keys.render_identities([ME, OTHER]), "holds more than one identity"),
        (age_keys.render_identities([ME]) * 2, "holds more than one identity"),
        (
            b"-----BEGIN AGE ENCRYPTED FILE-----\neHh4\n-----END AGE ENCRYPTED FILE-----\n",
            "with a passphrase",
        ),
        (b"age-encryption.org/v1\n-> scrypt x 1\n", "with a passphrase"),
    ],
)
def test_a_current_key_that_is_none_is_refused(node: Node, data: bytes, why: str) -> None:
    make(node)
    (node.key_dir / "current.key").write_bytes(data)
    with pytest.raises(Damaged, match=f"current.key: is no key: .*{why}.*move it away"):
        keyring.read(node)
    assert (node.key_dir / "current.key").read_bytes() == data


@pytest.mark.parametrize("place", ["current.key", "archive", "archive/20260131T235959Z.key"])
def test_a_link_is_refused(node: Node, tmp_path: Path, place: str) -> None:
    make(node)
    path = node.key_dir / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unsafe, match=f"{path}: is a symbolic link"):
        keyring.read(node)
    (tmp_path / "elsewhere").rename(tmp_path / "gone")
    with pytest.raises(Unsafe, match=f"{path}: is a symbolic link"):
        keyring.read(node)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
@pytest.mark.parametrize("place", ["", "current.key", "archive", "archive/20260131T235959Z.key"])
def test_what_others_can_use_is_refused_and_not_mended(node: Node, place: str, mode: int) -> None:
    make(node)
    path = node.key_dir / place
    loose = mode | (path.stat().st_mode & 0o777)
    path.chmod(loose)
    with pytest.raises(Unsafe, match=f"{path}: can be used by others: its mode is {loose:04o}") as caught:
        keyring.read(node)
    assert path.stat().st_mode & 0o777 == loose
    subprocess.run(["sh", "-c", str(caught.value.hint).replace("run: ", "")], check=True)
    assert keyring.read(node).current


def test_what_belongs_to_another_user_is_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    make(node)
    stranger = files.Owner(os.getuid() + 1, os.getgid())
    monkeypatch.setattr(Node, "owner", lambda _self: stranger)
    with pytest.raises(Unsafe, match=f"belongs to uid {os.getuid()}, not to the service user") as caught:
        keyring.read(node)
    assert caught.value.hint == f"run: chown -R {stranger.uid}:{stranger.gid} {node.key_dir}"


def test_what_a_killed_run_prepared_is_no_key_and_is_found(node: Node) -> None:
    make(node)
    staged = [
        files.stage(node.key_dir / name, b"half", 0o600, node.owner())
        for name in ("archive/20260201T000000Z.key", "current.key")
    ]
    ring = keyring.read(node)
    assert (len(ring.keys), ring.problems) == (1, ())
    assert sorted(keyring.leftovers(node)) == sorted(staged)


def test_more_keys_than_anybody_has_are_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "_MAX_KEYS", 3)
    for turn in range(3):
        make(node, days=turn)
    assert len(keyring.read(node).keys) == 3
    make(node, days=4)
    with pytest.raises(Damaged, match="holds more than 3 keys"):
        keyring.read(node)


@pytest.mark.parametrize(
    ("where", "step"), [(keyring, "_require_private"), (files, "read_bounded")], ids=["look", "read"]
)
def test_a_key_that_is_pruned_while_the_keyring_is_read_is_none(
    node: Node, monkeypatch: pytest.MonkeyPatch, where: Any, step: str
) -> None:
    """A reader takes no lock, so a prune may come between the list of files and each of them."""
    pruned, kept = make(node), make(node, days=1)
    whole = getattr(where, step)

    def too_late(path: Path, *rest: Any) -> Any:
        if path == pruned.path:
            path.unlink()
        return whole(path, *rest)

    monkeypatch.setattr(where, step, too_late)
    found = keyring.read(node)
    assert [key.id for key in found.archived] == [kept.id]
    assert found.problems == ()


def test_a_key_shows_its_public_half_and_never_the_other(node: Node) -> None:
    legacy_key(node, "archive/20250101T000000Z.key")
    new_key(node)
    ring = keyring.read(node)
    secrets = {LEGACY_SECRET, ring.archived[0].identity.secret_text()}
    for key in ring.keys:
        result = key.result(START)
        assert set(result) == {"id", "kind", "recipient", "created_at", "age_days"}
        for shown in (f"{key} {key!r} {key.fingerprint} {ring!r}", json.dumps(result)):
            assert not any(secret.lower() in shown.lower() for secret in secrets)
    assert ring.archived[0].result(ring.archived[0].created_at + timedelta(hours=36))["age_days"] == 1.5
