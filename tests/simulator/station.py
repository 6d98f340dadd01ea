# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control API's answers, without the HTTP around them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Callable
from urllib.parse import parse_qs, urlsplit

from . import alerts, auth, clock, gauges, owner_card

#: The station's API says this at all times, whatever the pipeline has.
CONSTANT_BUFFER_MINUTES = 60
CONTROL_PREFIX = "/v1/control/"
Query = Mapping[str, list[str]]


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", json.dumps(value, separators=(",", ":")).encode())


def text_answer(text: str, status: int) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode())


class Station:
    """What one API process knows: two paths, its credentials, and what it holds in memory only."""

    def __init__(
        self,
        state_db: Path,
        card: Path,
        credentials: auth.Credentials,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """``clock_ns`` is the API's clock, in nanoseconds since 1970."""
        self.owner_card_sha256 = ""
        self.clock_ns = clock_ns
        self._state_db = state_db
        self._card = card
        self._credentials = credentials
        self._emergency = False
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], Callable[[Query], Answer]] = {
            ("GET", "/v1/status"): self._status,
            ("GET", "/v1/alerts"): self._alerts,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/v1/reports/daily"): self._daily,
            ("GET", "/v1/reports/weekly"): self._weekly,
            ("POST", "/v1/control/emergency-mode"): self._toggle_emergency,
            ("POST", "/v1/control/reload-owner-card"): self._reload_card,
            ("POST", "/v1/control/curator-mode"): self._curator_mode,
        }
        self._take_card()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request; ``target`` is path and query, ``headers`` have lower-case names."""
        parts = urlsplit(target)
        if parts.path.startswith(CONTROL_PREFIX):
            reason = auth.refusal(self._credentials, method, parts.path, headers, self.clock_ns() / 1e9)
            if reason is not None:
                return text_answer(reason, 401)
        route = self._routes.get((method, parts.path))
        if route is not None:
            return route(parse_qs(parts.query))
        known = any(path == parts.path for _method, path in self._routes)
        return text_answer("method not allowed", 405) if known else text_answer("not found", 404)

    def _status(self, _query: Query) -> Answer:
        state = "EMERGENCY" if self._emergency else "RUNNING"
        now = clock.column(self.clock_ns())
        return json_answer({"state": state, "buffer_minutes": CONSTANT_BUFFER_MINUTES, "timestamp": now})

    def _alerts(self, _query: Query) -> Answer:
        found = alerts.read_alerts(self._state_db, self.clock_ns())
        return json_answer({"alerts": found, "count": len(found)})

    def _metrics(self, _query: Query) -> Answer:
        sample = alerts.read_gauges(self._state_db)
        lines = [f"# TYPE vvtv_{name} gauge\nvvtv_{name} {sample[name]}\n" for name in gauges.NAMES]
        return Answer(200, "text/plain; version=0.0.4; charset=utf-8", "".join(lines).encode())

    def _daily(self, query: Query) -> Answer:
        text = query.get("date", [""])[0]
        try:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                raise ValueError(text)
            date.fromisoformat(text)
        except ValueError:
            return json_answer({"error": "invalid date, expected YYYY-MM-DD"}, 400)
        return self._report("date", text)

    def _weekly(self, query: Query) -> Answer:
        text = query.get("week", [""])[0]
        match = re.fullmatch(r"(\d{4})-W(\d{2})", text, re.ASCII)
        try:
            if match is None:
                raise ValueError(text)
            date.fromisocalendar(int(match.group(1)), int(match.group(2)), 1)
        except ValueError:
            return json_answer({"error": "invalid week, expected YYYY-Www"}, 400)
        return self._report("week", text)

    def _report(self, key: str, period: str) -> Answer:
        sample = alerts.read_gauges(self._state_db)
        summary = f"{sample['plans_committed']} of {sample['plans_created']} plans committed"
        return json_answer({key: period, "summary": summary, "metrics": sample})

    def _toggle_emergency(self, _query: Query) -> Answer:
        with self._lock:
            self._emergency = not self._emergency
            return json_answer({"ok": True, "emergency_mode": self._emergency})

    def _reload_card(self, _query: Query) -> Answer:
        self._take_card()
        return json_answer({"ok": True, "action": "reload-owner-card"})

    def _curator_mode(self, _query: Query) -> Answer:
        return json_answer({"ok": True, "mode": "advisory"})

    def _take_card(self) -> None:
        """Obey the card in the file; an invalid or missing one silently leaves the one in force."""
        try:
            self.owner_card_sha256 = owner_card.load(self._card)
        except (owner_card.CardError, OSError):
            return
