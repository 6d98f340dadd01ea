# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""How a soak is judged: options of the module soak (fragment ``_soak``)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ._core.soak.limits import NO_CYCLE, Limits, limits_of

_DEFAULTS = Limits()


def limits_options() -> dict[str, Any]:
    """Return the limits of a soak; the defaults are the engine's."""
    return {
        "min_samples": {"type": "int", "default": _DEFAULTS.min_samples},
        "min_coverage": {"type": "float", "default": _DEFAULTS.min_coverage},
        "no_cycle": {"type": "str", "choices": list(NO_CYCLE), "default": _DEFAULTS.no_cycle},
        "max_failures": {"type": "int", "default": _DEFAULTS.max_failures},
        "max_consecutive_failures": {"type": "int"},
        "max_errors": {"type": "int", "default": _DEFAULTS.max_errors},
        "max_consecutive_errors": {"type": "int", "default": _DEFAULTS.max_consecutive_errors},
        "slo_target": {"type": "float", "default": _DEFAULTS.slo_target},
        "checks": {"type": "dict", "default": {}},
    }


def limits_from(params: dict[str, Any]) -> Limits:
    """Return the limits that a module's parameters name."""
    return limits_of({one.name: params[one.name] for one in fields(Limits)})
