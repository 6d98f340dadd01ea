# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that the simulator's tests share: starting one costs a third of a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = str(Path(__file__).resolve().parents[3])
if CHECKOUT not in sys.path:  # for a pytest that was not told where the checkout is
    sys.path.insert(0, CHECKOUT)

from tests.simulator import faults, fleet  # noqa: E402


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fleet.Node]:
    """One node for a module's tests; every test finds it healthy (see ``node``) and leaves it alive."""
    with fleet.start_node(tmp_path_factory.mktemp("node"), size="256K", commit_interval=0.02) as started:
        yield started


def healthy(node: fleet.Node) -> fleet.Node:
    try:
        untouched = faults.read_control(node.root).faults == faults.Faults()
    except faults.FaultError:
        untouched = False
    if not untouched:
        node.faults()
    return node


@pytest.fixture
def node(shared: fleet.Node) -> fleet.Node:
    return healthy(shared)


@pytest.fixture(scope="module", params=["delete", "wal"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[fleet.Node]:
    """The same in each journal mode, with a fast pipeline and a fast lease."""
    root = tmp_path_factory.mktemp(request.param)
    with fleet.start_node(
        root, size="256K", journal_mode=request.param, commit_interval=0.01, renew_seconds=0.2
    ) as started:
        yield started


@pytest.fixture
def each_mode(both: fleet.Node) -> fleet.Node:
    return healthy(both)
