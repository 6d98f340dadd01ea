# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What state.db says of the station's life: metric samples, the scheduler's lease, discovery failures.

Each question has its own answer or error, so that one broken table hides nothing else, and rows that cannot
be read are counted. Text of different offsets and precisions does not sort by time: SQL only spares us rows
that are more than a day outside, and parsed instants decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from . import discovery, metric_rows, times
from .discovery import DomainFailures, Failures
from .errors import BadInput, Damaged
from .metric_rows import Baseline, MetricSample, Samples
from .node import Node
from .probes import Probe, one_line, probe
from .state_db import INTEGRITY, Integrity, StateDb, opened

__all__ = [
    "INTEGRITY",
    "Baseline",
    "DomainFailures",
    "Failures",
    "History",
    "Integrity",
    "Lease",
    "MetricSample",
    "Samples",
    "Scope",
    "newest_samples",
    "read",
    "require_known",
]

LEASE_NAME = "scheduler-main"
_MAX_HOURS = 24.0 * 366
_LEASE = "SELECT substr(owner_id, 1, 200), substr(expires_at, 1, 64) FROM scheduler_locks WHERE lock_name = ?"


@dataclass(frozen=True)
class Scope:
    """How far back to look.

    Discovery failures of ``discovery_window_hours``; the ``newest`` metric samples; the median of the QA rate
    over ``qa_history_hours`` before ``qa_history_until``, by default before the newest sample.
    """

    discovery_window_hours: float = 24.0
    newest: int = 16
    qa_history_hours: float = 168.0
    qa_history_until: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("discovery_window_hours", "qa_history_hours"):
            if not 0 < getattr(self, name) <= _MAX_HOURS:
                raise BadInput(f"{name} must be above 0 and at most a year, not {getattr(self, name)}")
        if not 2 <= self.newest <= metric_rows.MAX_NEWEST:
            raise BadInput(f"newest must be from 2 to {metric_rows.MAX_NEWEST}, not {self.newest}")


@dataclass(frozen=True)
class Lease:
    """The scheduler's lease as the database has it; that its owner lives shows only in its renewal."""

    owner: str
    expires_at: datetime


@dataclass(frozen=True)
class History:
    """What state.db says. A ``lease`` that does not exist has the value ``None``."""

    integrity: Probe[Integrity]
    failures: Probe[Failures]
    assets: Probe[bool]
    lease: Probe[Lease | None]
    samples: Probe[Samples]


def require_known(integrity: str) -> None:
    """Raise :class:`BadInput` unless ``integrity`` is one of :data:`INTEGRITY`."""
    if integrity not in INTEGRITY:
        raise BadInput(f"integrity must be one of {', '.join(INTEGRITY)}, not {integrity!r}")


def read(
    node: Node,
    timeout: float,
    integrity: str = "light",
    scope: Scope | None = None,
    now: datetime | None = None,
) -> History:
    """Read the node's state database, which the station may be using; nothing is written or made.

    ``timeout`` is how many seconds to wait for locks altogether. ``integrity`` is ``light`` (SQLite's header,
    the file's length, the station's tables), ``quick`` or ``full`` (SQLite's own checks as well) or ``none``.
    Raise :class:`NotFound`, :class:`Denied`, :class:`Damaged` (of code ``empty``, ``foreign`` or ``damaged``)
    or :class:`Busy` when nothing can be read at all; what fails later is the error of its part.
    """
    require_known(integrity)
    looked = scope or Scope()
    since = (now or times.now()) - timedelta(hours=looked.discovery_window_hours)
    with opened(node.state_db, timeout, integrity) as state:
        # The samples come last: the less time to the API's gauges, the better the two compare.
        return History(
            integrity=probe(lambda: state.check(integrity)),
            failures=state.ask("read the audit trail", lambda at: discovery.count(at, since)),
            assets=state.ask("look for assets", _any_asset),
            lease=state.ask("read the scheduler's lease", _lease),
            samples=state.ask("read the metric samples", lambda at: _samples(at, looked)),
        )


def newest_samples(node: Node, timeout: float, scope: Scope | None = None) -> Samples:
    """Return the metric samples alone; raise what :func:`read` raises, and what is wrong with their table."""
    looked = scope or Scope()
    with opened(node.state_db, timeout, "none") as state:
        return state.bounded("read the metric samples", lambda at: _samples(at, looked))


def _any_asset(state: StateDb) -> bool:
    return bool(state.rows("SELECT EXISTS(SELECT 1 FROM assets)")[0][0])


def _lease(state: StateDb) -> Lease | None:
    rows = state.rows(_LEASE, LEASE_NAME)
    if not rows:
        return None
    owner, expires = (metric_rows.text(value) for value in rows[0])
    try:
        return Lease(one_line(owner or "?", 200), times.parse(expires or ""))
    except BadInput as exc:
        raise Damaged(f"the scheduler's lease cannot be read: {exc.msg}", path=state.path) from exc


def _samples(state: StateDb, scope: Scope) -> Samples:
    unplaced = state.rows(metric_rows.UNPLACED)[0][0]
    found = metric_rows.collect(state.rows(metric_rows.NEWEST), unplaced if isinstance(unplaced, int) else 0)
    window = timedelta(hours=scope.qa_history_hours)
    baseline = metric_rows.baseline(found.newest, window, scope.qa_history_until)
    return replace(found, newest=found.newest[: scope.newest], baseline=baseline)
