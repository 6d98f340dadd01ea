# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the table in the simulator's README, and the control file that carries them."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import re
import string
import subprocess
import sys
import threading
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator import cli, faults, fleet, gauges
from tests.simulator.alerts import judge
from tests.simulator.control import set_faults, wait_for
from tests.simulator.layout import layout, write_atomic

from .http_helper import call, codes_of, gauges_of, post


def test_low_qa(node: fleet.Node) -> None:
    node.faults(qa=0.5)
    assert gauges_of(node)["vvtv_qa_pass_rate"] == 0.5
    assert codes_of(node) == {"QA_PASS_RATE_LOW"}


def test_growing_fallback(node: fleet.Node) -> None:
    node.faults(fallback_step=0.2)
    assert "FALLBACK_RATE_GROWING" in codes_of(node)
    samples = node.state.samples
    wait_for(node.root, lambda state: state.samples >= samples + 2)
    assert "FALLBACK_RATE_HIGH" in codes_of(node)


def test_failing_domain(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K") as node:
        node.faults(failing_domain="2@example.com")
        assert codes_of(node) == set()
        node.faults(failing_domain="1@-")
        assert codes_of(node) == {"DISCOVERY_DOMAIN_FAILURE"}
        node.faults()
        node.wait_commits(2)
        assert call(node, "/v1/alerts").json["alerts"][0]["message"].startswith("3 ")


def test_http_500_on_one_path(node: fleet.Node) -> None:
    node.faults(http_500="/v1/alerts")
    assert call(node, "/v1/alerts").status == 500
    assert call(node, "/v1/status").status == 200
    node.faults(http_500="all")
    assert call(node, "/v1/status").status == 500
    assert call(node, "/v1/control/emergency-mode", "POST").status == 500


def test_malformed(node: fleet.Node) -> None:
    node.faults(malformed="/v1/alerts")
    answer = call(node, "/v1/alerts")
    assert answer.status == 200
    with pytest.raises(ValueError, match="Expecting value"):
        _unused = answer.json
    assert call(node, "/v1/status").json["state"] == "RUNNING"


def test_slow(node: fleet.Node) -> None:
    node.faults(slow="0.3@/v1/status")
    begin = time.monotonic()
    assert call(node, "/v1/status").status == 200
    assert time.monotonic() - begin >= 0.3


def test_hang_is_bounded_and_ends_without_an_answer(node: fleet.Node) -> None:
    node.faults(hang=0.2)
    begin = time.monotonic()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        call(node, "/v1/status")
    assert 0.2 <= time.monotonic() - begin < 3
    node.faults(hang="60@/metrics")
    with pytest.raises(OSError, match="timed out"):
        call(node, "/metrics", timeout=0.2)
    assert call(node, "/v1/status").status == 200


def test_huge(node: fleet.Node) -> None:
    node.faults(huge="3M@/v1/alerts")
    answer = call(node, "/v1/alerts")
    assert len(answer.body) == 3 << 20
    assert answer.json == {"alerts": [], "count": 0}
    assert len(call(node, "/v1/status").body) < 1000


def test_trickle_sends_byte_by_byte_and_never_the_rest(node: fleet.Node) -> None:
    node.faults(trickle="0.005@/v1/alerts")
    begin = time.monotonic()
    assert call(node, "/v1/alerts").json == {"alerts": [], "count": 0}
    assert time.monotonic() - begin >= 0.005 * len('{"alerts":[],"count":0}')
    assert call(node, "/v1/status").json["state"] == "RUNNING"
    node.faults(trickle="60@/metrics")
    threading.Timer(0.2, lambda: set_faults(node.root)).start()
    with pytest.raises(http.client.IncompleteRead):
        call(node, "/metrics")


def test_html_and_any_status(node: fleet.Node) -> None:
    node.faults(html="/v1/status", status="302@/metrics")
    page, moved = call(node, "/v1/status"), call(node, "/metrics")
    assert (page.status, page.kind, page.body[:15]) == (200, "text/html", b"<!doctype html>")
    assert moved.status == 302
    assert call(node, "/v1/alerts").status == 200
    node.faults(status=401)
    assert {call(node, path).status for path in faults.PATHS} == {401}


def test_numbers_that_cannot_be(node: fleet.Node) -> None:
    node.faults(nan="/metrics", negative="/v1/status")
    gauges_now = gauges_of(node)
    assert len(gauges_now) == 7
    assert all(math.isnan(value) for value in gauges_now.values())
    assert call(node, "/v1/status").json["buffer_minutes"] == -61
    node.faults(nan="/v1/alerts", negative="/metrics")
    assert b'"count": NaN' in call(node, "/v1/alerts").body
    assert all(value < 0 for value in gauges_of(node).values())


@pytest.mark.parametrize("ahead", [3600, -3600, 200])
def test_a_wrong_clock_is_told_by_all_that_tells_time(node: fleet.Node, ahead: int) -> None:
    node.faults(clock=ahead)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/status")
        answer = connection.getresponse()
        date = parsedate_to_datetime(answer.headers["Date"])
        said = datetime.fromisoformat(re.sub(r"\.\d+", "", json.load(answer)["timestamp"]))
    for instant in (date, said):
        assert instant.timestamp() - time.time() == pytest.approx(ahead, abs=3)
    refused = post(node, "/v1/control/curator-mode")
    assert (refused.status, refused.body) == (401, b"stale timestamp") or abs(ahead) < 300


def test_crash_now_happens_once(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K") as node:
        node.faults(crash="now")
        assert not node.alive()
    assert json.loads(layout(tmp_path).control.read_text())["faults"] == {"crash": "now"}
    # Started by hand, so that nobody clears the control file before.
    args = [sys.executable, "-m", "tests.simulator", "run", "--root", str(tmp_path)]
    with subprocess.Popen(args, cwd=fleet.CHECKOUT, stdout=subprocess.DEVNULL) as again:
        wait_for(tmp_path, lambda state: state.pid == again.pid and state.commits > 2)
        assert fleet.stop_node(tmp_path)
        assert again.wait(5) == 0


def test_crash_on_a_request(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K") as node:
        node.faults(crash="/metrics")
        assert call(node, "/v1/status").status == 200
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            call(node, "/metrics")
        assert node._child.wait(5) == 70


def test_faults_replace_the_ones_before(node: fleet.Node) -> None:
    node.faults(http_500="all", buffer=3)
    node.faults(qa=0.99)
    assert call(node, "/v1/status").status == 200
    assert gauges_of(node)["vvtv_buffer_minutes"] > 100


def test_a_bad_control_file_changes_nothing_and_is_told(node: fleet.Node) -> None:
    node.faults(buffer=7)
    write_atomic(layout(node.root).control, '{"generation": 99, "faults": {"bufer": 1}}')
    state = wait_for(node.root, lambda state: state.control_error != "")
    assert "bufer" in state.control_error
    assert gauges_of(node)["vvtv_buffer_minutes"] == 7
    node.faults()
    assert wait_for(node.root, lambda state: state.control_error == "").faults_seen == node.state.faults_seen


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bufer", "1"),
        ("buffer", "-1"),
        ("buffer", "1.5"),
        ("buffer", True),
        ("buffer", None),
        ("qa", "nan"),
        ("qa", 1.01),
        ("qa", "1e999"),
        ("fallback_step", "x"),
        ("failing_domain", "a b"),
        ("failing_domain", "0@example.com"),
        ("failing_domain", "10001@example.com"),
        ("http_500", "/nothing"),
        ("malformed", True),
        ("slow", "2@"),
        ("slow", "601"),
        ("hang", "-1"),
        ("hang", "1@/x"),
        ("huge", "2G"),
        ("huge", "1.5M"),
        ("crash", "later"),
        ("trickle", "-1"),
        ("html", "/x"),
        ("status", "99"),
        ("status", "200.5"),
        ("status", "404@/x"),
        ("nan", "1"),
        ("negative", "/nothing"),
        ("clock", "nan"),
        ("clock", "1e12"),
        ("pipeline", "stopped"),
    ],
)
def test_bad_faults_are_named_and_not_written(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(faults.FaultError) as caught:
        set_faults(tmp_path, **{key: value})  # type: ignore[arg-type]
    assert key in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_node_to_wait_for(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError):
        set_faults(tmp_path, wait=True, buffer=1)
    assert set_faults(tmp_path, buffer=1) == 2


def test_an_unreadable_control_file_is_replaced(tmp_path: Path) -> None:
    set_faults(tmp_path)
    layout(tmp_path).control.write_bytes(b"\xff")
    assert set_faults(tmp_path, buffer=4) == 1
    assert faults.read_control(tmp_path).faults.buffer == 4


def test_a_huge_control_file_is_refused(tmp_path: Path) -> None:
    set_faults(tmp_path)
    layout(tmp_path).control.write_bytes(b" " * (faults.MAX_CONTROL_BYTES + 1))
    with pytest.raises(faults.FaultError, match="more than"):
        faults.read_control(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["buffer", "qa", "hang", "huge", "crash", "pipeline", "failing_domain", "http_500"])


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=60), JSON.map(json.dumps)))
def test_hostile_control_text(text: str) -> None:
    try:
        faults.parse_control(text)
    except faults.FaultError as error:
        assert "control file" in str(error)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, JSON | st.text(string.printable, max_size=30), max_size=3))
