# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timestamps as the station writes them: RFC 3339, UTC, nine digits of a second."""

from __future__ import annotations

import time

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


def column(ns: int) -> str:
    """``ns`` (nanoseconds since 1970) as a column of state.db or an answer of the API says it.

    The text has one length and sorts by time, so SQL may compare it.
    """
    seconds, fraction = divmod(ns, SECOND_NS)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}+00:00"


def as_payload(text: str) -> str:
    """How a JSON payload inside state.db says what a column says as ``text``."""
    return text[:-6] + "Z"
