# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a simulated node keeps its files, and how it writes the small ones."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Union

AnyPath = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Layout:
    """The paths of one node; ``root`` is absolute (see :func:`layout`)."""

    root: Path

    @property
    def state_db(self) -> Path:
        return self.root / "runtime" / "state" / "vvtv.db"

    @property
    def owner_card(self) -> Path:
        return self.root / "config" / "owner_card.sample.yaml"

    @property
    def sim_dir(self) -> Path:
        """Files that only the simulator has; a real node has no such folder."""
        return self.root / "runtime" / "sim"

    @property
    def control(self) -> Path:
        return self.sim_dir / "control.json"

    @property
    def state(self) -> Path:
        return self.sim_dir / "state.json"

    @property
    def release(self) -> Path:
        """What the station's release says of itself; there need not be one."""
        return self.root / "current" / "station.json"

    @property
    def memory(self) -> Path:
        """How the node was started in the background."""
        return self.sim_dir / "memory.json"

    @property
    def pidfile(self) -> Path:
        """Empty when no node runs; kernel-locked by the node for as long as it lives."""
        return self.sim_dir / "node.pid"

    @property
    def port_file(self) -> Path:
        return self.sim_dir / "port"

    @property
    def log(self) -> Path:
        return self.sim_dir / "node.log"

    def make_folders(self) -> None:
        for folder in (self.state_db.parent, self.owner_card.parent, self.sim_dir):
            folder.mkdir(parents=True, exist_ok=True)


def layout(root: AnyPath) -> Layout:
    """The layout under ``root``, made absolute so that it means the same in every process."""
    return Layout(Path(root).resolve())


def write_atomic(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace ``path`` in one step: a reader sees the old text or the new one.

    Not synced to the disk: these files tell living processes things and are worthless after a reboot.
    """
    # Two threads of one process may write the same file, hence the thread's number.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    beside.touch(mode)
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
