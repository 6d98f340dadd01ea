# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders of rollouts, and samplers that do not outlive their test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import launch
from tests.unit.core.nodes import make_node

from . import soaks


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder.of(make_node(tmp_path / "node"), soaks.ROLLOUT)
    made.make()
    return made


@pytest.fixture
def started(folder: Folder) -> Iterator[Folder]:
    yield folder
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(folder.soak / launch.ENGINE) in words:
            os.kill(int(place.parent.name), signal.SIGKILL)
