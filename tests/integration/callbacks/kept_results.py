# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps what each task came to on each host, as lines of JSON in the file that KEPT_RESULTS names."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kept_results
type: notification
short_description: keeps results for a test
description: Writes a line for each result, with the host, the task's name, and the result.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """One line for each result of a task on a host that could be reached."""

    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = "kept_results"

    def v2_runner_on_ok(self, result: Any, failed: bool = False) -> None:
        """Keep it."""
        line = [result._host.get_name(), result._task.get_name(), {**result._result, "failed": failed}]
        with open(os.environ["KEPT_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keep it too."""
        self.v2_runner_on_ok(result, failed=True)
