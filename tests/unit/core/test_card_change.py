# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installing an OwnerCard: the old one is kept, and put back when the station does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    card_history,
    files,
    locks,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.card_change import (
    NotReloaded,
    Request,
    install,
    owed_marker,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Api, ApiFault
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Busy,
    Damaged,
    Denied,
    Unsafe,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.owner_card import InvalidCard
from tests.simulator.owner_card import SAMPLE

from .conftest import sha256sum

SOURCE = Path("/somewhere/card.yaml")
CARDS = [SAMPLE.replace("720", str(height)).encode() for height in (720, 1080, 1440, 2160)]
OLD, NEW = CARDS[:2]


class Station(Api):
    """Reads a node's card when told to; ``faults`` say how each telling fails, ``heard`` what it read."""

    def __init__(self, node: Node, *faults: str | None, deaf: bool = False) -> None:
        super().__init__()
        self.heard: list[bytes | None] = []
        self._card, self._faults, self._deaf = node.owner_card, iter(faults), deaf

    def reload_owner_card(self) -> None:
        reason = next(self._faults, None)
        if not self._deaf:
            self.heard.append(self._card.read_bytes() if self._card.exists() else None)
        if reason:
            raise ApiFault(reason, f"the test wants {reason}", "http://127.0.0.1:7070/reload", hint="try")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "config").mkdir()
    made = Node.at(tmp_path)
    made.owner_card.write_bytes(OLD)
    return made


def put(node: Node, api: Api | None, content: bytes = NEW, check: bool = False, **options: Any) -> Outcome:
    """Install a card."""
    return install(node, api, Request(content, SOURCE, **options), check)


def history(node: Node) -> list[bytes]:
    """The former cards, newest first."""
    return [path.read_bytes() for path in card_history.copies(node.owner_card)]


def everything(node: Node) -> dict[str, bytes]:
    """Every file of a node but its lock's."""
    found = {path: path.read_bytes() for path in sorted(node.root.rglob("*")) if path.is_file()}
    found.pop(node.lock_file, None)
    return {str(path): data for path, data in found.items()}


def test_check_install_install_check(node: Node) -> None:
    before, station = everything(node), Station(node)
    foretold = put(node, station, check=True)
    assert (foretold.changed, everything(node), station.heard) == (True, before, [])
    assert [action.split()[0] for action in foretold.actions] == ["keep", "replace", "let"]

    done = put(node, station)
    copy = Path(done.facts["previous"])
    assert (station.heard, node.owner_card.read_bytes(), copy.read_bytes()) == ([NEW], NEW, OLD)
    assert copy.parent == node.root / "config/owner_card.sample.history"
    assert done.facts == {
        "path": str(node.owner_card),
        "sha256": sha256sum(node.owner_card),
        "sha256_before": sha256sum(copy),
        "previous": str(copy),
        "reloaded": True,
    }
    assert done.actions == [
        f"kept the former card as {copy}",
        f"replaced {node.owner_card}",
        "let the station read its card",
    ]
    (diff,) = done.diff
    assert (diff["before"].encode(), diff["after"].encode()) == (OLD, NEW)
    assert str(SOURCE) in diff["after_header"]
    assert foretold.diff == done.diff

    after = everything(node)
    for check in (False, True):
        again = put(node, station, check=check)
        assert (again.changed, again.actions, again.diff, again.facts["reloaded"]) == (False, [], [], False)
    assert (everything(node), station.heard) == (after, [NEW])


@pytest.mark.parametrize("check", [False, True])
def test_an_invalid_card_changes_nothing_and_every_error_is_listed(node: Node, check: bool) -> None:
    before, station = everything(node), Station(node)
    bad = NEW.replace(b"schema_version: 1", b"schema_version: 0").replace(
        b"auto_apply: false", b"auto_apply: yes"
    )
    for content in (bad, b"", b"\xff", b"a: [", b"#" * (1 << 20) + NEW):
        for validate_only in (False, True):
            with pytest.raises(Damaged, match="/somewhere/card.yaml"):
                put(node, station, content, check=check, validate_only=validate_only)
    with pytest.raises(InvalidCard) as caught:
        put(node, station, bad, check=check)
    assert len(caught.value.errors) == 2
    assert (everything(node), station.heard) == (before, [])


