# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When keys are rotated and pruned, to the second; and that check mode tells what then happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    backup,
    files,
    key_states,
    keyring,
    times,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.keys import render_identities
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Busy, Unsafe
from ansible_collections.vvtv.runbook.plugins.module_utils._core.key_states import Request
from ansible_collections.vvtv.runbook.plugins.module_utils._core.locks import node_lock
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome

from .age.helpers import ME
from .nodes import Clock, legacy_backup, legacy_key, make_node, new_backup, new_key, tree

DAY = 86400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The engine's clock, standing."""
    return Clock(monkeypatch)


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Node:
    """A node without keys and backups, at the beginning of the clock."""
    assert clock.now
    return make_node(tmp_path)


def bring_about(node: Node, **wanted: Any) -> Outcome:
    """Foretell, which changes nothing; do, which does nothing else; and again, which does nothing."""
    request = Request(timeout=1, **wanted)
    before = tree(node.root)
    foretold = key_states.bring_about(node, request, check=True)
    assert tree(node.root) == before
    done = key_states.bring_about(node, request)
    assert foretold.changed == done.changed == (tree(node.root) != before)
    assert len(foretold.actions) == len(done.actions)
    for fact in ("reason", "rewrap", "pruned", "kept", "previous_key"):
        assert foretold.facts.get(fact) == done.facts.get(fact), fact
    if "reason" not in done.facts:
        assert foretold.actions == done.actions
        assert (foretold.facts, foretold.diff) == (done.facts, done.diff)
    if request.state != "rotated":
        settled = tree(node.root)
        for check in (True, False):
            again = key_states.bring_about(node, request, check)
            assert (again.changed, again.actions, tree(node.root)) == (False, [], settled)
    return done


def current(node: Node) -> keyring.Key:
    found = keyring.read(node).current
    assert found is not None
    return found


def test_a_node_without_a_key_gets_one(node: Node) -> None:
    done = bring_about(node)
    assert done.facts["reason"] == "the node has none"
    assert done.facts["key"]["id"] == current(node).id == "20260131T235959Z"
    assert done.facts["previous_key"] is None
    assert done.diff == [
        {"before": "current key: none\n", "after": "current key: 20260131T235959Z\n"},
    ]


@pytest.mark.parametrize(
    ("age", "wanted", "reason"),
    [
        (30 * DAY - 1, {}, None),
        (30 * DAY, {}, "20260131T235959Z is older than 30 days"),
        (DAY - 1, {"max_age": 1}, None),
        (DAY, {"max_age": 1}, "20260131T235959Z is older than 1 days"),
        (4000 * DAY, {"max_age": 0}, None),
        (0, {"state": "rotated"}, "it was asked for"),
        (4000 * DAY, {"state": "pruned"}, None),
        (0, {"max_age": 1e-9}, None),
    ],
)
def test_a_key_is_rotated_when_it_is_due(
    node: Node, clock: Clock, age: float, wanted: dict[str, Any], reason: str | None
) -> None:
    first = new_key(node)
    clock.forward(seconds=age)
    if wanted == {"max_age": 1e-9}:
        assert "reason" not in key_states.bring_about(node, Request(**wanted)).facts
        return
    done = bring_about(node, **wanted)
    assert done.facts.get("reason") == reason
    assert (current(node).id == first.id) == (reason is None)
    assert done.facts["previous_key"]["id"] == first.id
    assert first.fingerprint in {key.fingerprint for key in keyring.read(node).archived}


@pytest.mark.parametrize(("ahead", "rotated"), [(-1, False), (0, False), (1, True), (DAY * 10**6, True)])
def test_a_key_made_before_an_instant_is_rotated(node: Node, clock: Clock, ahead: int, rotated: bool) -> None:
    new_key(node)
    instant = clock.text(microseconds=ahead)
    clock.forward(days=20)
    done = bring_about(node, not_before=instant)
    assert ("reason" in done.facts) == rotated
    if rotated:
        assert done.facts["reason"] == f"20260131T235959Z was made before {instant}"
        assert current(node).created_at == clock.now


