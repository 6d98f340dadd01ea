# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""The only place that knows AnsibleModule: an engine's operation in, a module's result out."""

from __future__ import annotations

import math
from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ._core.errors import BadInput, RunbookError
from ._core.outcome import Outcome

Operation = Callable[[dict[str, Any], bool], Outcome]


def run(argument_spec: dict[str, Any], operation: Operation) -> NoReturn:
    """Run ``operation`` with the module's parameters and whether it is check mode; exit with its outcome."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True)
    try:
        if not 0 <= module.params["lock_timeout"] < math.inf:
            raise BadInput("lock_timeout must be 0 or more seconds")
        outcome = operation(module.params, module.check_mode)
    except RunbookError as exc:
        module.fail_json(msg=str(exc), error=exc.result(), **exc.facts)
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(changed=outcome.changed, actions=outcome.actions, diff=outcome.diff, **outcome.facts)
