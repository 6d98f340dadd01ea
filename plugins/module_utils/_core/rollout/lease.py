# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lease: a file that says who has something, and until when. Of a node, and of a rollout in the store.

Unlike the node's lock it outlives the process: a rollout takes longer than any one run. It ends by itself,
and whoever has to can break it with a reason, which is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from .. import files, times
from ..errors import BadInput, Busy, Damaged, NotFound
from ..probes import one_line

MAX_BYTES = 16 << 10
MAX_SECONDS = 400 * 86_400.0


@dataclass(frozen=True)
class Lease:
    """``what`` is a rollout's id, ``holder`` who runs it; ``broken`` is why it was taken from another."""

    what: str
    holder: str
    since: datetime
    expires_at: datetime
    broken: str | None = None

    def over(self, now: datetime) -> bool:
        """Whether it has ended by itself."""
        return now >= self.expires_at

    def result(self) -> dict[str, str | None]:
        """Return it for a program to read."""
        return {
            "what": self.what,
            "holder": self.holder,
            "since": times.to_text(self.since),
            "expires_at": times.to_text(self.expires_at),
            "broken": self.broken,
        }


def find(path: Path) -> Lease | None:
    """Return the lease at ``path``, expired or not, or ``None``; raise :class:`Damaged` for anything else."""
    try:
        data = files.read_bounded(path, MAX_BYTES)
    except NotFound:
        return None
    try:
        found = json.loads(data)
        broken = found["broken"]
        return Lease(
            str(found["what"]),
            str(found["holder"]),
            times.parse(found["since"]),
            times.parse(found["expires_at"]),
            None if broken is None else str(broken),
        )
    except (ValueError, TypeError, KeyError, RecursionError, BadInput) as exc:
        raise Damaged("is no lease", path=path, hint="look at it, then remove it") from exc


def take(
    path: Path,
    what: str,
    holder: str,
    seconds: float,
    owner: files.Owner,
    break_glass: str | None = None,
    same_holder: bool = True,
) -> Lease:
    """Take the lease, or make it longer; the caller holds a lock that keeps others from doing so now.

    One that is over, or is for the same ``what`` (and, if ``same_holder`` is false, the same ``holder``), is
    taken over. Raise :class:`Busy` naming the holder otherwise, unless ``break_glass`` gives a reason.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise BadInput(f"a lease must last above 0 and at most {MAX_SECONDS:g} seconds")
    now = times.now()
    present = find(path)
    ours = present is not None and present.what == what and (same_holder or present.holder == holder)
    free = present is None or ours or present.over(now)
    if present is not None and not free and not (break_glass or "").strip():
        raise taken(present, path)
    kept = present.since if ours and present is not None else now
    broken = None if free else one_line(break_glass or "", 300)
    lease = Lease(what, holder, kept, now + timedelta(seconds=seconds), broken)
    files.replace(path, json.dumps(lease.result(), indent=2).encode() + b"\n", 0o644, owner)
    return lease


def taken(present: Lease, path: Path) -> Busy:
    """Return the error that names who has the lease."""
    return Busy(
        f"rollout {one_line(present.what, 60)} of {one_line(present.holder, 200)} has it until"
        f" {times.to_text(present.expires_at)}",
        path=path,
        hint="finish or roll back that one, wait, or break the lease with a reason (break_glass)",
    )


def give_back(path: Path, what: str) -> bool:
    """End the lease if it is for ``what``; return whether there was one."""
    present = find(path)
    return present is not None and present.what == what and files.remove(path)
