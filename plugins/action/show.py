# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.show``: a table as plain lines, whatever callback is set."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..filter.table import MAX_WIDTH, table


class ActionModule(ActionBase):
    """Lays rows out and prints them."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the table; return its lines too."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _ignored, given = self.validate_argument_spec(
            argument_spec={
                "title": {"type": "str", "required": True},
                "rows": {"type": "list", "elements": "dict", "required": True},
                "columns": {"type": "list", "elements": "raw", "required": True},
                "none": {"type": "str", "default": "none"},
            }
        )
        lines = table(given["rows"], given["columns"], MAX_WIDTH) if given["rows"] else [given["none"]]
        display = Display()
        for line in ("", given["title"], *(f"  {line}" for line in lines)):
            display.display(line)
        result.update(changed=False, lines=lines)
        return result
