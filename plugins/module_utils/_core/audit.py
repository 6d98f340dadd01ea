# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The station's audit trail: a bounded listing of ``audit_events``, failures by default.

Nothing is written, and a commit of the station never waits for more than one batch of rows: each batch is one
short statement, and what it holds is judged after SQLite's lock is gone. Whether an event lies in the window
is decided on the parsed instant, since texts of different offsets and precisions do not sort by time; SQL
only spares us the payloads that are more than a day outside. What cannot be read is counted, never left out
in silence.
"""

from __future__ import annotations

import heapq
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from . import audit_event, sqlite, times
from .audit_event import Event, Patterns
from .errors import BadInput, Damaged
from .outcome import Outcome
from .probes import one_line

TABLE = "audit_events"
WINDOW_HOURS = 24.0
LIMIT = 100
MAX_LIMIT = 10_000
MAX_WINDOW_HOURS = 24.0 * 366 * 100

# What a station's code says when something did not work: DISCOVERY_FAILED_DOMAIN and its like, the verdict
# Rejected of QA, the state Dropped of a plan.
FAILURE_PATTERNS = (
    "*FAIL*",
    "*ERROR*",
    "*REJECT*",
    "*TIMEOUT*",
    "*TIMED_OUT*",
    "*DENIED*",
    "*INVALID*",
    "*DROPPED*",
    "*CORRUPT*",
    "*MISMATCH*",
    "*MISSING*",
    "*UNAVAILABLE*",
    "*UNREACHABLE*",
    "*EXHAUSTED*",
    "*ABORT*",
    "*CRASH*",
    "*CRITICAL*",
)

OTHERS = "(others)"
_MAX_NAMES = 200  # of each count in a result
_MAX_KNOWN = 10_000  # of each count in memory
_MAX_EXAMPLES = 5
_BATCH_ROWS = 2000
_BATCH_BYTES = 4 << 20
_MARGIN = timedelta(days=1)  # offsets stay below 24 h

# An instant of another form than we know cannot be placed by text: such rows are always looked at.
_BATCH = f"""
SELECT rowid, substr(CAST(event_id AS TEXT), 1, {audit_event.MAX_ID_CHARS + 1}),
  CASE typeof(ts) WHEN 'text' THEN substr(ts, 1, {audit_event.MAX_INSTANT_CHARS}) END,
  CASE WHEN typeof(ts) = 'text' AND ts GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][Tt ]*'
      AND (ts < ? OR ts >= ?) THEN NULL
    WHEN typeof(payload_json) = 'text' THEN substr(payload_json, 1, {audit_event.MAX_PAYLOAD_CHARS + 1})
    ELSE '' END
FROM {TABLE} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT {_BATCH_ROWS}
"""  # noqa: S608 - a table and numbers of our own


@dataclass(frozen=True)
class Query:
    """Which events are asked for; every filter that is given must be met.

    Patterns are globs (``fnmatch``: ``*``, ``?``, ``[...]``), whatever the case. Those for reason codes are
    compared with the code before the colon, or with the whole of it when they hold a colon themselves, so
    that a domain like ``errors.example.com`` makes nothing a failure. ``since`` counts in, ``until`` does
    not; without ``until`` nothing is too new, so that a clock that was ahead hides no event.
    """

    since: datetime
    until: datetime | None = None
    failures_only: bool = True
    failure_patterns: tuple[str, ...] = FAILURE_PATTERNS
    reason_codes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    limit: int = LIMIT
    details: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= MAX_LIMIT:
            raise BadInput(f"limit must be from 0 to {MAX_LIMIT}, not {self.limit}")
        if self.until is not None and self.until <= self.since:
            raise BadInput("until must be later than since, or than window_hours before until")
        if self.failures_only and not self.failure_patterns:
            raise BadInput("failure_patterns must not be empty while failures_only is true")


def window(
    since: datetime | None, until: datetime | None, hours: float, now: datetime
) -> tuple[datetime, datetime | None]:
    """Return the window's ends; without ``since``, ``hours`` counts back from ``until`` or from ``now``.

    Raise :class:`BadInput` when ``hours`` is no number above 0.
    """
    if not (math.isfinite(hours) and 0 < hours <= MAX_WINDOW_HOURS):
        raise BadInput(f"window_hours must be above 0 and at most {MAX_WINDOW_HOURS:g}, not {hours}")
    try:
        return since or (until or now) - timedelta(hours=hours), until
    except OverflowError as exc:
        raise BadInput("window_hours reaches before the year 1") from exc


class Tally:
    """How often each name occurred; names beyond a bound are counted together."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._others = 0

    def add(self, name: str | None) -> None:
        """Count a name; none at all counts as nothing."""
        if name is None:
            return
        if name in self._counts or len(self._counts) < _MAX_KNOWN:
            self._counts[name] += 1
        else:
            self._others += 1

    def result(self) -> dict[str, int]:
        """Return the most frequent names first, with the rest as one at the end."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        others = self._others + sum(count for _name, count in ranked[_MAX_NAMES:])
        return {**dict(ranked[:_MAX_NAMES]), **({OTHERS: others} if others else {})}


@dataclass
class Found:
    """What a query found: the newest ``events`` up to its limit, and counts of all that matched.

    ``malformed`` counts rows of the window, or of no known instant, that are no events; ``examples`` says of
    a few which and why.
    """

    events: list[Event] = field(default_factory=list)
    total: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)
    by_reason_code: Tally = field(default_factory=Tally)
    by_domain: Tally = field(default_factory=Tally)
    by_module: Tally = field(default_factory=Tally)

    @property
    def truncated(self) -> bool:
        """Whether more matched than is listed."""
        return self.total > len(self.events)

    def spoilt(self, event_id: str | None, why: str) -> None:
        """Count a row that is no event."""
        self.malformed += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(one_line(f"{event_id or 'an event without id'}: {why}"))


class _Filter:
    """A query's patterns, compiled once."""

    def __init__(self, query: Query) -> None:
        self._failures = (
            Patterns.of("failure_patterns", query.failure_patterns) if query.failures_only else None
        )
        self._codes = Patterns.of("reason_codes", query.reason_codes)
        self._modules = Patterns.of("modules", query.modules)
        self._actors = Patterns.of("actors", query.actors)
        self._domains = Patterns.of("domains", query.domains)

    def takes(self, event: Event) -> bool:
        """Return whether the event is one that was asked for."""
        return (
            (self._failures is None or self._failures.match_code(event))
            and (self._codes is None or self._codes.match_code(event))
            and (self._modules is None or self._modules.match(event.module))
            and (self._actors is None or self._actors.match(event.actor))
            and (self._domains is None or self._domains.match(event.domain))
        )


