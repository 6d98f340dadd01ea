# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that shows a node's answer as it is, also the bad ones."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulator import auth, fleet


@dataclass(frozen=True)
class Reply:
    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    node: fleet.Node,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 5.0,
) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers.get_content_type(), answer.read())
    finally:
        connection.close()


def post(node: fleet.Node, path: str, body: bytes | None = None) -> Reply:
    headers = auth.signed_headers(node.credentials, "POST", path, int(time.time()))
    return call(node, path, "POST", headers, body)


def gauges_of(node: fleet.Node) -> dict[str, float]:
    lines = call(node, "/metrics").body.decode().splitlines()
    pairs = (line.split() for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def codes_of(node: fleet.Node) -> set[str]:
    return {alert["code"] for alert in call(node, "/v1/alerts").json["alerts"]}
