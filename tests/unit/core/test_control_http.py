# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request to the control API: bounded in time and size, whatever the other side does."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import control_http
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import (
    REASONS,
    Api,
    ApiFault,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput

from .raw_server import (
    MINE,
    STATUS,
    Reply,
    Server,
    answer,
    api,
    as_json,
    fault,
    hang,
    serving,
    trickle,
)

# --- an answer ---


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
        b"HTTP/1.0 200 OK\r\nX-Length: %d\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
    ],
)
def test_an_answer_however_its_end_is_told(head: bytes) -> None:
    body = json.dumps({"count": 0, "alerts": []}).encode()
    with serving(head % (len(body), body)) as server:
        assert api(server).alerts() == []


# --- no answer ---


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("call", [Api.status, Api.toggle_emergency])
def test_refused(call: Callable[[Api], object]) -> None:
    with pytest.raises(ApiFault) as caught:
        call(Api(f"http://127.0.0.1:{free_port()}", MINE, backoff=0))
    assert (caught.value.reason, caught.value.status) == ("refused", None)
    assert caught.value.result()["code"] == "api"


@pytest.mark.parametrize(
    "reply",
    [hang, trickle(as_json(STATUS), 0.05), trickle(answer(b"x" * 99), 0.2), trickle(b"HTTP/1.1 ", 0.3)],
)
def test_who_hangs_or_trickles_is_not_waited_for_longer_than_the_timeout(reply: Reply) -> None:
    begin = time.monotonic()
    assert fault(Api.status, reply, retries=0).reason == "timeout"
    assert time.monotonic() - begin < 2


def test_a_question_with_its_repetitions_ends_within_twice_the_timeout() -> None:
    with serving(hang) as server:
        begin = time.monotonic()
        with pytest.raises(ApiFault, match="gave no whole answer within"):
            api(server, retries=9).status()
        assert 0.9 < time.monotonic() - begin < 1.5
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-many: 1\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 100_000,
    ],
)
def test_what_breaks_off_or_is_no_http_is_unreachable(reply: bytes) -> None:
    assert fault(Api.status, reply, retries=0).reason == "unreachable"


@pytest.mark.parametrize("framing", [b"Content-Length: 67108864", b"Transfer-Encoding: chunked", b"X: y"])
def test_what_is_too_large_is_not_read(framing: bytes) -> None:
    body = b"4000000\r\n" * framing.startswith(b"T") + b" " * (64 << 20)
    reply = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + body
    with serving(reply) as server, pytest.raises(ApiFault, match="answered more than 1048576 b") as caught:
        api(server, timeout=5).alerts()
    assert caught.value.reason == "too_large"
    assert server.sent < 32 << 20
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with serving(as_json(STATUS)) as elsewhere:
        found = fault(Api.status, answer(b"", "302 Found", Location=f"{elsewhere.url}/v1/status"))
    assert (found.reason, found.status, elsewhere.requests) == ("http_status", 302, [])


def test_the_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(as_json(STATUS)) as server:
        assert api(server).status().state == "RUNNING"


# --- addresses ---


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "must be a URL"),
        ("127.0.0.1:7070", "must be like"),
        ("ftp://127.0.0.1", "must be like"),
        ("http://", "must be like"),
        ("http://127.0.0.1:0", "must be like"),
        ("http://127.0.0.1:70700", "is no URL"),
        ("http://127.0.0.1:x", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://me:pw@127.0.0.1", "no user and no password"),
        ("http://127.0.0.1/v1", "no path"),
        ("http://127.0.0.1/?a", "no path, query"),
        ("http://127.0.0.1/#a", "no path, query or fragment"),
        ("http://127.0.0.1:7070\r\nX: y", "without blanks"),
        ("http://192.0.2.1:7070", "clear text"),
        ("http://station.example.org", "clear text"),
        ("http://127.0.0.1.example.org", "clear text"),
    ],
)
def test_an_url_that_cannot_be_used_is_refused(url: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        Api(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:7070/", "http://127.0.0.1:7070/x"),
        ("http://[::1]:7070", "http://[::1]:7070/x"),
        ("http://localhost", "http://localhost:80/x"),
        ("https://station.example.org", "https://station.example.org:443/x"),
    ],
)
def test_an_url_that_can_be_used(url: str, shown: str) -> None:
    assert control_http.Endpoint.of(url).url("/x") == shown


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": float("nan")}, {"timeout": 601}, {"retries": -1}, {"backoff": -1}]
)
def test_waits_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Api("http://127.0.0.1", **options)


def test_https_goes_to_whoever_the_certificate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1/status").write_bytes(as_json(STATUS))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext"]
    make += ["subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(make, capture_output=True, check=True, cwd=tmp_path)
    port = free_port()
    serve = ["openssl", "s_server", "-accept", str(port), "-key", "key.pem", "-cert", "cert.pem", "-HTTP"]
    with subprocess.Popen(serve, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            while server.stdout.readline() != b"ACCEPT\n":
                pass
            client = Api(f"https://localhost:{port}", MINE, retries=0)
            with pytest.raises(ApiFault, match="certificate verify failed"):
                client.status()
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            assert client.status().state == "RUNNING"
        finally:
            server.kill()


# --- anything at all ---

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def parrot() -> Iterator[Server]:
    with serving(b"") as server:
        yield server


@settings(max_examples=150)
@given(
    begin=st.sampled_from([b"", OK, OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"]),
    data=st.binary(max_size=200),
    call=st.sampled_from([Api.status, Api.alerts, Api.metrics, Api.toggle_emergency, Api.reload_owner_card]),
)
def test_any_bytes_of_a_server_end_in_a_value_or_a_fault(
    parrot: Server, begin: bytes, data: bytes, call: Callable[[Api], object]
) -> None:
    parrot.replies[:] = [begin + data]
    try:
        call(api(parrot, retries=0, timeout=5))
    except ApiFault as found:
        assert found.reason in REASONS
