# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that answers with exactly the bytes a test wants, also such as no HTTP library would send.

With it: good answers of a station to spoil, and a client that does not wait long.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Union

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import (
    GAUGES,
    REASONS,
    Api,
    ApiFault,
    Credentials,
)

Reply = Union[bytes, Callable[[socket.socket], None]]

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4"
TOKEN, SECRET = "token-marker-T1", "secret marker S2"
MINE = Credentials(TOKEN, SECRET)
STATUS = {"state": "RUNNING", "buffer_minutes": 60, "timestamp": "2026-01-31T23:59:59.123456789+00:00"}
ALERT = {"code": "BUFFER_CRITICAL", "severity": "critical", "message": "buffer is down to 5 minutes"}
METRICS = "".join(
    f"# TYPE vvtv_{name} gauge\nvvtv_{name} {number / 10}\n" for number, name in enumerate(GAUGES)
)


def answer(body: bytes, status: str = "200 OK", kind: str = JSON, **headers: str) -> bytes:
    """Return a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_json(value: Any, status: str = "200 OK") -> bytes:
    """Return the answer that is a JSON document."""
    return answer(json.dumps(value).encode(), status)


def hang(_connection: socket.socket) -> None:
    """Answer nothing for longer than any test waits; the end of the connection ends it."""
    with contextlib.suppress(OSError):
        _connection.recv(1)


def trickle(data: bytes, pause: float) -> Reply:
    """Send ``data`` byte by byte."""

    def send(connection: socket.socket) -> None:
        for number in range(len(data)):
            connection.sendall(data[number : number + 1])
            time.sleep(pause)

    return send


class Server:
    """What it answers (the last reply again and again), and what it was asked."""

    def __init__(self, replies: list[Reply], listener: socket.socket) -> None:
        self.replies = replies
        self.requests: list[bytes] = []
        self.sent = 0
        self._listener = listener

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer one connection after the other until the listener is shut."""
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                # A client that hangs up early, as it should here, is no event.
                with contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return
            request += data
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if callable(reply):
            reply(connection)
            return
        for start in range(0, len(reply), 65536):
            connection.sendall(reply[start : start + 65536])
            self.sent += len(reply[start : start + 65536])


@contextlib.contextmanager
def serving(*replies: Reply) -> Iterator[Server]:
    """Serve on a free port of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(list(replies), listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


def api(server: Server, **options: Any) -> Api:
    """A client that does not wait long."""
    return Api(server.url, **{"credentials": MINE, "timeout": 0.5, "backoff": 0.01, **options})


def fault(call: Callable[[Api], object], *replies: Reply, **options: Any) -> ApiFault:
    """The fault that a call ends in when the server answers so."""
    with serving(*replies) as server, pytest.raises(ApiFault) as caught:
        call(api(server, **options))
    assert caught.value.reason in REASONS
    assert str(caught.value).startswith("http://127.0.0.1:")
    return caught.value