@pytest.mark.parametrize("present", [b"", b"a: [", b"\xff" * 99, b"x" * (2 << 20), None])
def test_a_present_card_that_is_none_is_kept_and_replaced(node: Node, present: bytes | None) -> None:
    node.owner_card.unlink()
    if present is not None:
        node.owner_card.write_bytes(present)
    done = put(node, Station(node))
    assert node.owner_card.read_bytes() == NEW
    assert history(node) == ([] if present is None else [present])
    assert (done.facts["sha256_before"] is None) == (done.facts["previous"] is None) == (present is None)
    assert len(done.diff[0]["before"]) < 1000


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    node = Node.at(tmp_path, owner_card="elsewhere/below/card")
    put(node, Station(node))
    put(node, Station(node), OLD)
    assert (node.owner_card.read_bytes(), history(node)) == (OLD, [NEW])
    assert (tmp_path / "elsewhere/below/card.history").is_dir()


def test_the_card_keeps_its_mode_and_the_copy_has_it_too(node: Node) -> None:
    node.owner_card.chmod(0o640)
    copy = Path(put(node, Station(node)).facts["previous"])
    assert {path.stat().st_mode & 0o777 for path in (node.owner_card, copy)} == {0o640}


def test_a_card_reached_by_a_link_is_replaced_where_it_lies(node: Node) -> None:
    real = node.owner_card.with_name("card-7.yaml")
    node.owner_card.rename(real)
    node.owner_card.symlink_to(real)
    put(Node.at(node.root), Station(node))
    assert node.owner_card.is_symlink()
    assert (real.read_bytes(), history(Node.at(node.root))) == (NEW, [OLD])


def test_validate_only_looks_at_the_card_alone(node: Node) -> None:
    before = everything(node)
    done = put(node, None, validate_only=True)
    assert (done.changed, done.actions, done.diff, everything(node)) == (False, [], [], before)
    assert done.facts["sha256"] == files.sha256_hex(NEW)


# --- reloads ---


def test_never_needs_no_api_and_always_asks_each_time(node: Node) -> None:
    done = put(node, None, reload="never")
    assert (done.facts["reloaded"], node.owner_card.read_bytes(), len(done.actions)) == (False, NEW, 2)
    station = Station(node)
    assert not put(node, station).changed
    for _turn in range(2):
        assert put(node, station, reload="always", check=True).actions == ["let the station read its card"]
        assert put(node, station, reload="always").actions == ["let the station read its card"]
    assert station.heard == [NEW, NEW]


@pytest.mark.parametrize("reason", ["refused", "unauthorized", "clock_skew"])
def test_a_station_that_was_not_told_gets_its_card_back(node: Node, reason: str) -> None:
    station = Station(node, reason, deaf=True)
    with pytest.raises(NotReloaded, match=f"the test wants {reason}.*the former one was put back") as caught:
        put(node, station)
    assert (node.owner_card.read_bytes(), history(node)) == (OLD, [OLD])
    assert not owed_marker(node).exists()
    told = caught.value.result()
    assert (told["code"], told["reason"], told["put_back"]) == ("not_reloaded", reason, True)
    assert str(caught.value).endswith("put back; try")

    done = put(node, Station(node))
    assert (node.owner_card.read_bytes(), history(node)) == (NEW, [OLD])
    assert len(done.actions) == 2  # what the first run kept serves


@pytest.mark.parametrize("reason", ["timeout", "unreachable", "http_status", "bad_value"])
def test_a_station_that_may_have_read_the_new_card_is_told_of_the_old_one(node: Node, reason: str) -> None:
    station = Station(node, reason)
    with pytest.raises(NotReloaded, match="put back"):
        put(node, station)
    assert (station.heard, node.owner_card.read_bytes()) == ([NEW, OLD], OLD)
    assert not owed_marker(node).exists()


def test_when_that_fails_too_the_next_run_owes_a_reload(node: Node) -> None:
    with pytest.raises(NotReloaded, match="the next run tells it again"):
        put(node, Station(node, "timeout", "timeout"))
    assert node.owner_card.read_bytes() == OLD
    station = Station(node)
    assert put(node, station, OLD, check=True).changed
    done = put(node, station, OLD)
    assert done.actions == ["let the station read its card, which a run that broke off still owes"]
    assert (station.heard, put(node, station, OLD).changed) == ([OLD], False)


def test_a_reload_owed_from_before_stays_owed_when_a_run_with_another_card_fails(node: Node) -> None:
    owed_marker(node).parent.mkdir()
    owed_marker(node).touch()
    with pytest.raises(NotReloaded):
        put(node, Station(node, "refused", deaf=True))
    assert owed_marker(node).exists()
    with pytest.raises(ApiFault):
        put(node, Station(node, "refused"), OLD)
    assert owed_marker(node).exists()


