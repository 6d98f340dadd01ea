# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the archives hold what they should: opened with stock tools and judged by SQLite alone."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from .ground import Ground

Counts = dict[str, int]


def counts(path: Path) -> Counts:
    """How many rows each table of a database has."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in names
        }


class Truth:
    """Collects what was checked, and what turned out to be wrong."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._opened = ground.base / "check"
        self.checked: list[str] = []
        self.wrong: list[str] = []

    def ours(self, label: str, backup_id: str, low: Counts, high: Counts) -> None:
        """Check one of our archives; only age, zstd or gzip, and tar touch it."""
        archive = self._ground.archive(backup_id)
        inflate = "zstd -dcq" if ".zst." in archive.name else "gzip -dc"
        key = self._ground.live.root / "runtime" / "keys" / "current.key"
        self._archive(label, f'age -d -i "$2" "$1" | {inflate} | tar xC "$3"', archive, key, low, high)

    def shell(self, label: str, low: Counts, high: Counts) -> None:
        """Check the shell's archive."""
        archive, key = self._ground.shell_out / "backup.tar.gz.enc", Path(f"{self._ground.shell_out}.key")
        opening = 'openssl enc -d -aes-256-cbc -pbkdf2 -pass "file:$2" -in "$1" | tar xzC "$3"'
        self._archive(label, opening, archive, key, low, high)

    def _archive(self, label: str, opening: str, archive: Path, key: Path, low: Counts, high: Counts) -> None:
        shutil.rmtree(self._opened, ignore_errors=True)
        self._opened.mkdir()
        script = f"set -euo pipefail; {opening}"
        command = ["bash", "-c", script, "open", str(archive), str(key), str(self._opened)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            self.wrong.append(f"{label}: cannot be opened: {done.stderr.decode(errors='replace')[:500]}")
        else:
            self.database(label, self._opened / "state.db", low, high)
        shutil.rmtree(self._opened)

    def database(self, label: str, path: Path, low: Counts, high: Counts) -> None:
        """Check a database: sound, and as many rows in each table as before and after its backup was made."""
        try:
            with closing(sqlite3.connect(path)) as connection:
                verdict = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
            found = counts(path)
        except sqlite3.Error as exc:
            self.wrong.append(f"{label}: {exc}")
            return
        if verdict != "ok":
            self.wrong.append(f"{label}: integrity_check says {verdict[:200]}")
        elif set(found) != set(low) or any(not low[name] <= found[name] <= high[name] for name in low):
            self.wrong.append(f"{label}: has {found}, the live database had {low} to {high}")
        else:
            self.checked.append(f"{label}: integrity_check ok, {sum(found.values())} rows")
