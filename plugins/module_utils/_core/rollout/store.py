# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record store on the bastion: one folder for each rollout, in files that everybody can read.

``<id>/plan.json`` is the frozen plan, ``lease.json`` says which run has it, ``hosts/<host>.jsonl`` holds what
is known of each host, ``nodes/<host>.jsonl`` a copy of the node's own record as last seen,
``evidence/<host>/`` what its turn came to, ``promotions.jsonl`` what was promoted or not, and why. A file
``STOP``, here or in the folder above, stops the line; what it says is the reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from .. import files, times
from ..errors import AnyPath, Busy, Damaged, NotFound, guarded, require_absolute
from ..locks import wait_for
from ..probes import one_line
from . import lease, plan, record
from .folder import check_id
from .record import Entry
from .runs import Run, dead

# The fact by which an entry names the node's own one: its number ``n``, and when it was noted there (``at``).
CONFIRMED = "confirmed"
EVIDENCE = ("result.env", "soak/summary.txt")
MAX_EVIDENCE = 64 << 10
LEASE_SECONDS = 6 * 3600.0
_MAX_STOP = 4096
_MODE = 0o750
_LOCK_SECONDS = 30.0


def me() -> files.Owner:
    """Return who the store's files belong to: whoever runs the rollout."""
    return files.Owner(os.geteuid(), os.getegid())


