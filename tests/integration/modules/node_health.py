# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the module node_health, and the API itself by another client than ours."""

from __future__ import annotations

import urllib.request
from typing import Any

from tests.integration import helpers
from tests.simulator import fleet


def look(node: fleet.Node, **params: Any) -> dict[str, Any]:
    """Run the module on a node; whether it fails is the caller's to say."""
    wishes: dict[str, Any] = {"api_url": node.url, "api_timeout": 5, **params}
    return helpers.module("node_health", root=node.root, **wishes)


def sick(node: fleet.Node, **params: Any) -> dict[str, dict[str, Any]]:
    """Run the module on a node that must not be healthy; return its findings by code."""
    result = look(node, **params)
    assert result.get("failed"), result
    assert result["error"]["code"] == "unhealthy"
    assert not result["health"]["healthy"]
    found = result["health"]["findings"]
    assert found[0]["code"] in result["msg"]
    assert "\n" not in result["msg"]
    assert "the node is not healthy" in result["msg"]
    assert str(node.root) in result["msg"]
    return {finding["code"]: finding for finding in found}


def asked(node: fleet.Node, path: str) -> str:
    """What the API says, by another client than ours."""
    with urllib.request.urlopen(f"{node.url}{path}") as answer:  # noqa: S310  # the loopback
        assert answer.status == 200
        return str(answer.read().decode())
