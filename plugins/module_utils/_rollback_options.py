# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""How a node is taken back: options of the rollback."""

from __future__ import annotations

from typing import Any

from . import _argspec, _health_options
from ._core import station
from ._core.control_api import Api
from ._core.errors import RunbookError
from ._core.rollout import begun, rollback


def rollback_options() -> dict[str, Any]:
    """Return the options of a rollback beside those of the node, its API, the rollout, and health."""
    return {
        "reason": {"type": "str", "default": rollback.REASON},
        "wait_timeout": {"type": "float", "default": begun.WAIT_SECONDS},
        "restart_timeout": {"type": "float", "default": station.SECONDS},
        "release_dir": {"type": "path"},
        "current": {"type": "path"},
    }


def request_from(params: dict[str, Any]) -> rollback.Request:
    """Return the rollback that a module's parameters name."""
    return rollback.Request(
        params["reason"],
        timeout=params["lock_timeout"],
        wait_timeout=params["wait_timeout"],
        thresholds=_health_options.thresholds_from(params),
        scope=_health_options.scope_from(params),
        recovery=_argspec.recovery(params),
        release_dir=params["release_dir"],
        current=params["current"],
        restart_seconds=params["restart_timeout"],
    )


def api_from(params: dict[str, Any]) -> tuple[Api, list[str]]:
    """Return the station's API, signed if it can be, and warnings: the way back does not depend on it."""
    try:
        return _argspec.api_from(params, signed=True), []
    except RunbookError as exc:
        told = f"the station can be given no command, such as to put emergency mode on again: {exc}"
        return _argspec.api_from(params), [told]
