# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.rollout_close``, which has no other."""

from __future__ import annotations

from typing import Any

from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout.closing import PARTS, close
from ..module_utils._core.rollout.store import Store
from ..plugin_utils._controller import ControllerAction, this_run, who


class ActionModule(ControllerAction):
    """Ends a run: what it lost is unknown from then on."""

    SPEC = {
        "record_dir": {"type": "path", "required": True},
        "rollout": {"type": "str", "required": True},
        "answered": {"type": "list", "elements": "str", "required": True},
        "budget": {"type": "int", "default": 0},
        "playbook": {"type": "str", "choices": list(PARTS)},
    }

    def operate(self, given: dict[str, Any], check: bool, task_vars: dict[str, Any]) -> Outcome:
        """Close."""
        store = Store.of(given["record_dir"], given["rollout"])
        return close(
            store, given["answered"], this_run(), given["budget"], given["playbook"], who(task_vars), check
        )
