# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a healthy node: shapes, authentication, toggles."""

from __future__ import annotations

import re
import time
from typing import Callable

import pytest

from tests.simulator import auth, fleet, owner_card

from .http_helper import call, codes_of, gauges_of, post

EMERGENCY = "/v1/control/emergency-mode"
RELOAD = "/v1/control/reload-owner-card"


def test_status(node: fleet.Node) -> None:
    answer = call(node, "/v1/status").json
    assert answer["state"] == "RUNNING"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", answer["timestamp"])


def test_metrics_are_the_newest_sample(node: fleet.Node) -> None:
    node.faults(buffer=77)
    gauges = gauges_of(node)
    assert len(gauges) == 7
    assert gauges["vvtv_buffer_minutes"] == 77


def test_a_healthy_node_has_no_alerts(node: fleet.Node) -> None:
    assert call(node, "/v1/alerts").json == {"alerts": [], "count": 0}


@pytest.mark.parametrize(
    ("path", "key"),
    [("/v1/reports/daily?date=2026-02-28", "date"), ("/v1/reports/weekly?week=2026-W53", "week")],
)
def test_reports(node: fleet.Node, path: str, key: str) -> None:
    answer = call(node, path).json
    assert answer[key] == path.split("=")[1]
    assert len(answer["metrics"]) == 7
    assert answer["summary"]


@pytest.mark.parametrize(
    "query", ["", "?date=", "?date=2026-02-30", "?date=20260228", "?date=x", "?week=2026-W01"]
)
def test_bad_date(node: fleet.Node, query: str) -> None:
    answer = call(node, "/v1/reports/daily" + query)
    assert answer.status == 400
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize("week", ["", "2026-W00", "2025-W53", "2026-W54", "2026-1", "2026-W1", "0000-W01"])
def test_bad_week(node: fleet.Node, week: str) -> None:
    answer = call(node, f"/v1/reports/weekly?week={week}")
    assert answer.status == 400
    assert set(answer.json) == {"error"}


def test_unknown_path_and_method(node: fleet.Node) -> None:
    assert call(node, "/nothing").status == 404
    assert call(node, "/v1/status", "POST").status == 405


def test_emergency_toggles(node: fleet.Node) -> None:
    assert post(node, EMERGENCY).json == {"ok": True, "emergency_mode": True}
    assert call(node, "/v1/status").json["state"] == "EMERGENCY"
    assert post(node, EMERGENCY).json == {"ok": True, "emergency_mode": False}
    assert call(node, "/v1/status").json["state"] == "RUNNING"


def test_curator_mode(node: fleet.Node) -> None:
    assert post(node, "/v1/control/curator-mode").json["ok"] is True


def test_signature_is_over_an_empty_body(node: fleet.Node) -> None:
    assert post(node, RELOAD, body=b'{"anything": 1}').status == 200


def altered(change: Callable[[dict[str, str]], object]) -> dict[str, str]:
    headers = auth.signed_headers(auth.Credentials(), "POST", EMERGENCY, int(time.time()))
    change(headers)
    return headers


def at(offset: int) -> dict[str, str]:
    return auth.signed_headers(auth.Credentials(), "POST", EMERGENCY, int(time.time()) + offset)


BAD = [
    (lambda: {}, "invalid token"),
    (lambda: altered(lambda h: h.update({"Authorization": "Bearer wrong"})), "invalid token"),
    (lambda: altered(lambda h: h.update({"Authorization": "dev-token"})), "invalid token"),
    (lambda: altered(lambda h: h.pop(auth.TIMESTAMP_HEADER)), "missing signature headers"),
    (lambda: altered(lambda h: h.pop(auth.SIGNATURE_HEADER)), "missing signature headers"),
    (lambda: at(-302), "stale timestamp"),
    (lambda: at(302), "stale timestamp"),
    (lambda: altered(lambda h: h.update({auth.TIMESTAMP_HEADER: "soon"})), "stale timestamp"),
    (lambda: altered(lambda h: h.update({auth.TIMESTAMP_HEADER: "9" * 400})), "stale timestamp"),
    (lambda: altered(lambda h: h.update({auth.SIGNATURE_HEADER: "0" * 64})), "invalid signature"),
    (
        lambda: auth.signed_headers(auth.Credentials(), "GET", EMERGENCY, int(time.time())),
        "invalid signature",
    ),
    (lambda: auth.signed_headers(auth.Credentials(), "POST", RELOAD, int(time.time())), "invalid signature"),
    (
        lambda: auth.signed_headers(auth.Credentials(secret="other"), "POST", EMERGENCY, int(time.time())),
        "invalid signature",
    ),
]


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_refused(node: fleet.Node, make: Callable[[], dict[str, str]], reason: str) -> None:
    answer = call(node, EMERGENCY, "POST", make())
    assert (answer.status, answer.kind, answer.body.decode()) == (401, "text/plain", reason)
    assert call(node, "/v1/status").json["state"] == "RUNNING"


@pytest.mark.parametrize("offset", [-297, 0, 297])
def test_accepted_clock_skew(node: fleet.Node, offset: int) -> None:
    assert call(node, EMERGENCY, "POST", at(offset)).status == 200
    assert post(node, EMERGENCY).json["emergency_mode"] is False


def test_signature_known_answer() -> None:
    # printf 'POST\n/v1/control/emergency-mode\n1700000000\n' | openssl dgst -sha256 -hmac dev-secret
    expected = "1a738ed3c741c8f898087bd9bcd54306e460dcf393eb793649e5714d89ef0e9a"
    assert auth.signature("dev-secret", "POST", EMERGENCY, "1700000000") == expected


def test_reload_always_says_ok_and_keeps_the_card_in_force(node: fleet.Node) -> None:
    good = node.owner_card.read_text()
    before = node.state.owner_card_sha256
    try:
        node.owner_card.write_text("schema_version: 0\n")
        assert post(node, RELOAD).json == {"ok": True, "action": "reload-owner-card"}
        node.faults()  # returns after the node has reported again
        assert node.state.owner_card_sha256 == before
        node.owner_card.write_text(good + "# another one\n")
        post(node, RELOAD)
        node.faults()
        assert node.state.owner_card_sha256 not in ("", before)
    finally:
        node.owner_card.write_text(good)
        post(node, RELOAD)


def test_status_is_constant_while_the_buffer_is_critical(node: fleet.Node) -> None:
    node.faults(buffer=5)
    assert call(node, "/v1/status").json["buffer_minutes"] == 60
    assert gauges_of(node)["vvtv_buffer_minutes"] == 5
    assert codes_of(node) == {"BUFFER_CRITICAL"}


def test_the_sample_card_is_valid() -> None:
    owner_card.check(owner_card.SAMPLE)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("schema_version: 1", "schema_version: true", "schema_version"),
        ("buffer_critical_minutes: 20", "buffer_critical_minutes: 120", "buffer_critical_minutes"),
        ("max_daily_adjustment_pct: 5.0", "max_daily_adjustment_pct: 20.5", "max_daily_adjustment_pct"),
        ("auto_apply: false", "auto_apply: 0", "auto_apply"),
        ("music_policy:", "music:", "music_policy"),
        ("allowlist_domains:", "allowlist_domains: []\n  other:", "allowlist_domains"),
        ("---", "--- {", "not YAML"),
    ],
)
def test_cards_that_are_not_obeyed(old: str, new: str, field: str) -> None:
    assert old in owner_card.SAMPLE
    with pytest.raises(owner_card.CardError, match=field):
        owner_card.check(owner_card.SAMPLE.replace(old, new))
