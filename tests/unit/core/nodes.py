# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes with keys and encrypted backups, and a clock that stands until it is moved."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import backup, catalogue, keyring, times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.catalogue import Backup
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.simulator import database, owner_card

START = datetime(2026, 1, 31, 23, 59, 59, 500_000, tzinfo=timezone.utc)
LEGACY_SECRET = "bm9ib2R5IGV2ZXIgdXNlcyB0aGlzIHBhc3NwaHJhc2U="


class Clock:
    """The engine's present instant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        monkeypatch.setattr(times, "now", lambda: self.now)

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)

    def text(self, **span: float) -> str:
        return times.to_text(self.now + timedelta(**span))


def make_node(root: Path) -> Node:
    """Make a node of a stopped station, with no key and no backup."""
    database.create_database(root / "runtime/state/vvtv.db", 20_000, "delete", 1)
    (root / "config").mkdir()
    (root / "config/owner_card.sample.yaml").write_text(owner_card.SAMPLE)
    return Node.at(root)


def new_key(node: Node) -> keyring.Key:
    """Make a key and take it into use."""
    ring = keyring.read(node)
    key = keyring.make(node, ring, times.now(), times.now())
    keyring.use(node, ring, key)
    return key


def new_backup(node: Node, recovery: tuple[str, ...] = (), kind: str = "gzip") -> Backup:
    """Make an encrypted backup."""
    request = backup.Request(force=True, recovery=recovery, compression=kind, timeout=5)
    return catalogue.find(node.backup_dir, backup.back_up(node, request).facts["backup"]["id"])


def again(node: Node, made: Backup) -> Backup:
    """Look at a backup anew."""
    return catalogue.find(node.backup_dir, made.id)


def legacy_key(node: Node, path: str, secret: str = LEGACY_SECRET) -> Path:
    """Write a key file as the shell runbook does."""
    target = node.key_dir / path
    for folder in (node.key_dir, target.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.write_text(f"{secret}\n")
    target.chmod(0o600)
    return target


def legacy_backup(node: Node, backup_id: str, key: Path) -> Path:
    """Make an archive that begins as the shell runbook's do; it is only looked at, never restored."""
    folder = node.backup_dir / backup_id
    folder.mkdir(mode=0o700, parents=True)
    command = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-salt", "-pass", f"file:{key}"]
    sealed = subprocess.run(command, input=b"\x1f\x8b\x08" + bytes(100), capture_output=True, check=True)
    (folder / "backup.tar.gz.enc").write_bytes(sealed.stdout)
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder with mode and content, but for the node's lock."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "runbook.lock"
    }