@dataclass(frozen=True)
class Store:
    """One rollout's folder in a record store; it need not exist."""

    base: Path
    rollout: str

    @classmethod
    def of(cls, record_dir: AnyPath, rollout: str) -> Store:
        """Return the folder of a rollout in the store at ``record_dir``, an absolute path."""
        return cls(require_absolute(record_dir, "record_dir"), check_id(rollout))

    @property
    def path(self) -> Path:
        """The rollout's folder."""
        return self.base / self.rollout

    @property
    def plan_file(self) -> Path:
        """The frozen plan."""
        return self.path / "plan.json"

    @property
    def lease_file(self) -> Path:
        """Which run has the rollout."""
        return self.path / "lease.json"

    @property
    def promotions(self) -> Path:
        """Every decision of the promotion gate."""
        return self.path / "promotions.jsonl"

    def host_file(self, host: str) -> Path:
        """What is known of one host."""
        return self.path / "hosts" / f"{plan.check_host(host)}.jsonl"

    def node_file(self, host: str) -> Path:
        """The copy of one node's own record."""
        return self.path / "nodes" / f"{plan.check_host(host)}.jsonl"

    def evidence_dir(self, host: str) -> Path:
        """What a host's turn came to."""
        return self.path / "evidence" / plan.check_host(host)

    # --- the plan ---

    def find_plan(self) -> plan.Plan | None:
        """Return the frozen plan, ``None`` when there is none; raise :class:`Damaged` for a broken one."""
        try:
            data = files.read_bounded(self.plan_file, plan.MAX_BYTES)
        except NotFound:
            return None
        frozen = plan.of_bytes(data, self.plan_file)
        if frozen.rollout != self.rollout:
            raise Damaged(f"is the plan of rollout {frozen.rollout}", path=self.plan_file)
        return frozen

    def require_plan(self) -> plan.Plan:
        """Return the frozen plan; raise :class:`NotFound` when there is none."""
        frozen = self.find_plan()
        if frozen is None:
            raise NotFound(
                f"the store has no plan of rollout {self.rollout}",
                path=self.plan_file,
                hint="check record_dir and the rollout's id",
            )
        return frozen

    def freeze(self, wanted: plan.Plan) -> None:
        """Keep a plan; the caller holds the store's lock and found none."""
        files.replace(self.plan_file, plan.to_bytes(wanted), 0o640, me())

    # --- one at a time ---

    @contextmanager
    def lock(self, timeout: float = _LOCK_SECONDS) -> Iterator[None]:
        """Hold the rollout's lock, for moments; raise :class:`Busy` after ``timeout`` seconds."""
        files.make_folder(self.path, _MODE, me())
        path = self.path / ".lock"
        with guarded("lock the record store", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            busy = Busy("somebody else writes to the store", path=path, hint="run again")
            wait_for(descriptor, time.monotonic() + timeout, lambda: busy)
            yield
        finally:
            os.close(descriptor)

    def take_lease(self, run: Run, seconds: float, break_glass: str | None = None) -> lease.Lease:
        """Let ``run`` have the rollout, or have it longer; the caller holds the lock.

        Raise :class:`Busy` while another run has it, unless that one's process was of this machine and is
        dead, its time is over, or ``break_glass`` gives a reason.
        """
        present = lease.find(self.lease_file)
        if present is not None and present.holder != run.holder and dead(present.holder):
            lease.give_back(self.lease_file, self.rollout)
        return lease.take(
            self.lease_file, self.rollout, run.holder, seconds, me(), break_glass, same_holder=False
        )

    def other_run(self, run: Run) -> lease.Lease | None:
        """Return the lease of another run that is alive, as far as can be told, or ``None``."""
        present = lease.find(self.lease_file)
        if present is None or present.holder == run.holder or present.over(times.now()):
            return None
        return None if dead(present.holder) else present

    def keep_lease(self, run: Run, seconds: float) -> bool:
        """Let ``run`` have the rollout for ``seconds`` more at least; return whether it had it at all."""
        with self.lock():
            present, now = lease.find(self.lease_file), times.now()
            if present is None or present.holder != run.holder or present.over(now):
                return False
            if present.expires_at < now + timedelta(seconds=seconds / 2):
                self.take_lease(run, seconds)
            return True

    def give_lease_back(self, run: Run) -> bool:
        """End the lease of ``run``, or of one that is dead; return whether there was one."""
        with self.lock():
            present = lease.find(self.lease_file)
            ours = present is not None and (present.holder == run.holder or dead(present.holder))
            return ours and lease.give_back(self.lease_file, self.rollout)

    @property
    def wait_ends(self) -> Path:
        """The file by which a host that fails ends the waiting of the others in its run."""
        return self.path / "wait-ends"

    def stopped(self) -> str | None:
        """Return why the line was stopped, ``None`` when it was not."""
        for path in (self.path / "STOP", self.base / "STOP"):
            if not os.path.lexists(path):
                continue
            try:
                said = one_line(files.read_bounded(path, _MAX_STOP).decode(errors="replace"))
            except (Damaged, NotFound):
                said = ""
            return f"{path}: {said or 'no reason given'}"
        return None

    # --- hosts ---

    def entries(self, host: str) -> tuple[Entry, ...]:
        """Return what is known of a host, oldest first."""
        return record.read(self.host_file(host))

    def all_entries(self, hosts: tuple[str, ...]) -> dict[str, tuple[Entry, ...]]:
        """Return what is known of each of the hosts."""
        return {host: self.entries(host) for host in hosts}

    def append(
        self, host: str, state: str, facts: dict[str, Any] | None = None, by: str | None = None
    ) -> Entry | None:
        """Note a host's state durably; ``None`` when that is known already (see :func:`record.append`)."""
        path = self.host_file(host)
        files.make_folder(path.parent, _MODE, me())
        return record.append(path, state, facts, by, me())

    # --- the nodes' own records ---

    def mirror(self, host: str) -> tuple[Entry, ...]:
        """Return the node's own record as last seen."""
        return record.read(self.node_file(host))

    def keep_mirror(self, host: str, entries: tuple[Entry, ...]) -> bool:
        """Keep a node's record as it is now; return whether that is news."""
        if entries == self.mirror(host):
            return False
        path = self.node_file(host)
        files.make_folder(path.parent, _MODE, me())
        files.replace(path, b"".join(entry.line() for entry in entries), 0o640, me())
        return True

    def put_mirror_aside(self, host: str) -> Path:
        """Keep the copy of a record that the node has no more under another name, and return that."""
        path = self.node_file(host)
        aside = path.with_name(f"{path.stem}.lost-{times.to_id(times.now())}{path.suffix}")
        with guarded("put aside", path):
            path.replace(aside)
            files.sync_folder(path.parent)
        return aside

    # --- evidence ---

    def keep_evidence(self, host: str, texts: dict[str, bytes]) -> bool:
        """Keep what a node says its turn came to; return whether that is news."""
        news = False
        for name in EVIDENCE:
            path, data = self.evidence_dir(host) / name, texts.get(name)
            if data is None or data == self._evidence(path):
                continue
            files.make_folder(path.parent, _MODE, me())
            files.replace(path, data, 0o640, me())
            news = True
        return news

    def evidence(self, host: str) -> dict[str, bytes]:
        """Return the evidence of a host that there is, by name."""
        found = {name: self._evidence(self.evidence_dir(host) / name) for name in EVIDENCE}
        return {name: data for name, data in found.items() if data is not None}

    @staticmethod
    def _evidence(path: Path) -> bytes | None:
        try:
            return files.read_bounded(path, MAX_EVIDENCE)
        except NotFound:
            return None


def rollouts(record_dir: AnyPath) -> tuple[str, ...]:
    """Return the ids of the rollouts in a store, oldest first."""
    base = require_absolute(record_dir, "record_dir")
    with guarded("look into the record store", base):
        if not base.is_dir():
            return ()
        found = [path.name for path in base.iterdir() if (path / "plan.json").is_file()]
    return tuple(sorted(found))
