# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers of the control API: each field of each may be wrong in its own way."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import control_answers
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import (
    GAUGES,
    REASONS,
    Api,
    ApiFault,
)

from .raw_server import ALERT, METRICS, PROMETHEUS, STATUS, answer, api, as_json, fault, serving


def without(document: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != field}


BAD_JSON: list[tuple[bytes, str, str]] = [
    (b"", "not_json", "answered no JSON"),
    (b"<!doctype html><p>It works!", "not_json", "answered no JSON"),
    (b'{"broken": [', "not_json", "answered no JSON"),
    (b"\xff\xfe", "not_json", "answered no JSON"),
    (b"[" * 100_000, "not_json", "answered no JSON"),
    (b'{"count": 0, "count": 0}', "not_json", "answered no JSON"),
    (b"[]", "wrong_type", "the answer is no JSON object"),
    (b"NaN", "bad_value", "answered NaN as a number"),
    (b'{"buffer_minutes": -Infinity}', "bad_value", "answered -Infinity as a number"),
    (b'{"buffer_minutes": ' + b"9" * 100_000 + b"}", "bad_value", "answered 100000 digits as a number"),
]


@pytest.mark.parametrize("call", [Api.status, Api.alerts, Api.toggle_emergency, Api.reload_owner_card])
@pytest.mark.parametrize(("body", "reason", "told"), BAD_JSON)
def test_what_is_no_json_object(call: Callable[[Api], object], body: bytes, reason: str, told: str) -> None:
    found = fault(call, answer(body))
    assert found.reason == reason
    assert told in found.msg


BAD_STATUS: list[tuple[dict[str, Any], str, str]] = [
    (without(STATUS, "state"), "missing_field", "state is missing"),
    (without(STATUS, "timestamp"), "missing_field", "timestamp is missing"),
    ({**STATUS, "state": None}, "wrong_type", "state is no text"),
    ({**STATUS, "state": "PAUSED"}, "bad_value", "state is 'PAUSED', neither RUNNING nor EMERGENCY"),
    ({**STATUS, "buffer_minutes": "60"}, "wrong_type", "buffer_minutes is no whole number"),
    ({**STATUS, "buffer_minutes": True}, "wrong_type", "buffer_minutes is no whole number"),
    ({**STATUS, "buffer_minutes": 60.5}, "wrong_type", "buffer_minutes is no whole number"),
    ({**STATUS, "buffer_minutes": -1}, "bad_value", "buffer_minutes is -1, below 0"),
    ({**STATUS, "timestamp": 1}, "wrong_type", "timestamp is no text"),
    ({**STATUS, "timestamp": "noon"}, "bad_value", "timestamp: 'noon' is no RFC 3339 instant"),
]


@pytest.mark.parametrize(("document", "reason", "told"), BAD_STATUS)
def test_a_bad_status(document: dict[str, Any], reason: str, told: str) -> None:
    found = fault(Api.status, as_json(document))
    assert found.reason == reason
    assert told in found.msg


BAD_ALERTS: list[tuple[dict[str, Any], str, str]] = [
    ({"alerts": []}, "missing_field", "count is missing"),
    ({"count": 0}, "missing_field", "alerts is missing"),
    ({"count": 0, "alerts": {}}, "wrong_type", "alerts is no list"),
    ({"count": 2, "alerts": [ALERT]}, "bad_value", "counts 2 alerts and lists 1"),
    ({"count": 1, "alerts": []}, "bad_value", "counts 1 alerts and lists 0"),
    ({"count": 1, "alerts": ["BUFFER_CRITICAL"]}, "wrong_type", "alerts[0] is no JSON object"),
    ({"count": 1, "alerts": [without(ALERT, "code")]}, "missing_field", "alerts[0].code is missing"),
    ({"count": 1, "alerts": [{**ALERT, "message": 3}]}, "wrong_type", "alerts[0].message is no text"),
    ({"count": 1, "alerts": [{**ALERT, "severity": "fine"}]}, "bad_value", "alerts[0].severity is 'fine'"),
    ({"count": 1, "alerts": [{**ALERT, "code": "A B\n"}]}, "bad_value", "alerts[0].code is 'A B"),
    ({"count": 1001, "alerts": [ALERT] * 1001}, "too_large", "lists 1001 alerts, more than 1000"),
]


@pytest.mark.parametrize(("document", "reason", "told"), BAD_ALERTS)
def test_bad_alerts(document: dict[str, Any], reason: str, told: str) -> None:
    found = fault(Api.alerts, as_json(document))
    assert found.reason == reason
    assert told in found.msg


def test_an_alerts_message_can_always_be_written() -> None:
    odd = {**ALERT, "message": "\ud800" + "x" * 1000}
    with serving(as_json({"count": 1, "alerts": [odd]})) as server:
        (found,) = api(server).alerts()
    assert len(found.message.encode()) == 500


