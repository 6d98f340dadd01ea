# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the contenders meet: one live database, a node to restore into for each side, keys, room to work."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

from tests.simulator import database, owner_card
from tests.simulator.layout import Layout, layout

from . import measure

CHECKOUT = Path(__file__).resolve().parents[2]
BENCH = CHECKOUT / "build" / "bench"
SHELL = Path(__file__).with_name("shell.sh")
_COPIES = 6  # of the database that may lie on the disk at once, with what is half made


class Ground:
    """The folders below build/bench/work; they are removed by :meth:`clear`."""

    def __init__(self) -> None:
        self.base = BENCH / "work"
        self.live = layout(self.base / "live")
        self.target = layout(self.base / "target")
        self.shell_target = layout(self.base / "shell-target")
        self.shell_out = self.base / "shell"
        self.record = self.base / "writer.txt"

    def prepare(self, size: int) -> None:
        """Make the database, the keys and the folders; the engine is compiled by the way."""
        self.clear()
        self.base.mkdir(parents=True)
        free = shutil.disk_usage(self.base).free
        if free < _COPIES * size:
            raise OSError(f"{self.base} has {free >> 20} MiB free and needs {_COPIES * size >> 20} MiB")
        self.live.make_folders()
        owner_card.write_sample(self.live.owner_card)
        database.create_database(self.live.state_db, size)
        self.engine("keys")
        key = os.open(f"{self.shell_out}.key", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(key, "wb") as file:
            file.write(base64.b64encode(os.urandom(48)) + b"\n")

    def clear(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    def set_journal(self, mode: str) -> None:
        """Put the live database into a journal mode, and read it once so that it is in the page cache."""
        with closing(database.connect(self.live.state_db)) as live:
            database.set_journal_mode(live, mode)
        with self.live.state_db.open("rb") as file:
            while file.read(1 << 20):
                pass

    @property
    def size(self) -> int:
        return self.live.state_db.stat().st_size

    # --- contenders ---

    def engine(self, act: str, argument: str = "", root: Path | None = None) -> measure.Run:
        """Run one act of the engine in a process of its own."""
        where = str(root or self.live.root)
        return measure.run([sys.executable, "-m", "tests.bench.engine", act, where, argument])

    def shell(self, act: str, root: Path | None = None) -> measure.Run:
        """Run one of the shell runbook's pipelines."""
        where = str(root or self.live.root)
        return measure.run([str(SHELL), act, where, str(self.shell_out)])

    def shell_copy(self, source: Path) -> measure.Run:
        """Copy a file and sync it; the copy goes at once."""
        copy = self.base / "copied"
        done = measure.run([str(SHELL), "copy", str(source), str(copy)])
        copy.unlink()
        return done

    # --- backups and targets ---

    def backup_folder(self, backup_id: str) -> Path:
        return self.live.root / "runtime" / "backups" / backup_id

    def archive(self, backup_id: str) -> Path:
        """The archive of one of our backups."""
        return next(self.backup_folder(backup_id).glob("backup.tar.*.age"))

    def drop_backup(self, backup_id: str) -> None:
        shutil.rmtree(self.backup_folder(backup_id))

    def fresh_target(self, backup_id: str, with_database: bool) -> Path:
        """A node that has the keys and one backup of the live one, and no database or one that differs."""
        root = self.target.root
        shutil.rmtree(root, ignore_errors=True)
        _bare(self.target)
        shutil.copytree(self.live.root / "runtime" / "keys", root / "runtime" / "keys")
        shutil.copytree(self.backup_folder(backup_id), root / "runtime" / "backups" / backup_id)
        if with_database:
            shutil.copy2(self.live.state_db, self.target.state_db)
            with closing(database.connect(self.target.state_db)) as target:
                target.execute("INSERT INTO metric_samples VALUES ('bench: another content', '{}')")
        return root

    def fresh_shell_target(self) -> Path:
        """A node without a database."""
        shutil.rmtree(self.shell_target.root, ignore_errors=True)
        _bare(self.shell_target)
        return self.shell_target.root


def _bare(where: Layout) -> None:
    where.make_folders()
    owner_card.write_sample(where.owner_card)
