# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP around the station's answers, and the faults that spoil them."""

from __future__ import annotations

import errno
import os
import random
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable
from urllib.parse import urlsplit

from . import spoiled, station
from .faults import Control
from .spoiled import holds

HOST = "127.0.0.1"
CRASH_EXIT_CODE = 70
#: A node that may choose its port takes one of these.
PORTS = range(10_000, 30_000)
PORT_ATTEMPTS = 100
MAX_BODY_BYTES = 64 * 1024
IDLE_SECONDS = 30
_PADDING = b" " * 65536
_POLL_SECONDS = 0.02


class ApiServer(ThreadingHTTPServer):
    """The node's API on the loopback; ``port`` 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, answers: station.Station, control: Callable[[], Control]) -> None:
        self.answers = answers
        self.control = control
        self.stopping = threading.Event()
        self.listens = False
        super().__init__((HOST, port), Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except BaseException:
            self.server_close()
            raise

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for our name, which can take seconds.
        wanted = self.server_address[1]
        for left in reversed(range(PORT_ATTEMPTS)):
            # Not one of those that the kernel lends to callers: a node that is restarted wants its port back.
            self.server_address = (HOST, wanted or random.choice(PORTS))  # noqa: S311  # no secret
            try:
                socketserver.TCPServer.server_bind(self)
                break
            except OSError as error:
                if wanted or not left or error.errno != errno.EADDRINUSE:
                    raise
        self.server_name, self.server_port = HOST, self.port

    def listen(self) -> None:
        """Serve from now on; before that the port is ours and callers are refused."""
        self.server_activate()
        self.listens = True
        threading.Thread(target=self.serve_forever, args=(0.05,), name="api", daemon=True).start()

    def close(self) -> None:
        self.stopping.set()
        if self.listens:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hangs up in the middle is no event for a station."""


class Handler(BaseHTTPRequestHandler):
    """One connection of one caller."""

    protocol_version = "HTTP/1.1"
    server_version = "vvtv-simulator"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: ApiServer

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """No access log: the polls of a soak would fill the disk."""

    def _handle(self) -> None:
        path = urlsplit(self.path).path
        faults = self.server.control().faults
        self._drop_body()
        if holds(faults.crash, path):
            os._exit(CRASH_EXIT_CODE)
        if faults.hang is not None and faults.hang.applies(path):
            self._wait(faults.hang.amount)
            self.close_connection = True  # no answer at all
            return
        if faults.slow is not None and faults.slow.applies(path):
            self._wait(faults.slow.amount)
        answer = spoiled.instead(faults, path)
        if answer is None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = spoiled.numbers(
                faults, path, self.server.answers.answer(self.command, self.path, headers)
            )
        padding = int(faults.huge.amount) if faults.huge is not None and faults.huge.applies(path) else 0
        if faults.trickle is not None and faults.trickle.applies(path):
            self._trickle(answer, faults.trickle.amount)
        else:
            self._send(answer, padding)

    def _drop_body(self) -> None:
        """Read and forget what the caller sent: the station's signature is over an empty body."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return
        self.rfile.read(int(length))

    def _wait(self, seconds: float) -> None:
        """Wait out a fault; it ends early when the node stops or the faults change."""
        deadline, turn = time.monotonic() + seconds, self.server.control().turn
        while time.monotonic() < deadline and self.server.control().turn == turn:
            if self.server.stopping.wait(_POLL_SECONDS):
                return

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` header tells the same clock as the station's answers."""
        return super().date_time_string(
            self.server.answers.clock_ns() / 1e9 if timestamp is None else timestamp
        )

    def _trickle(self, answer: station.Answer, pause: float) -> None:
        """Send the body byte by byte; when the faults change the rest is never sent."""
        turn = self.server.control().turn
        self._send_head(answer, len(answer.body))
        for number in range(len(answer.body)):
            self.wfile.write(answer.body[number : number + 1])
            self._wait(pause)
            if self.server.stopping.is_set() or self.server.control().turn != turn:
                self.close_connection = True
                return

    def _send(self, answer: station.Answer, at_least: int) -> None:
        """Send the answer; blanks after it, which JSON allows, make it ``at_least`` so many bytes long."""
        padding = max(0, at_least - len(answer.body))
        self._send_head(answer, len(answer.body) + padding)
        self.wfile.write(answer.body)
        while padding > 0:
            self.wfile.write(_PADDING[:padding])
            padding -= len(_PADDING)

    def _send_head(self, answer: station.Answer, length: int) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(length))
        if 300 <= answer.status < 400:
            self.send_header("Location", "/v1/status")
        self.end_headers()
