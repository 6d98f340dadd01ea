# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The station's control API, as values that were checked or an :class:`ApiFault` that says what is wrong.

Shapes and limits are those of the node contract, "Control API"; fields beyond them are passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar

from . import control_answers
from .control_answers import GAUGES, SEVERITIES, Alert, Status
from .control_http import MAX_BYTES, REASONS, Answer, ApiFault, Endpoint, exchange
from .credentials import Credentials, credentials
from .errors import BadInput

__all__ = [
    "DEFAULT_TIMEOUT",
    "DEFAULT_URL",
    "GAUGES",
    "MAX_BYTES",
    "REASONS",
    "SEVERITIES",
    "Alert",
    "Api",
    "ApiFault",
    "Credentials",
    "Status",
    "credentials",
]

DEFAULT_URL = "http://127.0.0.1:7070"
DEFAULT_TIMEOUT = 5.0
STATUS = "/v1/status"
ALERTS = "/v1/alerts"
METRICS = "/metrics"
EMERGENCY_MODE = "/v1/control/emergency-mode"
RELOAD_OWNER_CARD = "/v1/control/reload-owner-card"

_MAX_TIMEOUT = 600.0
# A question and all its repetitions end within so many times the timeout.
_PATIENCE = 2.0
_PASSING = ("refused", "timeout", "unreachable")
_HINTS = {
    "invalid token": "check control_token against the station's VVTV_CONTROL_TOKEN",
    "invalid signature": "check control_secret against the station's VVTV_CONTROL_SECRET",
    "missing signature headers": "check that nothing between here and the station drops headers",
}
_STALE = "stale timestamp"

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Policy:
    """How long to wait (seconds) and how often to ask again, the first time after ``backoff`` seconds."""

    timeout: float
    retries: int
    backoff: float

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= _MAX_TIMEOUT:
            raise BadInput(f"api_timeout must be above 0 and at most {_MAX_TIMEOUT:g} seconds")
        if self.retries < 0 or not (isfinite(self.backoff) and self.backoff >= 0):
            raise BadInput("retries and backoff must be 0 or more")


class Api:
    """The API at ``url``. Questions may be asked again when nobody answers; a command never is.

    ``timeout`` is the deadline of one whole request in seconds; a question with its repetitions takes at most
    twice that. ``last_latency`` is how many seconds the last request took, answered or not.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        credentials: Credentials | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = 2,
        backoff: float = 0.2,
    ) -> None:
        """Raise :class:`BadInput` for an ``url`` that is none, or would send a token in clear text."""
        self.last_latency: float | None = None
        self._endpoint = Endpoint.of(url)
        self._credentials = credentials
        self._policy = _Policy(timeout, retries, backoff)

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._endpoint.url("")

    def status(self) -> Status:
        """Ask for state and clock; of ``buffer_minutes`` the contract's traps say that it is a constant."""
        return self._ask(STATUS, control_answers.status)

    def alerts(self) -> list[Alert]:
        """Ask for the alerts the station itself raises."""
        return self._ask(ALERTS, control_answers.alerts)

    def metrics(self) -> dict[str, float]:
        """Ask for the seven gauges, by their names without ``vvtv_``."""
        return self._ask(METRICS, control_answers.metrics)

    def toggle_emergency(self) -> bool:
        """Switch emergency mode over and return whether it is on; sent once, whatever becomes of it."""
        return self._command(EMERGENCY_MODE, control_answers.toggled)

    def reload_owner_card(self) -> None:
        """Let the station read its OwnerCard; it says ok whatever the file holds. Sent once."""
        self._command(RELOAD_OWNER_CARD, control_answers.reloaded)

    def _ask(self, path: str, read: Callable[[bytes, str], Value]) -> Value:
        """Send a GET, again after a pause while it may pass and there is time, and read its answer."""
        url, policy = self._endpoint.url(path), self._policy
        deadline = time.monotonic() + policy.timeout * _PATIENCE
        attempt = 0
        while True:
            try:
                answer = self._send("GET", path, {}, min(policy.timeout, deadline - time.monotonic()))
                return read(_good(answer, url), url)
            except ApiFault as exc:
                pause = policy.backoff * 2**attempt
                attempt += 1
                may_pass = exc.reason in _PASSING or (exc.status or 0) >= 500
                if not may_pass or attempt > policy.retries or time.monotonic() + pause >= deadline:
                    raise
            time.sleep(pause)

    def _command(self, path: str, read: Callable[[bytes, str], Value]) -> Value:
        """Send a signed POST once and read its answer."""
        url = self._endpoint.url(path)
        if self._credentials is None:
            raise BadInput("a command to the station needs control_token and control_secret", path=url)
        ts = int(time.time())
        headers = self._credentials.headers("POST", path, ts)
        answer = self._send("POST", path, headers, self._policy.timeout)
        if answer.status == 401:
            raise _unauthorized(answer, url, ts)
        return read(_good(answer, url), url)

    def _send(self, method: str, path: str, headers: dict[str, str], seconds: float) -> Answer:
        begin = time.monotonic()
        try:
            return exchange(self._endpoint, method, path, headers, seconds)
        finally:
            self.last_latency = time.monotonic() - begin


def _good(answer: Answer, url: str) -> bytes:
    if answer.status != 200:
        hint = "look at the station's log" if answer.status >= 500 else "check that api_url is the station's"
        raise ApiFault("http_status", f"answered {answer.status}", url, status=answer.status, hint=hint)
    return answer.body


def _unauthorized(answer: Answer, url: str, ts: int) -> ApiFault:
    """Say why a signed call was refused. Only known reasons are quoted: another could echo the token."""
    said = answer.body.strip()[:100].decode("ascii", "replace")
    if said == _STALE:
        skew = None if (clock := _clock_of(answer)) is None else ts - clock.timestamp()
        return ApiFault(
            "clock_skew",
            f"refused the call as stale: {_told(skew)}",
            url,
            status=answer.status,
            skew=skew,
            hint="mend the clock (timedatectl) of whichever is wrong and run again",
        )
    known = said if said in _HINTS else "a reason that is not in the contract"
    return ApiFault(
        "unauthorized",
        f"refused the call: {known}",
        url,
        status=answer.status,
        hint=_HINTS.get(said, "check control_token and control_secret"),
    )


def _clock_of(answer: Answer) -> datetime | None:
    try:
        clock = parsedate_to_datetime(answer.date or "")
        clock.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # older Pythons raise the latter three
        return None
    return clock


def _told(skew: float | None) -> str:
    if skew is None:
        return "its clock and this one differ by more than 300 s (it sent no date to tell how much)"
    return f"the clock here is {abs(skew):.0f} s {'ahead of' if skew >= 0 else 'behind'} the API's"