def test_hostile_fault_values(raw: dict[str, object]) -> None:
    text = json.dumps({"generation": 1, "faults": raw})
    try:
        parsed = faults.parse_control(text).faults
    except faults.FaultError as error:
        assert any(key in str(error) for key in raw)
        return
    assert parsed.hang is None or 0 <= parsed.hang.amount <= faults.MAX_SECONDS
    assert parsed.huge is None or 0 <= parsed.huge.amount <= faults.MAX_HUGE_BYTES
    assert parsed.qa is None or 0 <= parsed.qa <= 1


def test_deeply_nested_control_text() -> None:
    with pytest.raises(faults.FaultError):
        faults.parse_control("[" * 100_000)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([cli.port, cli.count, cli.size, cli.seconds, cli.pair]), st.text(max_size=30))
def test_hostile_arguments(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except argparse.ArgumentTypeError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("change", "failures", "codes"),
    [
        ({"buffer_minutes": 20}, 0, set()),
        ({"buffer_minutes": 19}, 0, {"BUFFER_CRITICAL"}),
        ({"qa_pass_rate": 0.85}, 0, set()),
        ({"qa_pass_rate": 0.8499}, 0, {"QA_PASS_RATE_LOW"}),
        ({"fallback_rate": 0.24}, 0, set()),
        ({"fallback_rate": 0.25}, 0, {"FALLBACK_RATE_GROWING"}),
        ({"fallback_rate": 0.31}, 0, {"FALLBACK_RATE_GROWING", "FALLBACK_RATE_HIGH"}),
        ({}, 2, set()),
        ({}, 3, {"DISCOVERY_DOMAIN_FAILURE"}),
    ],
)
def test_alert_thresholds(change: dict[str, float], failures: int, codes: set[str]) -> None:
    before = {**gauges.MADE_UP, "fallback_rate": 0.10}
    alerts = judge([{**before, **change}, before], failures)
    assert {alert["code"] for alert in alerts} == codes


def test_a_steadily_high_fallback_rate_is_not_growing() -> None:
    high = {**gauges.MADE_UP, "fallback_rate": 0.301}
    assert [alert["code"] for alert in judge([high, high], 0)] == ["FALLBACK_RATE_HIGH"]


def test_state_file_names_the_process(node: fleet.Node) -> None:
    assert node.state.pid == node.pid != os.getpid()