BAD_METRICS = [
    (b"", "missing_field", "answered without vvtv_buffer_minutes, vvtv_plans_created"),
    (METRICS.replace("vvtv_qa_pass_rate", "vvtv_x").encode(), "missing_field", "without vvtv_qa_pass_rate"),
    (
        METRICS.replace("\nvvtv_qa", "\nvvtv_qa_pass_rate{a='b'} 1\n#").encode(),
        "missing_field",
        "qa_pass_rate",
    ),
    (METRICS.encode() + b"vvtv_fallback_rate 0.1\n", "bad_value", "gives vvtv_fallback_rate twice"),
    (b"<!doctype html>\n<p>It works!", "not_text", "answered no metrics: line 1 is '<!doctype html>'"),
    (b'{"buffer_minutes": 60}', "not_text", "answered no metrics: line 1 is"),
    (b"\xff\xfe", "not_text", "answered no text"),
    (METRICS.encode() + b"vvtv_buffer_minutes\n", "not_text", "line 15 is 'vvtv_buffer_minutes'"),
]
BAD_GAUGES = [
    ("NaN", "bad_value", "is NaN, which it cannot be"),
    ("+Inf", "bad_value", "is +Inf, which it cannot be"),
    ("1e999", "bad_value", "is 1e999, which it cannot be"),
    ("-0.001", "bad_value", "is -0.001, which it cannot be"),
    ("many", "wrong_type", "is 'many', no number"),
    ("1_0", "wrong_type", "is '1_0', no number"),
    ("1.2.3", "wrong_type", "is '1.2.3', no number"),
]


@pytest.mark.parametrize(("body", "reason", "told"), BAD_METRICS)
def test_bad_metrics(body: bytes, reason: str, told: str) -> None:
    found = fault(Api.metrics, answer(body, kind=PROMETHEUS))
    assert found.reason == reason
    assert told in found.msg


@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize(("value", "reason", "told"), BAD_GAUGES)
def test_a_bad_gauge(gauge: str, value: str, reason: str, told: str) -> None:
    text = METRICS.replace(f"\nvvtv_{gauge} ", f"\nvvtv_{gauge} {value} 17\n# ")
    with pytest.raises(ApiFault) as caught:
        control_answers.metrics(text.encode(), "http://x/metrics")
    assert caught.value.reason == reason
    assert f"vvtv_{gauge} {told}" in caught.value.msg


@pytest.mark.parametrize("rate", control_answers.RATES)
def test_a_rate_in_percent_is_not_taken_for_a_good_one(rate: str) -> None:
    text = METRICS.replace(f"\nvvtv_{rate} ", f"\nvvtv_{rate} 94 17\n# ")
    with pytest.raises(ApiFault, match=f"vvtv_{rate} is 94, which it cannot be"):
        control_answers.metrics(text.encode(), "http://x/metrics")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"ok": True}, "missing_field"),
        ({"ok": False, "emergency_mode": True}, "bad_value"),
        ({"ok": 1, "emergency_mode": True}, "wrong_type"),
        ({"ok": True, "emergency_mode": "on"}, "wrong_type"),
    ],
)
def test_a_bad_answer_to_a_toggle(document: dict[str, Any], reason: str) -> None:
    assert fault(Api.toggle_emergency, as_json(document)).reason == reason


def test_a_reload_that_was_something_else() -> None:
    found = fault(Api.reload_owner_card, as_json({"ok": True, "action": "curator-mode"}))
    assert "another action than reload-owner-card" in found.msg


# --- anything at all ---

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["state", "buffer_minutes", "timestamp", "alerts", "count", "ok", "emergency_mode"])
DOCUMENTS = st.dictionaries(FIELDS, VALUES).map(lambda fields: json.dumps(fields).encode())
READERS = st.sampled_from(
    [control_answers.status, control_answers.alerts, control_answers.metrics, control_answers.toggled,
     control_answers.reloaded]
)  # fmt: skip


@settings(max_examples=300)
@given(READERS, st.binary(max_size=200) | DOCUMENTS)
def test_any_body_ends_in_a_value_or_a_fault(read: Callable[[bytes, str], object], body: bytes) -> None:
    try:
        read(body, "http://127.0.0.1:7070/x")
    except ApiFault as found:
        assert found.reason in REASONS


@given(st.sampled_from(sorted(STATUS)), VALUES)
def test_any_value_in_a_field_of_the_status(field: str, value: object) -> None:
    document = {**STATUS, field: value}
    try:
        found = control_answers.status(json.dumps(document).encode(), "http://127.0.0.1:7070/v1/status")
    except ApiFault as exc:
        assert exc.reason in ("missing_field", "wrong_type", "bad_value")
    else:
        assert found.state in control_answers.STATES
        assert found.buffer_minutes >= 0
