# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulated node in the middle of a rollout: what the role does before a rollback is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core import releases as shelves
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import begun, record
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder, backup_name
from tests.integration.helpers import good, module, sha256sum, sqlite3
from tests.integration.stations import KNOWN, SECRET, TOKEN
from tests.simulator import auth, fleet, releases
from tests.simulator.owner_card import SAMPLE

ROLLOUT = "20260131T235959Z-test"
OLD, NEW = "1.0.0", "2.0.0"
BETTER = SAMPLE.replace("720", "1080")
PLANS = "SELECT count(*) FROM plans"
# Every commit is whole: see tests/simulator/README.md.
WHOLE = (
    "SELECT count(*) = (SELECT count(*) FROM assets) AND count(*) ="
    " (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
)


@dataclass
class Site:
    """A running station, with archives of releases beside it."""

    station: fleet.Node
    archives: Path

    @property
    def root(self) -> Path:
        return self.station.root

    @property
    def restart(self) -> dict[str, list[str]]:
        return {"command": fleet.restart_command(self.root)}

    @property
    def folder(self) -> Folder:
        return Folder.of(Node.at(self.root), ROLLOUT)

    def call(self, called: str, /, **params: Any) -> dict[str, Any]:
        """Run a module with what it needs to command the station."""
        return module(called, **{"root": self.root, "api_url": self.station.url, **KNOWN, **params})

    def back(self, **params: Any) -> dict[str, Any]:
        """Ask for the rollback."""
        return self.call("rollback", **{"rollout": ROLLOUT, "reason": "a test", "wait_timeout": 20, **params})

    def archive(self, version: str, sickness: str | None = None, after: float = 0.0) -> Path:
        path = self.archives / f"vvtv-{version}.tar.gz"
        if not path.exists():
            releases.sick(path, version, sickness, after) if sickness else releases.good(path, version)
        return path

    def present(self, version: str, **params: Any) -> dict[str, Any]:
        path = self.archive(version)
        return self.call("release", **{"id": version, "src": path, "sha256": sha256sum(path), **params})

    def current(self, version: str, **params: Any) -> dict[str, Any]:
        return self.call("release", **{"id": version, "state": "current", "restart": self.restart, **params})

    def link(self) -> str | None:
        """Where the link leads, as the kernel says."""
        path = self.root / "current"
        return os.readlink(path) if path.is_symlink() else None

    def runs(self) -> str:
        """The version that the station's process has read at its start."""
        return str(self.station.state.release)

    def plans(self) -> int:
        return int(sqlite3(self.station.state_db, PLANS))

    # --- the rollout until something fails ---

    def begin(
        self, card: Path | None = None, release: str | None = NEW, policy: str = "with_release"
    ) -> None:
        """What the tasks before the change do."""
        candidate = begun.Candidate(
            release,
            None if release is None else sha256sum(self.archive(release)),
            None if card is None else sha256sum(card),
        )
        how = begun.Restart(command=tuple(self.restart["command"]))
        node = Node.at(self.root)
        frozen = begun.Begun(ROLLOUT, candidate, how, shelves.current_id(node), None, policy)
        begun.begin(self.folder, frozen)
        self.note("IN_PROGRESS")
        good(module("backup", root=self.root, name=backup_name(ROLLOUT), encrypt=False))

    def change(self, card: Path | None = None, release: str | None = NEW) -> None:
        """What the tasks of the change do."""
        if card is not None:
            never = "never" if release else "changed"
            good(self.call("owner_card", src=card, reload=never))
        if release is not None:
            good(self.present(release))
            good(self.current(release))

    def note(self, state: str, **facts: Any) -> None:
        record.append(self.folder.record, state, facts, "a test")

    def record(self) -> list[dict[str, Any]]:
        """The record's lines, read without our reader."""
        return [json.loads(line) for line in self.folder.record.read_text().splitlines()]


@contextmanager
def site(where: Path, **options: Any) -> Iterator[Site]:
    """A station that is not a dev one."""
    credentials = auth.Credentials(TOKEN, SECRET)
    with fleet.start_node(where / "node", size="256K", credentials=credentials, **options) as station:
        yield Site(station, where / "archives")


@contextmanager
def running(where: Path, **options: Any) -> Iterator[Site]:
    """The same, which runs a first release."""
    with site(where, **options) as ours:
        good(ours.present(OLD))
        good(ours.current(OLD))
        yield ours
