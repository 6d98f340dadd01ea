# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""What the rollout's actions on the controller have in common: options in, an engine's outcome out."""

from __future__ import annotations

import os
import socket
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._core.errors import RunbookError
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.probes import one_line
from ..module_utils._core.rollout import record
from ..module_utils._core.rollout.runs import Run


def this_run() -> Run:
    """Return the run that this task belongs to: each task is a child of the process ``ansible-playbook``."""
    return Run.of(os.getppid())


def who(task_vars: dict[str, Any]) -> str:
    """Return who runs this: under AWX the user who launched the job, with its number."""
    job, user = task_vars.get("awx_job_id"), task_vars.get("awx_user_name")
    if job is None:
        return record.who()
    return one_line(f"{user or 'awx'}@{socket.gethostname()} (job {job})", record.MAX_WHO)


class ControllerAction(ActionBase):
    """An action that runs on the controller alone; ``SPEC`` are its options."""

    TRANSFERS_FILES = False
    _requires_connection = False
    SPEC: dict[str, Any] = {}

    def operate(self, given: dict[str, Any], check: bool, task_vars: dict[str, Any]) -> Outcome:
        """Do it; an option that is an empty text is given as ``None``."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Operate, and return the outcome or the engine's error as a module does."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, found = self.validate_argument_spec(argument_spec=self.SPEC)
        given = {name: None if value == "" else value for name, value in found.items()}
        try:
            outcome = self.operate(given, self._task.check_mode, task_vars or {})
        except RunbookError as exc:
            result.update(failed=True, changed=False, msg=str(exc), error=exc.result(), **exc.facts)
            return result
        if outcome.warnings:
            result["warnings"] = [*result.get("warnings", []), *outcome.warnings]
        result.update(changed=outcome.changed, actions=outcome.actions, **outcome.facts)
        return result
