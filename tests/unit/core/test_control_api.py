# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of the control API: what it sends, how long it waits, and that a command is sent once."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timezone
from email.utils import formatdate
from typing import Callable

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import (
    GAUGES,
    Alert,
    Api,
    ApiFault,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput
from tests.simulator import auth, fleet

from .raw_server import (
    ALERT,
    METRICS,
    MINE,
    PROMETHEUS,
    SECRET,
    STATUS,
    TOKEN,
    Reply,
    answer,
    api,
    as_json,
    fault,
    hang,
    serving,
)

# --- good answers ---


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fleet.Node]:
    with fleet.start_node(
        tmp_path_factory.mktemp("node"), size="256K", credentials=auth.Credentials(TOKEN, SECRET)
    ) as started:
        yield started


@pytest.fixture
def station(node: fleet.Node) -> Iterator[Api]:
    """A client of a healthy station."""
    node.faults()
    yield Api(node.url, MINE, timeout=5)


def test_a_station_answers_all_questions(node: fleet.Node, station: Api) -> None:
    status = station.status()
    assert (status.state, status.emergency, status.timestamp.tzinfo) == ("RUNNING", False, timezone.utc)
    assert abs(status.timestamp.timestamp() - time.time()) < 5
    assert station.alerts() == []
    node.faults(buffer=5)
    assert station.metrics()["buffer_minutes"] == 5
    assert list(station.metrics()) == list(GAUGES)
    assert [(alert.code, alert.severity) for alert in station.alerts()] == [("BUFFER_CRITICAL", "critical")]
    assert station.last_latency is not None
    assert 0 < station.last_latency < 5


def test_a_station_obeys_commands(station: Api) -> None:
    assert station.toggle_emergency() is True
    assert station.status().emergency
    assert station.toggle_emergency() is False
    station.reload_owner_card()


def test_the_signature_is_what_openssl_makes_of_it() -> None:
    headers = MINE.headers("POST", "/v1/control/emergency-mode", 1769904000)
    signed = b"POST\n/v1/control/emergency-mode\n1769904000\n"
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET], input=signed, capture_output=True, check=True
    )
    assert headers == {
        "Authorization": f"Bearer {TOKEN}",
        "x-vvtv-ts": "1769904000",
        "x-vvtv-signature": done.stdout.decode().split()[-1],
    }


def test_a_command_has_no_body_and_a_question_no_token() -> None:
    with serving(as_json({"ok": True, "emergency_mode": True}), as_json(STATUS)) as server:
        client = api(server)
        client.toggle_emergency()
        client.status()
    command, question = server.requests
    assert command.startswith(b"POST /v1/control/emergency-mode HTTP/1.1\r\n")
    assert command.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0\r\n" in command
    assert TOKEN.encode() in command
    assert b"authorization" not in question.lower()


def test_further_fields_and_metrics_are_passed_over() -> None:
    further = 'up 1\n\n# HELP x y\nhttp_total{path="/{}",b="} 1"} 7 1700000000\n'
    text = f"{further}{METRICS}vvtvs NaN\n"
    with serving(
        as_json({**STATUS, "more": [1, {"a": None}]}),
        as_json({"count": 1, "alerts": [{**ALERT, "since": 1}], "more": 2}),
        answer(text.replace("\n", "\r\n").encode(), kind=PROMETHEUS),
    ) as server:
        client = api(server)
        assert client.status().buffer_minutes == 60
        assert client.alerts() == [Alert(**ALERT)]
        assert client.metrics() == {name: number / 10 for number, name in enumerate(GAUGES)}


# --- once or again ---


def closing_at_once(_connection: socket.socket) -> None:
    """Hang up without a word."""


@pytest.mark.parametrize("first", [answer(b"", "500 Internal Server Error"), hang, closing_at_once])
def test_a_question_is_asked_again(first: Reply) -> None:
    with serving(first, as_json(STATUS)) as server:
        assert api(server).status().state == "RUNNING"
    assert len(server.requests) == 2


def test_a_question_is_given_up_after_the_last_retry() -> None:
    with serving(answer(b"", "503 Service Unavailable")) as server, pytest.raises(ApiFault) as caught:
        api(server, retries=3, timeout=5).status()
    assert (len(server.requests), caught.value.reason, caught.value.status) == (4, "http_status", 503)


@pytest.mark.parametrize("reply", [answer(b"", "404 Not Found"), as_json({}), answer(b"<html>")])
def test_an_answer_that_would_be_the_same_again_is_asked_for_once(reply: bytes) -> None:
    with serving(reply) as server, pytest.raises(ApiFault):
        api(server).status()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply", [answer(b"", "500 Internal Server Error"), hang, closing_at_once, answer(b"?"), as_json({})]
)
@pytest.mark.parametrize("command", [Api.toggle_emergency, Api.reload_owner_card])
def test_a_command_is_sent_once(command: Callable[[Api], object], reply: Reply) -> None:
    with serving(reply, as_json({"ok": True, "emergency_mode": True})) as server:
        with pytest.raises(ApiFault):
            command(api(server, retries=5))
        time.sleep(0.1)
    assert len(server.requests) == 1


