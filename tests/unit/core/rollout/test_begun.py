# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout brings and what was before: frozen once, and never taken for anything else."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged, NotFound
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import begun
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.begun import (
    Begun,
    Candidate,
    Restart,
)
from tests.unit.core.conftest import sha256sum
from tests.unit.core.rollout.bases import CANDIDATE, DIGEST, ID, RESTART, make_folder


def test_what_was_before_is_kept_and_stays(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    card = folder.node.owner_card
    before = sha256sum(card)
    assert begun.find(folder) is None
    with pytest.raises(NotFound, match="never began on this node"):
        begun.require(folder)
    made = Begun(ID, CANDIDATE, RESTART, "vvtv-1.3.0", None, "keep", {"release_dir": "releases"})
    assert begun.begin(folder, made)
    assert sha256sum(folder.former_card) == before
    card.write_text("a: new card\n")
    assert not begun.begin(folder, made), "before is in the past"
    assert sha256sum(folder.former_card) == before
    found = begun.require(folder)
    assert (found.before_release, found.before_card_sha256) == ("vvtv-1.3.0", before)
    assert (found.candidate, found.restart, found.state_policy) == (CANDIDATE, RESTART, "keep")
    assert found.extra == {"release_dir": "releases"}


def test_a_node_without_a_card_has_none_before(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.node.owner_card.unlink()
    assert begun.begin(folder, Begun(ID, CANDIDATE, RESTART))
    assert begun.require(folder).before_card_sha256 is None
    assert not folder.former_card.exists()


def test_another_candidate_needs_another_rollout(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    begun.begin(folder, Begun(ID, CANDIDATE, RESTART))
    with pytest.raises(BadInput, match="begun here with another candidate; a new candidate needs a new"):
        begun.begin(folder, Begun(ID, Candidate(card_sha256=DIGEST), RESTART))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"rollout": "20260131T000000Z"},
        {"candidate": {}},
        {"candidate": {"release_id": "../x", "release_sha256": DIGEST}},
        {"candidate": []},
        {"restart": {"units": "vvtv.service", "command": []}},
        {"restart": {"units": ["vvtv.service"], "command": ["/bin/x"]}},
        {"restart": {"words": []}},
        {"before_release": "/etc"},
        {"state_policy": "maybe"},
        {"extra": 7},
    ],
)
def test_a_file_that_was_changed_is_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = make_folder(tmp_path)
    begun.begin(folder, Begun(ID, CANDIDATE, RESTART))
    said = json.loads(folder.begun.read_text())
    folder.begun.write_text(json.dumps({**said, **change}))
    with pytest.raises(Damaged, match="does not say what was begun"):
        begun.find(folder)


@given(st.binary(max_size=100))
def test_any_bytes_are_damage(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = make_folder(Path(root))
        folder.make()
        folder.begun.write_bytes(data)
        with pytest.raises(Damaged):
            begun.find(folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs a release, an OwnerCard, or both"),
        ({"release_id": "a"}, "needs both its id and the SHA-256"),
        ({"release_sha256": DIGEST}, "needs both its id and the SHA-256"),
        ({"release_id": "../a", "release_sha256": DIGEST}, "is no release id"),
        ({"release_id": "-a", "release_sha256": DIGEST}, "is no release id"),
        ({"release_id": "a" * 65, "release_sha256": DIGEST}, "is no release id"),
        ({"release_id": "a", "release_sha256": "ab"}, "release_sha256 must be a SHA-256"),
        ({"card_sha256": "g" * 64}, "card_sha256 must be a SHA-256"),
    ],
)
def test_half_a_candidate_is_none(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Candidate(**given)


def test_how_the_station_is_restarted() -> None:
    assert Restart(("a.service", "b.target")).argv == ("systemctl", "restart", "a.service", "b.target")
    assert Restart(command=("/bin/restart", "now")).argv == ("/bin/restart", "now")
    assert Restart().argv == ()
    for units, command in (
        (("a.service",), ("/bin/x",)),
        (("a.socket",), ()),
        (("--now.service x",), ()),
        ((), ("restart",)),
        ((), ("/bin/x",) * 65),
    ):
        with pytest.raises(BadInput):
            Restart(units, command)
