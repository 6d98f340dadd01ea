# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The installed command, and a node of a stopped station."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from ..nodes import make_node
from .installed import Command, Installed, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A copy of the command that every test of the launcher runs."""
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def command() -> Command:
    """The command for tests of what it says and does."""
    return Command()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node of a stopped station, with no key and no backup."""
    return make_node(tmp_path / "node")


@pytest.fixture
def config(tmp_path: Path, node: Node) -> Path:
    """A configuration that says where the node is and where metrics go."""
    (tmp_path / "metrics").mkdir()
    path = tmp_path / "runbook.yml"
    path.write_text(
        f"root: {node.root}\nlock_timeout: 5\napi_url: http://127.0.0.1:9\napi_timeout: 1\n"
        f"metrics_dir: {tmp_path}/metrics\n"
    )
    path.chmod(0o644)
    return path