def test_a_clock_a_little_behind_makes_a_key_that_satisfies_the_instant(node: Node, clock: Clock) -> None:
    new_key(node)
    instant = clock.text(seconds=300)
    assert "reason" in bring_about(node, not_before=instant).facts
    assert times.to_text(current(node).created_at) == instant
    clock.forward(seconds=200)
    assert not bring_about(node, not_before=instant).changed
    assert current(node).age_days(clock.now) < 0


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"state": "absent"}, "state must be one of present, rotated, pruned"),
        ({"max_age": -0.1}, "max_age must be 0 or more days"),
        ({"max_age": float("nan")}, "max_age must be 0 or more days"),
        ({"max_age": float("inf")}, "max_age must be 0 or more days"),
        ({"retention": -1}, "retention must be 0 or more days"),
        ({"rewrap": True, "rekey": True}, "rewrap and rekey are two things"),
        ({"not_before": "yesterday"}, "no RFC 3339 instant"),
        ({"not_before": "2026-02-01T00:04:59.6Z"}, "lies in the future of this node"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything(node: Node, wanted: dict[str, Any], why: str) -> None:
    for check in (True, False):
        with pytest.raises(BadInput, match=why):
            key_states.bring_about(node, Request(**wanted), check)
    assert not node.key_dir.exists()


def test_a_key_of_the_shell_runbook_is_succeeded_and_kept(node: Node) -> None:
    path = legacy_key(node, "current.key")
    (node.key_dir / "current.key.id").write_text("20250101T000000Z\n")
    secret = path.read_bytes()
    done = bring_about(node, max_age=0)
    assert done.facts["reason"] == "20250101T000000Z is a key of the shell runbook"
    assert done.actions[0] == "archived the current key 20250101T000000Z"
    assert [key["kind"] for key in done.facts["keyring"]] == ["age", "legacy"]
    assert (node.key_dir / "archive/20250101T000000Z.key").read_bytes() == secret


def test_an_operators_own_key_is_archived_and_stays_in_use(node: Node) -> None:
    new_key(node)
    files.replace(node.key_dir / "current.key", render_identities([ME]), 0o600, node.owner())
    done = bring_about(node)
    assert done.actions == [
        "archived the current key 20260131T235959Z-2",
        "recorded the current key's id 20260131T235959Z-2 for the shell runbook's tools",
    ]
    assert current(node).recipient == str(ME.recipient)
    assert len(keyring.read(node).archived) == 2


def test_an_operators_own_key_may_have_any_name(node: Node) -> None:
    for place in ("archive/my-own.key", "current.key"):
        files.make_folder(node.key_dir / "archive", 0o700, node.owner())
        files.write_new(node.key_dir / place, render_identities([ME]), 0o600, node.owner())
    assert bring_about(node).facts["key"]["id"] == "my-own"
    made = new_backup(node)
    assert made.key_ids == ("my-own",)
    assert bring_about(node, rewrap=True).facts["rewrap"]["unchanged"] == [made.id]
    assert not backup.back_up(node, backup.Request(timeout=1)).changed


def test_what_a_killed_run_left_is_finished(node: Node, clock: Clock) -> None:
    first = new_key(node)
    clock.forward(days=1)
    made = keyring.make(node, keyring.read(node), clock.now, clock.now)
    done = bring_about(node)
    assert done.actions == [f"took key {made.id} into use, which was made for that by a run that was killed"]
    assert (done.facts["key"]["id"], done.facts["previous_key"]["id"]) == (made.id, first.id)

    (node.key_dir / "current.key.id").unlink()
    assert "recorded the current key's id" in bring_about(node).actions[0]
    (node.key_dir / "current.key").unlink()
    assert f"took key {made.id} into use" in bring_about(node).actions[0]
    staged = files.stage(node.key_dir / "current.key", b"half", 0o600, node.owner())
    assert key_states.bring_about(node, Request()).actions == [
        f"removed {staged}, prepared by a run that was killed"
    ]


@pytest.mark.parametrize(("late", "pruned"), [(-1, False), (0, True)])
def test_a_key_is_pruned_when_its_retention_is_over(
    node: Node, clock: Clock, late: int, pruned: bool
) -> None:
    first = new_key(node)
    clock.forward(days=100)
    second = new_key(node)
    clock.forward(days=180, seconds=late)
    done = bring_about(node, state="pruned")
    assert done.facts["pruned"] == ([first.id] if pruned else [])
    assert [key.id for key in keyring.read(node).keys] == [second.id] + ([] if pruned else [first.id])
    assert done.facts["kept"] == []


def test_the_newest_and_the_current_key_are_never_pruned(node: Node, clock: Clock) -> None:
    first = new_key(node)
    clock.forward(days=1)
    second = new_key(node)
    clock.forward(days=1000)
    # An operator went back to the first one, and this run is not to change that: the second follows it.
    ring = keyring.read(node)
    keyring.use(node, ring, ring.archived[1])
    key_states.bring_about(node, Request(state="pruned", retention=0))
    assert {key.id for key in keyring.read(node).archived} >= {second.id}
    assert first.id != second.id
    assert current(node).id in {key.id for key in keyring.read(node).archived}


def test_a_key_that_a_backup_needs_is_kept_and_the_backup_named(node: Node, clock: Clock) -> None:
    first = new_key(node)
    clock.forward(days=1)
    made = new_backup(node)
    second = new_key(node)
    clock.forward(days=1000)
    third = new_key(node)
    done = bring_about(node, state="pruned", retention=0)
    assert done.facts["pruned"] == [second.id]
    assert done.facts["kept"] == [{"id": first.id, "needed_by": [made.id]}]
    assert [(key["id"], key["current"], key["opens"]) for key in done.facts["keyring"]] == [
        (third.id, True, []),
        (first.id, False, [made.id]),
    ]


def test_a_rewrap_frees_the_old_key_in_the_same_run_and_check_mode_knows(node: Node, clock: Clock) -> None:
    first = new_key(node)
    made = new_backup(node)
    clock.forward(days=1)
    new_key(node)
    done = bring_about(node, state="pruned", retention=0, rewrap=True)
    assert done.facts["rewrap"] == {"renewed": [made.id], "unchanged": [], "failed": []}
    assert (done.facts["pruned"], done.facts["kept"]) == ([first.id], [])


def test_an_archive_that_cannot_be_read_keeps_every_key(node: Node, clock: Clock) -> None:
    for turn in range(3):
        new_key(node)
        made = new_backup(node) if turn == 1 else None
        clock.forward(days=1)
        if made:
            made.archive.write_bytes(b"no age file" + made.archive.read_bytes()[11:])
            damaged = made.id
    done = bring_about(node, state="pruned", retention=0)
    assert done.facts["pruned"] == []
    assert [kept["needed_by"] for kept in done.facts["kept"]] == [[damaged]] * 2
    assert any(f"backup {damaged} cannot be read" in warning for warning in done.warnings)


def test_an_archive_of_the_shell_runbook_keeps_the_key_that_may_open_it(node: Node, clock: Clock) -> None:
    needed = legacy_key(node, "archive/20250101T000000Z.key")
    legacy_key(node, "archive/20250102T000000Z.key", "another passphrase")
    legacy_backup(node, "20250103T000000Z", needed)
    new_key(node)
    clock.forward(days=1)
    done = bring_about(node, state="pruned", retention=0)
    assert done.facts["pruned"] == ["20250102T000000Z"]
    assert done.facts["kept"] == [{"id": "20250101T000000Z", "needed_by": ["20250103T000000Z"]}]


def test_a_backup_that_no_key_opens_is_told_of(node: Node, clock: Clock) -> None:
    first = new_key(node)
    made = new_backup(node)
    clock.forward(days=1)
    for path in (node.key_dir / "current.key", node.key_dir / f"archive/{first.id}.key"):
        path.unlink()
    new_key(node)
    clock.forward(days=1)
    last = new_key(node)
    done = bring_about(node, state="pruned", retention=0)
    assert len(done.warnings) == 1
    assert f"no key of the node opens backup {made.id}" in done.warnings[0]
    assert [key.id for key in keyring.read(node).keys] == [last.id]


@pytest.mark.parametrize("how", ["rewrap", "rekey"])
def test_a_rotation_and_what_follows_it_are_foretold_together(node: Node, clock: Clock, how: str) -> None:
    new_key(node)
    made = [new_backup(node).id for _turn in range(2)]
    clock.forward(days=31)
    done = bring_about(node, recovery=(str(ME.recipient),), **{how: True})
    assert done.facts["rewrap"]["renewed"] == made[::-1]
    assert len(done.actions) == 3


def test_what_is_no_key_is_warned_of_and_left(node: Node) -> None:
    new_key(node)
    wrong = node.key_dir / "archive/wrong.key"
    files.write_new(wrong, b"x", 0o600, node.owner())
    for outcome in (bring_about(node), bring_about(node, state="pruned", retention=0), key_states.tell(node)):
        assert [str(wrong) in warning for warning in outcome.warnings] == [True]
    assert wrong.read_bytes() == b"x"


def test_one_operator_at_a_time(node: Node) -> None:
    with node_lock(node, "a test", 1), pytest.raises(Busy, match="for 'a test'"):
        key_states.bring_about(node, Request(timeout=0))
    assert not node.key_dir.exists()


def test_unsafe_keys_are_refused_in_check_mode_too(node: Node) -> None:
    new_key(node)
    (node.key_dir / "current.key").chmod(0o644)
    for check in (True, False):
        with pytest.raises(Unsafe):
            key_states.bring_about(node, Request(), check)
    with pytest.raises(Unsafe):
        key_states.tell(node)


def test_info_tells_the_same_and_changes_nothing(node: Node) -> None:
    new_key(node)
    new_backup(node)
    done = bring_about(node)
    before = tree(node.root)
    told = key_states.tell(node)
    assert (told.changed, told.facts) == (False, {fact: done.facts[fact] for fact in ("key", "keyring")})
    assert tree(node.root) == before
