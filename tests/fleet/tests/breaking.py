# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the tests that break nodes: seeing when to act, and two states that can be told apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar

from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import Playing, done
from tests.integration.helpers import Play

from . import readers
from .bastion import Bastion, bastion

FORCE = ("-e", "vvtv_backup_force=true")
ALL = ("-e", "vvtv_backup_id=all")
TRIES = 4
Result = TypeVar("Result")


@dataclass(frozen=True)
class Disk:
    """A node's disk as the machine sees it, so that nobody has to ask the node."""

    root: Path

    @classmethod
    def of(cls, node: Node) -> Disk:
        return cls(node.disk / "vvtv")

    def staging(self) -> bool:
        """Whether a backup is being made."""
        return any(self.root.glob("runtime/backups/.staging-*/backup.tar.*.age"))

    def journal(self) -> int:
        """How many bytes of the database are kept while all of it is replaced, or wait in the WAL."""
        total = 0
        for path in self.root.glob("runtime/state/vvtv.db-[jw]*al"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def restoring(self) -> bool:
        """Whether a restore replaces things now."""
        return (self.root / "runtime/runbook.restore.json").exists()

    def busy(self) -> bool:
        """Whether somebody operates the node."""
        lock = self.root / "runtime/runbook.lock"
        return lock.exists() and lock.stat().st_size > 0

    def keys(self) -> int:
        return len(list(self.root.glob("runtime/keys/archive/2*.key")))


class States:
    """A node with a backup, and a present state that can be told from it."""

    @classmethod
    @contextlib.contextmanager
    def of(cls, node: Node, fleet: Fleet) -> Iterator[States]:
        """With a bastion of its own, so that other nodes may be restored at the same time."""
        with bastion(fleet) as ops:
            yield cls(node, ops)

    def __init__(self, node: Node, ops: Bastion) -> None:
        self.node = node
        self._ops = ops
        self._limit = ("--limit", node.name)
        self.wanted = readers.mark(node, "wanted")
        readers.card_mark(node, "wanted")
        done(ops.play("backup", *self._limit))
        (self.backup,) = readers.backups(node)
        self.spoiled: dict[str, int] = {}

    def spoil(self) -> None:
        self.spoiled = readers.mark(self.node, "spoiled")
        readers.card_mark(self.node, "spoiled")

    def restoring(self) -> contextlib.AbstractContextManager[Playing]:
        return self._ops.playing("restore", *self._limit, "-e", f"vvtv_backup_id={self.backup}")

    def assert_one_or_the_other(self) -> None:
        readers.assert_sound(self.node)
        marks, card = readers.marks(self.node), readers.card_marks(self.node)
        assert marks in (self.wanted, self.spoiled)
        # The card follows the database; until it has, the restore is on record.
        assert card == list(marks)[0] or (card == "spoiled" and readers.litter(self.node))
        assert_all_good(self.node)
        readers.assert_goes_on(self.node, readers.main_pid(self.node))

    def assert_spoiled_and_whole(self) -> None:
        """A restore that has failed, and said so, has changed nothing and left nothing."""
        readers.assert_sound(self.node)
        assert (readers.marks(self.node), readers.card_marks(self.node)) == (self.spoiled, "spoiled")
        assert readers.litter(self.node) == []
        assert_all_good(self.node)

    def assert_finished_by_the_next(self) -> None:
        pid = readers.main_pid(self.node)
        with self.restoring() as running:
            done(running.finish())
        assert readers.marks(self.node) == self.wanted
        assert readers.card_marks(self.node) == "wanted"
        assert readers.litter(self.node) == []
        readers.assert_goes_on(self.node, pid)
        # What was replaced can be had again.
        kept = (readers.opened(self.node, backup) for backup in readers.backups(self.node)[1:])
        assert any(found.marks == self.spoiled and found.card.endswith("spoiled\n") for found in kept)


def count(run: Play, key: str) -> list[int]:
    """One number of the recap, of each of the two nodes."""
    return [run.count(host, key) for host in ("node1", "node2")]


def assert_all_good(node: Node) -> None:
    """Every folder that counts as a backup opens with stock tools and is whole."""
    for backup in readers.backups(node):
        readers.opened(node, backup)


def again(attempt: Callable[[], bool], what: str) -> None:
    """Some instants are short, and this machine may be busy: a few attempts to hit one."""
    for _try in range(TRIES):
        if attempt():
            return
    raise AssertionError(f"{what} was not hit in {TRIES} attempts")


def on_each(fleet: Fleet, act: Callable[[Node], Result]) -> list[Result]:
    """The same with every node at once."""
    with ThreadPoolExecutor() as together:
        return list(together.map(act, fleet))
