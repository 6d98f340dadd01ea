# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API reads out of state.db: gauges and alerts, and what it makes up when it can read nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from . import clock, database, gauges
from .content import FAILED_DOMAIN

Alert = dict[str, str]

BUFFER_CRITICAL_MINUTES = 20
QA_LOW = 0.85
FALLBACK_HIGH = 0.30
FALLBACK_GROWTH = 0.15
DOMAIN_FAILURES = 3

_FAILED_DOMAINS = (
    "SELECT count(*) FROM audit_events WHERE ts >= ?"
    " AND instr(json_extract(payload_json, '$.reason_code'), ?) > 0"
)
# Everything that goes wrong when the file is missing, empty, damaged, locked or holds something else.
_UNREADABLE = (sqlite3.Error, ValueError, OSError)


def read_gauges(state_db: Path) -> gauges.Gauges:
    """The newest metric sample; the made-up healthy one when there is none or it cannot be read."""
    try:
        samples, _failures = _read(state_db, count_failures=False)
    except _UNREADABLE:
        samples = []
    return samples[0] if samples else dict(gauges.MADE_UP)


def read_alerts(state_db: Path, now_ns: int) -> list[Alert]:
    """The alerts that hold at ``now_ns``; none when state.db cannot be read."""
    try:
        samples, failures = _read(state_db, count_failures=True, now_ns=now_ns)
    except _UNREADABLE:
        return []
    return judge(samples or [gauges.MADE_UP], failures)


def judge(samples: list[gauges.Gauges], domain_failures: int) -> list[Alert]:
    """The alerts of the newest samples (newest first) and of the audit events of one day."""
    newest = samples[0]
    buffer, qa, fallback = newest["buffer_minutes"], newest["qa_pass_rate"], newest["fallback_rate"]
    alerts: list[Alert] = []
    if buffer < BUFFER_CRITICAL_MINUTES:
        alerts.append(_alert("BUFFER_CRITICAL", "critical", f"buffer is down to {buffer} minutes"))
    if qa < QA_LOW:
        alerts.append(_alert("QA_PASS_RATE_LOW", "high", f"QA pass rate is {qa:.2f}"))
    if fallback > FALLBACK_HIGH:
        alerts.append(_alert("FALLBACK_RATE_HIGH", "high", f"fallback rate is {fallback:.2f}"))
    # Rounded, because 0.25 - 0.10 is a little less than 0.15 in binary.
    if len(samples) > 1 and round(fallback - samples[1]["fallback_rate"], 9) >= FALLBACK_GROWTH:
        alerts.append(_alert("FALLBACK_RATE_GROWING", "medium", f"fallback rate grew to {fallback:.2f}"))
    if domain_failures >= DOMAIN_FAILURES:
        alerts.append(
            _alert("DISCOVERY_DOMAIN_FAILURE", "high", f"{domain_failures} discovery failures in 24 h")
        )
    return alerts


def _alert(code: str, severity: str, message: str) -> Alert:
    return {"code": code, "severity": severity, "message": message}


def _read(state_db: Path, count_failures: bool, now_ns: int = 0) -> tuple[list[gauges.Gauges], int]:
    """Open state.db anew, as the station does for each request; that makes a missing file and its tables."""
    with closing(database.connect(state_db)) as conn:
        database.create_tables(conn)
        samples = database.newest_samples(conn, 2)
        failures = 0
        if count_failures:
            since = clock.column(now_ns - clock.DAY_NS)
            failures = conn.execute(_FAILED_DOMAINS, (since, FAILED_DOMAIN)).fetchone()[0]
    return samples, failures
