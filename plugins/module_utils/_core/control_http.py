# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request to the control API and its answer: bounded in time and size, whatever the other side does.

A socket's own timeout starts anew with each byte that arrives; here every read is given what is left of one
deadline, so that a server that trickles cannot outlive it. Redirects are not followed and the proxies of the
environment are not asked: the API listens on the loopback.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from .errors import BadInput, RunbookError

MAX_BYTES = 1 << 20
REASONS = (
    "refused",
    "timeout",
    "unreachable",
    "http_status",
    "not_json",
    "not_text",
    "missing_field",
    "wrong_type",
    "bad_value",
    "too_large",
    "clock_skew",
    "unauthorized",
)

_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)


class ApiFault(RunbookError):
    """The control API gave no answer, or none that can be believed.

    ``reason`` is one of :data:`REASONS`, ``status`` the HTTP code if there was one, ``skew`` by how many
    seconds this clock is ahead of the API's where that is what is wrong; the path is the URL asked.
    """

    code: ClassVar[str] = "api"

    def __init__(
        self,
        reason: str,
        msg: str,
        url: str,
        *,
        status: int | None = None,
        hint: str | None = None,
        skew: float | None = None,
    ) -> None:
        super().__init__(msg, path=url, hint=hint)
        self.reason = reason
        self.status = status
        self.skew = skew

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with ``reason`` and ``status``."""
        return {**super().result(), "reason": self.reason, "status": self.status, "skew_seconds": self.skew}


@dataclass(frozen=True)
class Endpoint:
    """Where an API listens."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Return what ``url`` names; raise :class:`BadInput` unless it is scheme, host and port alone.

        Plain HTTP goes to the loopback only: a token would travel in clear text.
        """
        if not _PRINTABLE.fullmatch(url):
            raise BadInput("api_url must be a URL like http://127.0.0.1:7070, without blanks")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise BadInput(f"api_url is no URL: {exc}") from exc
        if "@" in parts.netloc:
            raise BadInput("api_url may hold no user and no password", hint="use control_token")
        if parts.scheme not in ("http", "https") or not host or port == 0:
            raise BadInput(f"api_url must be like http://127.0.0.1:7070, not {url[:80]!r}")
        if parts.path not in ("", "/") or "?" in url or "#" in url:
            raise BadInput(f"api_url may hold no path, query or fragment: {url[:80]!r}")
        if parts.scheme == "http" and not _is_loopback(host):
            raise BadInput(
                f"api_url would send the token in clear text to {host}",
                hint="run the task on the node and use its loopback address, or use https",
            )
        return cls(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))

    def url(self, path: str) -> str:
        """Return the URL of a path, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{path}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Answer:
    """What came back: ``status`` is the HTTP code, ``date`` the header that says the API's clock."""

    status: int
    body: bytes
    date: str | None


def exchange(
    endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], seconds: float
) -> Answer:
    """Send one request without a body and return its answer, all within ``seconds``.

    Only asking a name service for a host that is no address is not bounded. Raise :class:`ApiFault`
    ``refused``, ``timeout``, ``unreachable`` (not found, broke off, no HTTP) or ``too_large``.
    """
    url, deadline = endpoint.url(path), time.monotonic() + seconds
    try:
        with closing(_opened(endpoint, deadline)) as plain:
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
            connection.sock = _Timed(plain, deadline)
            connection.request(method, path, headers={**headers, "Connection": "close"})
            with connection.getresponse() as response:
                return _whole(response, url)
    except ConnectionRefusedError as exc:
        raise ApiFault(
            "refused", "nobody listens there", url, hint="check that the station runs, and api_url"
        ) from exc
    except socket.timeout as exc:  # TimeoutError only since Python 3.10
        raise ApiFault(
            "timeout",
            f"gave no whole answer within {round(seconds, 1):g} s",
            url,
            hint="look at the station's log, or raise api_timeout",
        ) from exc
    except OSError as exc:
        raise ApiFault("unreachable", f"cannot be asked: {exc.strerror or exc}", url) from exc
    except http.client.HTTPException as exc:
        raise ApiFault(
            "unreachable",
            f"broke off or does not speak HTTP ({type(exc).__name__})",
            url,
            hint="check that api_url is the station's",
        ) from None  # it quotes what was sent, which may be an echo of the token


def _opened(endpoint: Endpoint, deadline: float) -> socket.socket:
    plain = socket.create_connection((endpoint.host, endpoint.port), _left(deadline))
    if endpoint.scheme == "http":
        return plain
    try:
        plain.settimeout(_left(deadline))
        return ssl.create_default_context().wrap_socket(plain, server_hostname=endpoint.host)
    except BaseException:
        plain.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("the deadline has passed")
    return left


class _Timed:
    """A socket as :mod:`http.client` uses it, with every call under one deadline."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain = plain
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(_left(self._deadline))
        self._plain.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._plain, self._deadline))

    def close(self) -> None:
        """Leave it open: http.client closes its socket as soon as an answer says that it is the last one."""


class _TimedReader(io.RawIOBase):
    def __init__(self, plain: socket.socket, deadline: float) -> None:
        super().__init__()
        self._plain = plain
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._plain.settimeout(_left(self._deadline))
        return self._plain.recv_into(buffer)


def _whole(response: http.client.HTTPResponse, url: str) -> Answer:
    announced = response.length
    body = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ApiFault(
            "too_large",
            f"answered more than {MAX_BYTES} bytes",
            url,
            status=response.status,
            hint="check that api_url is the station's",
        )
    # http.client is silent about an answer that ends before its announced length.
    if announced is not None and len(body) < announced:
        raise http.client.IncompleteRead(body, announced - len(body))
    return Answer(response.status, body, response.getheader("Date"))
