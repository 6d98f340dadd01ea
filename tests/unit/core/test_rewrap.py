# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives given to other recipients: the payload stays, or is encrypted anew, and nothing gets lost."""

from __future__ import annotations

import dataclasses
import json
import os
import types
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, key_states, rewrap
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import envelope
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import NoMatch
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.header import Header, Stanza, read_header
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.keys import render_identities
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import sidecar
from ansible_collections.vvtv.runbook.plugins.module_utils._core.catalogue import Backup
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import DiskFull
from ansible_collections.vvtv.runbook.plugins.module_utils._core.keyring import Key
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.opening import Keys, read_archive
from ansible_collections.vvtv.runbook.plugins.module_utils._core.recipients import recipients_of

from .age.helpers import ME, OTHER
from .archive.helpers import KINDS
from .conftest import sha256sum
from .nodes import Clock, again, make_node, new_backup, new_key, tree

RECOVERY = (str(ME.recipient),)
GREASE = (Stanza("one-grease", ("x",), bytes(48)), Stanza("two", (), b"body"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The engine's clock, standing."""
    return Clock(monkeypatch)


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Node:
    """A node with one key."""
    made = make_node(tmp_path)
    new_key(made)
    clock.forward(days=1)
    return made


def renew(node: Node, backup: Backup, recovery: tuple[str, ...] = RECOVERY, **how: Any) -> rewrap.Result:
    """Foretell, do, and make sure that nothing is left to do; return what was done and why."""
    keys = Keys(node)
    wanted = recipients_of(keys.keyring, recovery)
    rekey = how.get("rekey", False)
    before = tree(node.backup_dir)
    foretold = rewrap.renew(node, again(node, backup), keys, wanted, rekey, check=True)
    assert tree(node.backup_dir) == before
    done = rewrap.renew(node, again(node, backup), keys, wanted, rekey)
    assert (done.state, done.why) == (foretold.state, foretold.why) or done.state == "failed"
    if done.state != "renewed":
        assert tree(node.backup_dir) == before
        return done
    require_good(node, backup, wanted.public_keys)
    settled = tree(node.backup_dir)
    assert rewrap.renew(node, again(node, backup), keys, wanted, rekey).state == "unchanged"
    assert tree(node.backup_dir) == settled
    return done


def require_good(node: Node, backup: Backup, public_keys: tuple[str, ...]) -> None:
    """The archive opens with the current key and is what backup.json says; nothing else lies there."""
    now = again(node, backup)
    keys = Keys(node)
    proof = read_archive(now, keys)
    assert now.sidecar is not None
    assert (proof.sha256, proof.size) == (now.sidecar.archive_sha256, now.sidecar.archive_size)
    assert now.sidecar.archive_sha256 == sha256sum(now.archive)
    assert now.recipients == public_keys
    current = keys.keyring.current
    assert current and current.identity
    header, _payload = split(now)
    assert envelope.open_header(header, [current.identity])
    assert {path.name for path in now.path.iterdir()} == {now.archive_name, "backup.json"}
    assert now.archive.stat().st_mode & 0o777 == 0o600


def split(backup: Backup) -> tuple[Header, bytes]:
    """Return an archive's header and all that follows it."""
    with backup.archive.open("rb") as source:
        return read_header(source), source.read()


def file_key(backup: Backup, key: Key) -> bytes:
    assert key.identity
    return envelope.open_header(split(backup)[0], [key.identity]).secret()


def write_facts(backup: Backup, **changes: Any) -> None:
    assert backup.sidecar
    facts = dataclasses.replace(backup.sidecar, **changes)
    (backup.path / "backup.json").write_bytes(facts.to_json())


@pytest.mark.parametrize("kind", KINDS)
def test_a_rewrap_changes_the_header_and_no_byte_of_the_payload(node: Node, kind: str) -> None:
    made = new_backup(node, RECOVERY, kind)
    old_key = Keys(node).keyring.current
    assert old_key and old_key.identity
    (old, payload), secret, facts = split(made), file_key(made, old_key), made.sidecar
    new = new_key(node)
    assert renew(node, made) == rewrap.Result("renewed", f"key {old_key.id} opened it")
    now = again(node, made)
    header, same = split(now)
    assert same == payload
    assert header.stanzas != old.stanzas
    assert file_key(now, new) == secret
    assert envelope.open_header(header, [ME]).secret() == secret
    with pytest.raises(NoMatch):
        envelope.open_header(header, [old_key.identity])
    changed = {"recipients", "archive_sha256", "archive_size"}
    assert facts and now.sidecar
    for field in {field.name for field in dataclasses.fields(facts)} - changed:
        assert getattr(now.sidecar, field) == getattr(facts, field), field


@pytest.mark.parametrize("kind", KINDS)
def test_a_rekey_encrypts_the_same_content_with_another_file_key(node: Node, kind: str, clock: Clock) -> None:
    made = new_backup(node, RECOVERY, kind)
    old_key = Keys(node).keyring.current
    assert old_key and made.sidecar
    (_header, payload), secret, content = split(made), file_key(made, old_key), read_archive(made, Keys(node))
    clock.forward(days=1)
    new = new_key(node)
    clock.forward(days=1)
    done = renew(node, made, rekey=True)
    assert done == rewrap.Result("renewed", "its payload was encrypted before the current key was made")
    now = again(node, made)
    assert now.sidecar
    assert file_key(now, new) != secret
    assert len(split(now)[1]) == len(payload)
    assert split(now)[1][:200] != payload[:200]
    assert read_archive(now, Keys(node)).contents == content.contents
    assert now.sidecar.encrypted_at > made.sidecar.encrypted_at
    assert now.sidecar.created_at == made.sidecar.created_at


def test_a_rekey_after_a_rewrap_is_still_due(node: Node, clock: Clock) -> None:
    made = new_backup(node)
    clock.forward(days=1)
    new = new_key(node)
    assert renew(node, made, ()).state == "renewed"
    secret = file_key(again(node, made), new)
    assert renew(node, made, (), rekey=True).state == "renewed"
    assert file_key(again(node, made), new) != secret
    assert renew(node, made, (), rekey=True).state == "unchanged"


def test_strangers_stanzas_survive_a_rewrap_in_their_order_and_no_rekey(node: Node, clock: Clock) -> None:
    made = new_backup(node)
    current = Keys(node).keyring.current
    assert current and current.identity
    header, payload = split(made)
    key = envelope.open_header(header, [current.identity])
    greased = Header.make((GREASE[0], *header.stanzas, GREASE[1]), key)
    made.archive.write_bytes(greased.encode() + payload)
    write_facts(made, archive_sha256=sha256sum(made.archive), archive_size=made.archive.stat().st_size)
    clock.forward(days=1)
    new_key(node)
    assert renew(node, made).state == "renewed"
    stanzas = split(again(node, made))[0].stanzas
    assert [stanza.type for stanza in stanzas] == ["X25519", "X25519", "one-grease", "two"]
    assert stanzas[2:] == GREASE
    assert renew(node, made, rekey=True).state == "renewed"
    assert [stanza.type for stanza in split(again(node, made))[0].stanzas] == ["X25519", "X25519"]


def test_other_recovery_recipients_call_for_a_rewrap(node: Node) -> None:
    made = new_backup(node)
    assert renew(node, made) == rewrap.Result("renewed", "its recipients are others")
    assert envelope.open_header(split(again(node, made))[0], [ME])
    assert renew(node, made, (str(OTHER.recipient),)).state == "renewed"
    with pytest.raises(NoMatch):
        envelope.open_header(split(again(node, made))[0], [ME])


@pytest.mark.parametrize("rekey", [False, True], ids=["rewrap", "rekey"])
def test_the_last_recovery_recipient_is_not_taken_away(node: Node, clock: Clock, rekey: bool) -> None:
    made = new_backup(node, RECOVERY)
    clock.forward(days=1)
    new_key(node)
    done = renew(node, made, (), rekey=rekey)
    assert done.state == "failed"
    assert f"it is also for recovery recipient {RECOVERY[0]}, and none is given now" in done.why


def test_an_identity_brought_along_serves_where_the_nodes_keys_are_lost(node: Node, tmp_path: Path) -> None:
    made = new_backup(node, RECOVERY)
    for path in node.key_dir.rglob("*.key"):
        path.unlink()
    new_key(node)
    files.write_new(tmp_path / "recovery.key", render_identities([ME]), 0o600, node.owner())
    keys = Keys(node, tmp_path / "recovery.key")
    wanted = recipients_of(keys.keyring, RECOVERY)
    done = rewrap.renew(node, made, keys, wanted, False)
    assert done == rewrap.Result("renewed", "no key of the node opened it")
    require_good(node, made, wanted.public_keys)


SPOILED: dict[str, tuple[Callable[[Backup], object], str]] = {
    "missing": (lambda made: (made.path / "backup.json").unlink(), "it has no backup.json"),
    "empty": (lambda made: (made.path / "backup.json").write_bytes(b""), "it has no backup.json"),
    "of another backup": (lambda made: write_facts(made, id="20200101T000000Z"), "it has no backup.json"),
    "of another size": (lambda made: write_facts(made, archive_size=1), "its backup.json is out of date"),
    "for others": (
        lambda made: write_facts(made, recipients=(sidecar.For("age1x"),)),
        "its recipients are others",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_facts_that_are_not_right_are_mended(node: Node, how: str) -> None:
    made = new_backup(node, RECOVERY)
    spoil, why = SPOILED[how]
    spoil(made)
    assert renew(node, made) == rewrap.Result("renewed", why)
    facts = json.loads((made.path / "backup.json").read_text())
    known = made.sidecar
    assert known
    for field in ("id", "created_at", "content_sha256", "owner_card_sha256", "method", "encrypted_at"):
        assert facts[field] == getattr(known, field), field


def header_of_nobody(made: Backup) -> bytes:
    return made.archive.read_bytes().replace(b"-> X25519 ", b"-> X25519 x ", 1)


DAMAGED: dict[str, tuple[bool, Callable[[Backup], bytes]]] = {
    "empty": (False, lambda _made: b""),
    "no age file": (False, lambda _made: bytes(1000)),
    "malformed stanza": (False, header_of_nobody),
    "changed MAC": (False, lambda made: made.archive.read_bytes().replace(b"\n--- ", b"\n--- A", 1)),
    "cut in the header": (False, lambda made: made.archive.read_bytes()[:100]),
    "changed payload": (True, lambda made: made.archive.read_bytes()[:-1] + b"\0"),
    "cut payload": (True, lambda made: made.archive.read_bytes()[:-1]),
    "longer payload": (True, lambda made: made.archive.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("how", DAMAGED)
@pytest.mark.parametrize("rekey", [False, True], ids=["rewrap", "rekey"])
def test_a_damaged_archive_is_left_as_it_is(node: Node, clock: Clock, how: str, rekey: bool) -> None:
    made = new_backup(node, RECOVERY)
    _payload, damage = DAMAGED[how]
    made.archive.write_bytes(damage(made))
    new_key(node)
    clock.forward(days=1)
    before = tree(node.backup_dir)
    done = renew(node, made, rekey=rekey)
    assert done.state == "failed"
    assert made.archive_name in done.why
    assert tree(node.backup_dir) == before


def test_an_archive_that_no_key_opens_is_left_as_it_is(node: Node) -> None:
    made = new_backup(node)
    for path in node.key_dir.rglob("*.key"):
        path.unlink()
    new_key(node)
    done = renew(node, made)
    assert done.state == "failed"
    assert "no key opens it" in done.why


@pytest.mark.parametrize("rekey", [False, True], ids=["rewrap", "rekey"])
def test_who_read_the_keyring_before_a_rotation_opens_what_it_rewrapped(
    node: Node, clock: Clock, rekey: bool
) -> None:
    """A verify takes no lock, so a rotation may come between its look at the keys and at the archive."""
    made, keys = new_backup(node), Keys(node)
    contents = read_archive(made, keys).contents
    clock.forward(days=1)
    new_key(node)
    assert renew(node, made, (), rekey=rekey).state == "renewed"
    assert read_archive(made, keys).contents == contents


def test_what_was_not_written_as_it_should_be_never_takes_the_archives_place(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = new_backup(node)
    new_key(node)
    before = tree(node.backup_dir)
    with monkeypatch.context() as patched:
        patched.setattr(files, "sha256_of", lambda _path: "0" * 64)
        assert "is not what was written to it" in renew(node, made).why
    with monkeypatch.context() as patched:
        patched.setattr(rewrap, "opening_keys", lambda *_more: [])
        patched.setattr(rewrap, "_why", lambda *_more: "a test wants it")
        keys = Keys(node)
        wanted = recipients_of(keys.keyring, ())
        assert "is not opened by the current key" in rewrap.renew(node, made, keys, wanted, False).why
    assert tree(node.backup_dir) == before


@pytest.mark.parametrize("rekey", [False, True], ids=["rewrap", "rekey"])
def test_a_full_disk_leaves_the_archive_as_it_is(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch, rekey: bool
) -> None:
    made = new_backup(node)
    clock.forward(days=1)
    new_key(node)
    before = tree(node.backup_dir)
    keys = Keys(node)
    wanted = recipients_of(keys.keyring, ())
    with monkeypatch.context() as patched, pytest.raises(DiskFull, match="No space left"):
        patched.setattr(files, "open_new", lambda *_more: os.open("/dev/full", os.O_WRONLY))
        rewrap.renew(node, made, keys, wanted, rekey)
    assert tree(node.backup_dir) == before
    with monkeypatch.context() as patched, pytest.raises(DiskFull, match="bytes but only 9 are free"):
        little = types.SimpleNamespace(f_bavail=9, f_frsize=1)
        patched.setattr(os, "statvfs", lambda _path: little)
        rewrap.renew(node, made, keys, wanted, rekey)
    assert tree(node.backup_dir) == before


class Cut(BaseException):
    """Stands for kill -9: nothing is cleaned up that only the dead run knew of."""


@pytest.mark.parametrize("rekey", [False, True], ids=["rewrap", "rekey"])
def test_a_run_cut_between_archive_and_facts_is_finished_by_the_next(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch, rekey: bool
) -> None:
    made = new_backup(node, RECOVERY)
    clock.forward(days=1)
    new_key(node)

    def cut(*_more: object) -> None:
        raise Cut

    keys = Keys(node)
    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(files, "replace", cut)
        rewrap.renew(node, made, keys, recipients_of(keys.keyring, RECOVERY), rekey)
    stale = again(node, made)
    assert stale.sidecar == made.sidecar
    assert sha256sum(stale.archive) != made.sha256
    assert read_archive(stale, keys).contents.manifest.id == made.id
    clock.forward(days=1)
    assert renew(node, made, rekey=rekey).state == "renewed"


def test_what_a_killed_run_prepared_is_found_and_removed(node: Node) -> None:
    made = new_backup(node)
    staged = [
        files.stage(made.path / name, b"half", 0o600, node.owner())
        for name in (made.archive_name, "backup.json")
    ]
    assert sorted(rewrap.leftovers(node)) == sorted(staged)
    done = key_states.bring_about(node, key_states.Request(timeout=1))
    assert len(done.actions) == 2
    assert rewrap.leftovers(node) == []
    new_key(node)
    staged[0].write_bytes(b"half")
    assert renew(node, made).state == "renewed"


def test_the_next_version_is_private_whatever_the_mode_was(node: Node) -> None:
    made = new_backup(node)
    made.archive.chmod(0o644)
    new_key(node)
    assert renew(node, made).state == "renewed"
