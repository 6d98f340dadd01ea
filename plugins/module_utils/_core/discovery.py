# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains whose discovery fails: how often each did, and whether an OwnerCard allows it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from . import times
from .errors import BadInput
from .metric_rows import text
from .probes import one_line
from .state_db import StateDb

MARKER = "DISCOVERY_FAILED_DOMAIN"
MAX_NAME = 253  # characters of a domain (RFC 1035, 2.3.4)
MAX_TOLD = 100

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_CHUNK_ROWS = 20_000  # about 30 ms each
_LEAST_ROWID = -(1 << 63)
_MAX_DOMAINS = 10_000
_MARGIN = timedelta(days=1)  # offsets stay below 24 h

_FIRST_OF_CHUNK = (
    "SELECT min(rowid) FROM (SELECT rowid FROM audit_events WHERE rowid <= ? ORDER BY rowid DESC LIMIT ?)"
)
# An instant of a form we do not know cannot be placed by text: such rows are always looked at.
_CHUNK = """
SELECT substr(ts, 1, 64), substr(code, 1, 400) FROM (
  SELECT ts, CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json)
    THEN json_extract(payload_json, '$.reason_code') END AS code
  FROM audit_events WHERE rowid BETWEEN ? AND ?
    AND (typeof(ts) <> 'text' OR ts >= ? OR ts NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'))
WHERE typeof(code) <> 'text' OR instr(code, ?)
"""


@dataclass(frozen=True)
class DomainFailures:
    """Failures of one domain (``None``: the reason code carries none) in the window.

    ``entry`` is the entry of the OwnerCard's allowlist that covers it, in the form that :func:`normal` gives,
    once :func:`against` has looked.
    """

    domain: str | None
    count: int
    first: datetime
    last: datetime
    entry: str | None = None


@dataclass(frozen=True)
class Failures:
    """Discovery failures since ``since``, the most frequent domain first.

    ``omitted`` counts events of domains beyond a bound, ``malformed`` events of the window that have no
    readable reason code, and failures of no known instant.
    """

    since: datetime
    domains: tuple[DomainFailures, ...]
    omitted: int = 0
    malformed: int = 0


def normal(name: str) -> str:
    """Return a domain in the form in which domains are compared, or an empty text when it is none.

    Lower case, without a scheme, port, path or final dot, and without the ``*.`` or ``.`` that stands for all
    subdomains.
    """
    host = _SCHEME.sub("", name.strip().lower(), count=1)
    host = re.split(r"[\s/?#:]", host, maxsplit=1)[0]
    return one_line(host.lstrip("*").strip("."), MAX_NAME)


def domain_of(reason_code: str) -> str | None:
    """Return the domain that a failure's reason code carries after its colon; ``None`` when there is none."""
    after = reason_code.partition(MARKER)[2]
    return normal(after.partition(":")[2]) or None


def count(state: StateDb, since: datetime) -> Failures:
    """Count the discovery failures since ``since``; the audit trail is read newest rows first, in chunks."""
    tally = _Tally(since)
    day = (since.astimezone(timezone.utc) - _MARGIN).strftime("%Y-%m-%d")
    last = state.rows("SELECT max(rowid) FROM audit_events")[0][0]
    if last is None:
        state.rows(_CHUNK, 1, 0, day, MARKER)  # a table of another shape is an error, also while it is empty
    while isinstance(last, int) and last >= _LEAST_ROWID:
        first = state.rows(_FIRST_OF_CHUNK, last, _CHUNK_ROWS)[0][0]
        if not isinstance(first, int):
            break
        for ts, code in state.rows(_CHUNK, first, last, day, MARKER):
            tally.take(ts, code)
        last = first - 1
    return tally.result()


class _Tally:
    def __init__(self, since: datetime) -> None:
        self._since = since
        self._domains: dict[str | None, DomainFailures] = {}
        self._omitted = self._malformed = 0

    def take(self, ts: object, code: object) -> None:
        """Count one row; whatever its instant, a row that cannot be read is malformed, not left out."""
        try:
            at = times.parse(text(ts) or "")
        except BadInput:
            self._malformed += 1
            return
        if at < self._since:
            return
        reason = text(code)
        if reason is None or MARKER not in reason:
            self._malformed += 1
            return
        domain = domain_of(reason)
        known = self._domains.get(domain)
        if known is not None:
            self._domains[domain] = replace(
                known, count=known.count + 1, first=min(known.first, at), last=max(known.last, at)
            )
        elif len(self._domains) < _MAX_DOMAINS:
            self._domains[domain] = DomainFailures(domain, 1, at, at)
        else:
            self._omitted += 1

    def result(self) -> Failures:
        ranked = sorted(self._domains.values(), key=lambda one: (-one.count, one.domain or ""))
        return Failures(self._since, tuple(ranked), self._omitted, self._malformed)


def against(failures: Failures, allowlist: Iterable[str]) -> Failures:
    """Return the failures with the allowlist's entry that covers each domain.

    An entry covers its own domain and every subdomain of it; of several entries the longest counts, so that
    an event counts once.
    """
    allowed = {normal(entry) for entry in allowlist}
    domains = tuple(replace(one, entry=_entry_for(one.domain, allowed)) for one in failures.domains)
    return replace(failures, domains=domains)


def _entry_for(domain: str | None, allowed: set[str]) -> str | None:
    labels = domain.split(".") if domain else []
    parents = (".".join(labels[start:]) for start in range(len(labels)))
    return next((parent for parent in parents if parent in allowed), None)


def shortened(failures: Failures) -> Failures:
    """Return failures of :data:`MAX_TOLD` domains at most: allowed ones and those without a name first."""
    ranked = sorted(failures.domains, key=lambda one: one.entry is None and one.domain is not None)
    left_out = sum(one.count for one in ranked[MAX_TOLD:])
    return replace(failures, domains=tuple(ranked[:MAX_TOLD]), omitted=failures.omitted + left_out)
