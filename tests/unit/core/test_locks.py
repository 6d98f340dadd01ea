# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock that is lent to the operations its holder calls, and to nobody else."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Busy
from ansible_collections.vvtv.runbook.plugins.module_utils._core.locks import lent, node_lock
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "node").mkdir()
    return Node.at(tmp_path / "node")


def take(node: Node) -> str:
    """Take the lock, and tell for what it was taken."""
    with node_lock(node, "something inside", 0.05):
        return str(json.loads(node.lock_file.read_text())["purpose"])


def test_only_inside_and_only_what_is_lent(node: Node) -> None:
    with node_lock(node, "the whole", 1):
        with pytest.raises(Busy):
            take(node)
        with lent(node):
            assert take(node) == "the whole"
            assert take(node) == "the whole"
        with pytest.raises(Busy):
            take(node)
    assert take(node) == "something inside"


def test_after_an_error_it_is_not_lent_any_more(node: Node) -> None:
    with node_lock(node, "the whole", 1):
        with pytest.raises(ValueError, match="broken"), lent(node):
            raise ValueError("broken")
        with pytest.raises(Busy):
            take(node)


def test_other_threads_children_and_nodes_have_nothing_of_it(node: Node, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Node.at(tmp_path / "other")
    with node_lock(node, "the whole", 1), lent(node):
        with ThreadPoolExecutor() as pool, pytest.raises(Busy):
            pool.submit(take, node).result()
        child = os.fork()
        if not child:
            try:
                take(node)
            except Busy:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        with node_lock(other, "another", 1), pytest.raises(Busy):
            take(other)
