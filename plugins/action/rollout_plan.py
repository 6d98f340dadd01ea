# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.rollout_plan``, which has no other."""

from __future__ import annotations

from typing import Any

from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout.planning import Planner, Wanted, make_plan
from ..module_utils._core.rollout.store import LEASE_SECONDS
from ..plugin_utils._controller import ControllerAction, this_run, who


class ActionModule(ControllerAction):
    """Freezes the plan of a rollout, or takes up the one that was frozen."""

    SPEC = {
        "record_dir": {"type": "path", "required": True},
        "rollout": {"type": "str"},
        "state": {"type": "str", "choices": ["frozen", "existing"], "default": "frozen"},
        "hosts": {"type": "list", "elements": "str"},
        "canaries": {"type": "list", "elements": "str"},
        "baselines": {"type": "list", "elements": "str"},
        "waves": {"type": "list", "elements": "raw"},
        "release": {"type": "path"},
        "release_id": {"type": "str"},
        "card": {"type": "path"},
        "settings": {"type": "dict"},
        "playbook": {"type": "str"},
        "lease_seconds": {"type": "float", "default": LEASE_SECONDS},
        "break_glass": {"type": "str"},
    }

    def operate(self, given: dict[str, Any], check: bool, task_vars: dict[str, Any]) -> Outcome:
        """Plan."""
        names = [name for name in self.SPEC if name in Wanted.__dataclass_fields__]
        wanted = Wanted(existing=given["state"] == "existing", **{name: given[name] for name in names})
        planner = Planner(this_run(), given["lease_seconds"], given["break_glass"], who(task_vars))
        return make_plan(given["record_dir"], given["rollout"], wanted, planner, check)
