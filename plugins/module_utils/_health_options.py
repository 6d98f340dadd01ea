# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""From where on a node counts as sick: options that several modules share (fragment ``_health``)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ._core.health import FAIL_ON, QA_BASELINES, Thresholds
from ._core.health_check import scope_from, thresholds_from
from ._core.sample import Scope

__all__ = ["health_options", "scope_from", "thresholds_from"]

_LIMITS = Thresholds()
_SCOPE = Scope()


def health_options() -> dict[str, Any]:
    """Return the thresholds of health; the defaults are the engine's."""
    choices = {"qa_baseline": list(QA_BASELINES), "fail_on": list(FAIL_ON)}
    spec: dict[str, Any] = {}
    for name in (*(one.name for one in fields(Thresholds)), "discovery_window_hours", "qa_history_hours"):
        default = getattr(_LIMITS, name, None) if hasattr(_LIMITS, name) else getattr(_SCOPE, name)
        spec[name] = {"type": type(default).__name__, "default": default}
        if name in choices:
            spec[name]["choices"] = choices[name]
    return spec