def test_the_first_card_of_a_node_is_removed_again(node: Node) -> None:
    node.owner_card.unlink()
    with pytest.raises(NotReloaded, match="the new one was removed"):
        put(node, Station(node, "refused"))
    assert not node.owner_card.exists()


def test_a_card_that_cannot_be_put_back_is_said_to_be_in_the_history(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = files.replace

    def failing(target: Path, data: bytes, mode: int, owner: files.Owner) -> None:
        if (target, data) == (node.owner_card, OLD):
            raise Denied("cannot replace: Read-only file system", path=target)
        replace(target, data, mode, owner)

    monkeypatch.setattr(files, "replace", failing)
    with pytest.raises(
        NotReloaded, match=r"kept as .*sample\.history/.*, could not be put back \(.* Read-only"
    ) as told:
        put(node, Station(node, "refused"))
    assert not told.value.put_back
    assert owed_marker(node).exists()


def test_without_an_api_nothing_is_replaced(node: Node) -> None:
    with pytest.raises(BadInput, match="a reload needs the control API"):
        put(node, None)
    with pytest.raises(NotReloaded, match="needs control_token and control_secret"):
        put(node, Api("http://127.0.0.1:1"))
    assert node.owner_card.read_bytes() == OLD


# --- history ---


def test_what_killed_runs_left_is_removed_also_when_nothing_is_to_be_done(node: Node) -> None:
    put(node, Station(node), reload="never")
    before = everything(node)
    copy = Path(card_history.copies(node.owner_card)[0])
    for path in (copy.with_name("20200101T000000Z.yaml"), owed_marker(node), node.owner_card):
        files.staged_path(path).touch()
    put(node, Station(node))
    assert everything(node) == before


def test_only_the_newest_copies_stay_and_other_files_are_left_alone(node: Node) -> None:
    folder = card_history.folder_of(node.owner_card)
    folder.mkdir()
    (folder / "notes.yaml").touch()
    (folder / "20990101T000000Z.yaml").mkdir()
    for number in range(6):
        content = CARDS[(number + 1) % 4]
        foretold = put(node, Station(node), content, keep=3, check=True)
        done = put(node, Station(node), content, keep=3)
        assert len(done.actions) == len(foretold.actions)
    assert history(node) == [CARDS[1], CARDS[0], CARDS[3]]
    assert len(list(folder.iterdir())) == 5
    assert put(node, Station(node), content, keep=1, check=True).actions == [
        "remove 2 former cards beyond the newest 1"
    ]
    assert put(node, Station(node), content, keep=1).actions == ["removed 2 former cards beyond the newest 1"]
    assert not put(node, Station(node), content, keep=1).changed


def test_a_clock_that_went_back_does_not_lose_the_copy_just_made(node: Node) -> None:
    folder = card_history.folder_of(node.owner_card)
    folder.mkdir()
    (folder / "20990101T000000Z.yaml").write_bytes(CARDS[3])
    done = put(node, Station(node), keep=1)
    assert Path(done.facts["previous"]).read_bytes() == OLD


def test_copies_of_one_second_are_in_the_order_they_were_made(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_history.times, "to_id", lambda _instant: "20260131T235959Z")
    for number in range(1, 13):
        put(node, Station(node), CARDS[number % 4])
    names = [path.name for path in card_history.copies(node.owner_card)]
    assert (names[0], names[-1], len(names)) == ("20260131T235959Z-12.yaml", "20260131T235959Z.yaml", 12)
    assert history(node)[0] == CARDS[11 % 4]


def test_a_history_that_is_a_link_is_refused(node: Node, tmp_path: Path) -> None:
    card_history.folder_of(node.owner_card).symlink_to(tmp_path)
    with pytest.raises(Unsafe, match="symbolic link"):
        put(node, Station(node))
    assert node.owner_card.read_bytes() == OLD


@pytest.mark.parametrize("options", [{"keep": 0}, {"keep": -1}, {"reload": "sometimes"}])
def test_options_that_make_no_sense_are_refused(node: Node, options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        put(node, None, **options)


def test_the_node_is_locked_meanwhile(node: Node) -> None:
    with locks.node_lock(node, "a test", 1), pytest.raises(Busy, match="for 'a test'"):
        put(node, Station(node), timeout=0.1)
