# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.rollout_gate``, which has no other."""

from __future__ import annotations

from typing import Any

from ..module_utils._core.errors import BadInput
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout.gate import BATCH, PROMOTION, Ask, ask_batch, ask_promotion
from ..module_utils._core.rollout.store import LEASE_SECONDS, Store
from ..plugin_utils._controller import ControllerAction, this_run, who


class ActionModule(ControllerAction):
    """Tells from the store whether a rollout may go on."""

    SPEC = {
        "record_dir": {"type": "path", "required": True},
        "rollout": {"type": "str", "required": True},
        "gate": {"type": "str", "choices": [BATCH, PROMOTION], "default": BATCH},
        "host": {"type": "str"},
        "play_hosts": {"type": "list", "elements": "str", "required": True},
        "budget": {"type": "int", "default": 0},
        "wait": {"type": "bool", "default": True},
        "silent": {"type": "bool", "default": False},
        "max_age_hours": {"type": "float", "default": 24.0},
        "strict": {"type": "bool", "default": True},
        "health": {"type": "dict", "default": {}},
        "lease_seconds": {"type": "float", "default": LEASE_SECONDS},
    }

    def operate(self, given: dict[str, Any], check: bool, task_vars: dict[str, Any]) -> Outcome:
        """Ask."""
        if given["budget"] < 0:
            raise BadInput("budget must be 0 or more hosts")
        if not given["max_age_hours"] > 0:
            raise BadInput("max_age_hours must be above 0")
        store = Store.of(given["record_dir"], given["rollout"])
        names = (
            "play_hosts",
            "budget",
            "wait",
            "silent",
            "max_age_hours",
            "strict",
            "health",
            "lease_seconds",
        )
        ask = Ask(this_run(), by=who(task_vars), **{name: given[name] for name in names})
        if given["gate"] == PROMOTION:
            return ask_promotion(store, ask, check)
        return ask_batch(store, given["host"] or str(task_vars["inventory_hostname"]), ask, check)
