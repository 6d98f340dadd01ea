# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's lease: one row of scheduler_locks that says the orchestrator lives."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from . import clock
from .database import LEASE

_RENEW = "UPDATE scheduler_locks SET expires_at = ? WHERE lock_name = ? AND owner_id = ?"
_TAKE = (
    "INSERT INTO scheduler_locks VALUES (?, ?, ?, ?) ON CONFLICT (lock_name) DO UPDATE SET"
    " owner_id = excluded.owner_id, acquired_at = excluded.acquired_at, expires_at = excluded.expires_at"
)


def owner_id(root: Path) -> str:
    """One name for every process of a node, so that a restarted node finds its own lease and renews it."""
    return "orchestrator-" + hashlib.sha256(str(root).encode()).hexdigest()[:12]


def renew(conn: sqlite3.Connection, owner: str, now_ns: int, seconds: float) -> None:
    """Inside a transaction: move the lease's end to ``seconds`` from now.

    An owned lease is updated in place: one row, same length, nothing else in the database changes. Another
    owner's lease (of a database that came from elsewhere) is taken over at once.
    """
    expires = clock.column(now_ns + int(seconds * clock.SECOND_NS))
    if conn.execute(_RENEW, (expires, LEASE, owner)).rowcount == 0:
        conn.execute(_TAKE, (LEASE, owner, clock.column(now_ns), expires))