class _Row(NamedTuple):
    rowid: int
    event_id: object
    ts: object
    payload: bytes | None


def find(path: Path, query: Query, timeout: float) -> Found:
    """Read the audit trail of the state database at ``path``, which others may be using.

    ``timeout`` (seconds) is how long a batch waits for a writer. Raise :class:`NotFound` when there is no
    such file (it is not made), :class:`Damaged` when it is no state database, :class:`Busy` when it stays
    locked.
    """
    wanted, found = _Filter(query), Found()
    newest: list[tuple[datetime, int, int, Event]] = []
    with sqlite.speaking("read the audit trail", path), closing(_open(path, timeout)) as connection:
        for row in _rows(connection, query):
            event = _judge(row, query, found)
            if event is None or not wanted.takes(event):
                continue
            found.total += 1
            found.by_reason_code.add(event.code)
            found.by_domain.add(event.domain)
            found.by_module.add(event.module)
            if query.limit:
                entry = (event.instant, event.nanoseconds, row.rowid, event)
                (heapq.heappush if len(newest) < query.limit else heapq.heappushpop)(newest, entry)
    found.events = [entry[-1] for entry in sorted(newest, key=lambda entry: entry[:3], reverse=True)]
    return found


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    connection = sqlite.connect_live(path, timeout)
    try:
        connection.execute("PRAGMA query_only=ON")
        if TABLE not in sqlite.tables(connection):
            sqlite.require_state(connection, path)
            raise Damaged(f"has no table {TABLE}", path=path, hint="restore it from a backup")
        connection.text_factory = bytes  # a text that is no UTF-8 is a malformed event, not an error
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(connection: sqlite3.Connection, query: Query) -> Iterator[_Row]:
    """Yield the rows of the window and of a day around it, oldest row first, in batches of their own."""
    low, high = _text_bounds(query)
    after, last = -(1 << 63), connection.execute(f"SELECT max(rowid) FROM {TABLE}").fetchone()[0]  # noqa: S608
    while last is not None and after < last:
        batch = _batch(connection, (low, high, after, last))
        if not batch:
            return
        after = batch[-1].rowid
        yield from (row for row in batch if row.payload is not None)


def _batch(connection: sqlite3.Connection, bounds: tuple[str, str, int, int]) -> list[_Row]:
    """Return the next rows; the statement, and with it SQLite's lock, is over when this returns."""
    batch, size = [], 0
    with closing(connection.execute(_BATCH, bounds)) as cursor:
        for found in cursor:
            batch.append(_Row(*found))
            size += len(found[3] or b"")
            if size > _BATCH_BYTES:
                break
    return batch


def _text_bounds(query: Query) -> tuple[str, str]:
    """Return dates that no text of an instant in the window can lie outside of."""

    def day(instant: datetime, margin: timedelta) -> str:
        try:
            return (instant.astimezone(timezone.utc) + margin).strftime("%Y-%m-%d").rjust(10, "0")
        except OverflowError:
            return "0" if margin < timedelta(0) else ":"

    return day(query.since, -_MARGIN), ":" if query.until is None else day(query.until, 2 * _MARGIN)


def _judge(row: _Row, query: Query, found: Found) -> Event | None:
    """Return the event that a row holds, or ``None`` when it is outside the window or counted as spoilt."""
    event_id = audit_event.shown(row.event_id)
    try:
        instant, nanoseconds = audit_event.instant_of(row.ts)
    except BadInput as exc:
        found.spoilt(event_id, exc.msg)
        return None
    if instant < query.since or (query.until is not None and instant >= query.until):
        return None
    try:
        return audit_event.parse(event_id, instant, nanoseconds, row.ts, row.payload, query.details)
    except BadInput as exc:
        found.spoilt(event_id, exc.msg)
        return None


def tell(path: Path, query: Query, timeout: float) -> Outcome:
    """Do the same as :func:`find`, for a module: ``events``, ``counts``, ``total`` and what was left out."""
    found = find(path, query, timeout)
    facts: dict[str, Any] = {
        "events": [event.result(query.details) for event in found.events],
        "counts": {
            "reason_code": found.by_reason_code.result(),
            "domain": found.by_domain.result(),
            "module": found.by_module.result(),
        },
        "total": found.total,
        "truncated": found.truncated,
        "malformed": found.malformed,
        "malformed_examples": found.examples,
        "since": times.to_text(query.since),
        "until": None if query.until is None else times.to_text(query.until),
    }
    outcome = Outcome(facts=facts)
    if found.malformed:
        outcome.warnings.append(
            f"{path}: {found.malformed} audit events cannot be read and are in no count, such as "
            f"{found.examples[0]}"
        )
    return outcome
