# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a node's archives are encrypted to."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import keyring
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.failures import BadKey
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive.sidecar import For
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import MissingKey
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.recipients import recipients_of

from .age.helpers import ME, OTHER
from .nodes import legacy_key, new_key

FIRST, SECOND = str(ME.recipient), str(OTHER.recipient)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with one key."""
    found = Node.at(tmp_path)
    new_key(found)
    return found


def test_the_current_key_comes_first_then_recovery_in_its_order(node: Node) -> None:
    current = keyring.read(node).current
    assert current and current.recipient
    found = recipients_of(keyring.read(node), [SECOND, FIRST])
    assert found.listed == (For(current.recipient, current.id), For(SECOND), For(FIRST))
    assert found.public_keys == tuple(str(key) for key in found.keys) == (current.recipient, SECOND, FIRST)


def test_only_the_current_key_counts_of_the_nodes_own(node: Node) -> None:
    old = keyring.read(node).current
    new = new_key(node)
    assert old and recipients_of(keyring.read(node), []).listed == (For(str(new.recipient), new.id),)


def test_nobody_is_a_recipient_twice(node: Node) -> None:
    current = keyring.read(node).current
    assert current and current.recipient
    found = recipients_of(keyring.read(node), [FIRST, current.recipient, f" {FIRST}\n", SECOND])
    assert found.public_keys == (current.recipient, FIRST, SECOND)
    assert found.listed[0].key_id == current.id


@pytest.mark.parametrize(
    "wrong", ["", "age1", SECOND[:-1], SECOND.upper(), "-", ME.secret_text(), "ssh-rsa AAAA"]
)
def test_a_bad_recipient_is_named_by_its_place_and_never_quoted(node: Node, wrong: str) -> None:
    with pytest.raises(BadKey, match="recovery_recipients, entry 2: ") as caught:
        recipients_of(keyring.read(node), [FIRST, wrong])
    assert caught.value.hint
    if len(wrong) > 10:
        assert wrong[10:] not in str(caught.value)


def test_without_a_key_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    node = Node.at(tmp_path)
    with pytest.raises(MissingKey, match="the node has no key; make one with") as caught:
        recipients_of(keyring.read(node), [FIRST])
    assert caught.value.path == str(node.key_dir)
    legacy_key(node, "current.key")
    with pytest.raises(MissingKey, match="only a key of the shell runbook, which nothing is encrypted to"):
        recipients_of(keyring.read(node), [FIRST])
