# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instants as the station writes them: RFC 3339 with an offset, to the nanosecond.

Python before 3.11 parses neither nanoseconds nor ``Z`` with ``fromisoformat``, hence a parser of our own.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from .errors import BadInput

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)


def now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(timezone.utc)


def to_text(instant: datetime) -> str:
    """Return ``instant`` as RFC 3339 in UTC with microseconds and ``Z``."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_id(instant: datetime) -> str:
    """Return ``instant`` in the form of the runbook's folder names: ``YYYYMMDDTHHMMSSZ`` (UTC)."""
    return instant.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def parse(text: str) -> datetime:
    """Return the instant an RFC 3339 ``text`` names; digits below the microsecond are cut off.

    Raise :class:`BadInput` when it is no such text.
    """
    found = _RFC3339.fullmatch(text)
    if not found:
        raise BadInput(f"{text[:60]!r} is no RFC 3339 instant with an offset")
    *date, fraction, _zulu, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    try:
        zone = timezone(-offset if sign == "-" else offset)
        year, month, day, hour, minute, second = (int(part) for part in date)
        microsecond = int((fraction or "").ljust(6, "0")[:6])
        return datetime(year, month, day, hour, minute, second, microsecond, zone).astimezone(timezone.utc)
    except (ValueError, OverflowError) as exc:
        raise BadInput(f"{text[:60]!r} is no RFC 3339 instant: {exc}") from exc


def of_id(text: str) -> datetime | None:
    """Return the instant that a text in the form of :func:`to_id` names, or ``None`` for any other text."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
