# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock on ``/v1/control/*``: a bearer token, a fresh timestamp and an HMAC."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_SKEW_SECONDS = 300
DEFAULT_TOKEN = "dev-token"
DEFAULT_SECRET = "dev-secret"
TIMESTAMP_HEADER = "x-vvtv-ts"
SIGNATURE_HEADER = "x-vvtv-signature"


@dataclass(frozen=True)
class Credentials:
    token: str = field(default=DEFAULT_TOKEN, repr=False)
    secret: str = field(default=DEFAULT_SECRET, repr=False)

    @property
    def are_default(self) -> bool:
        return self.token == DEFAULT_TOKEN or self.secret == DEFAULT_SECRET


def signature(secret: str, method: str, path: str, ts: str) -> str:
    """Hex HMAC-SHA256 of a request; always over an empty body, whatever is sent."""
    message = f"{method}\n{path}\n{ts}\n"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def signed_headers(credentials: Credentials, method: str, path: str, ts: int) -> dict[str, str]:
    """The headers of a good request made at ``ts`` (Unix seconds)."""
    return {
        "Authorization": f"Bearer {credentials.token}",
        TIMESTAMP_HEADER: str(ts),
        SIGNATURE_HEADER: signature(credentials.secret, method, path, str(ts)),
    }


def refusal(
    credentials: Credentials, method: str, path: str, headers: Mapping[str, str], now: float
) -> str | None:
    """Why a request is refused, None when it is good.

    ``headers`` have lower-case names, ``now`` is in Unix seconds.
    """
    if not _equal(headers.get("authorization", ""), f"Bearer {credentials.token}"):
        return "invalid token"
    ts, given = headers.get(TIMESTAMP_HEADER), headers.get(SIGNATURE_HEADER)
    if ts is None or given is None:
        return "missing signature headers"
    if not _is_fresh(ts, now):
        return "stale timestamp"
    if not _equal(given, signature(credentials.secret, method, path, ts)):
        return "invalid signature"
    return None


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())


def _is_fresh(ts: str, now: float) -> bool:
    if not (ts.isascii() and ts.isdigit() and len(ts) <= 15):
        return False
    return abs(now - int(ts)) <= MAX_SKEW_SECONDS