# --- refused commands ---


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("invalid token", "check control_token against the station's VVTV_CONTROL_TOKEN"),
        ("invalid signature", "check control_secret against the station's VVTV_CONTROL_SECRET"),
        ("missing signature headers", "drops headers"),
        (f"no {TOKEN}", "a reason that is not in the contract; check control_token and control_secret"),
    ],
)
def test_unauthorized_says_what_to_check(said: str, told: str) -> None:
    found = fault(Api.toggle_emergency, answer(said.encode(), "401 Unauthorized", "text/plain"))
    assert (found.reason, found.status) == ("unauthorized", 401)
    assert told in str(found)


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_clock_an_hour_off_is_told_with_the_difference(ahead: int) -> None:
    date = formatdate(time.time() - ahead, usegmt=True)
    found = fault(
        Api.toggle_emergency, answer(b"stale timestamp", "401 Unauthorized", "text/plain", Date=date)
    )
    assert found.reason == "clock_skew"
    assert found.skew == pytest.approx(ahead, abs=3)
    assert f" s {'ahead of' if ahead > 0 else 'behind'} the API's" in found.msg
    assert "timedatectl" in str(found)


@pytest.mark.parametrize("date", ["", "soon", "Mon, 99 Foo 2026 00:00:00 GMT", "1 Jan 99999 00:00:00 GMT"])
def test_a_clock_that_is_not_told_is_a_skew_all_the_same(date: str) -> None:
    found = fault(
        Api.toggle_emergency, answer(b"stale timestamp", "401 Unauthorized", "text/plain", Date=date)
    )
    assert (found.reason, found.skew) == ("clock_skew", None)
    assert "sent no date" in found.msg


def test_a_command_without_credentials_is_not_sent() -> None:
    with serving(as_json({})) as server, pytest.raises(BadInput, match="needs control_token"):
        api(server, credentials=None).toggle_emergency()
    assert server.requests == []


# --- against the simulator's faults ---


@pytest.mark.parametrize(
    ("faults", "call", "reason"),
    [
        ({"hang": "30"}, Api.status, "timeout"),
        ({"trickle": "1"}, Api.metrics, "timeout"),
        ({"http_500": "all"}, Api.alerts, "http_status"),
        ({"status": "302@/metrics"}, Api.metrics, "http_status"),
        ({"huge": "10M"}, Api.status, "too_large"),
        ({"html": "all"}, Api.status, "not_json"),
        ({"html": "all"}, Api.metrics, "not_text"),
        ({"malformed": "all"}, Api.alerts, "not_json"),
        ({"nan": "all"}, Api.status, "bad_value"),
        ({"nan": "all"}, Api.alerts, "bad_value"),
        ({"nan": "all"}, Api.metrics, "bad_value"),
        ({"negative": "all"}, Api.status, "bad_value"),
        ({"negative": "all"}, Api.alerts, "bad_value"),
        ({"negative": "all"}, Api.metrics, "bad_value"),
        ({"clock": "-3600"}, Api.toggle_emergency, "clock_skew"),
    ],
)
def test_a_sick_station(
    node: fleet.Node, faults: dict[str, str], call: Callable[[Api], object], reason: str
) -> None:
    node.faults(**faults)
    begin = time.monotonic()
    with pytest.raises(ApiFault) as caught:
        call(Api(node.url, MINE, timeout=1, backoff=0.05))
    assert caught.value.reason == reason
    assert time.monotonic() - begin < 3
    node.faults()


# --- secrets ---


def test_nothing_that_can_be_printed_holds_a_secret() -> None:
    echo = json.dumps({"ok": TOKEN, "emergency_mode": SECRET, "state": TOKEN}).encode()
    replies = [
        answer(f"{TOKEN} {SECRET}".encode(), f"{code} {TOKEN}", **{"X-Echo": SECRET})
        for code in (401, 403, 500, 302)
    ]
    said = [repr(MINE), str(MINE), repr(Api("http://127.0.0.1:1", MINE))]
    for reply in [*replies, answer(echo), answer(TOKEN.encode()), TOKEN.encode(), hang]:
        found: BaseException | None = fault(Api.toggle_emergency, reply)
        while found is not None:
            said += [str(found), repr(found), repr(getattr(found, "args", "")), repr(vars(found))]
            found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
        said.append(json.dumps(fault(Api.reload_owner_card, reply).result()))
    for secret in (TOKEN, SECRET):
        assert not [text for text in said if secret in text]
