#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_guard
short_description: Let a node go back by itself unless a rollout is confirmed in time
version_added: 1.0.0
description:
  - A release can cut a node off from whoever would take it back. A guard is a timer on the node itself; when
    nobody has confirmed the rollout by its deadline it takes the node back as M(vvtv.runbook.rollback) does,
    with the bastion gone and after a restart of the machine too.
  - It is a service and a timer of systemd, C(vvtv-rollback-ID), that run the node's command. They are removed
    when the guard is confirmed or disarmed, and after the rollback.
  - Confirming and firing exclude each other. Whichever comes first is in the rollout's record on the node,
    and the other one does nothing.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
  - vvtv.runbook._rollout
  - vvtv.runbook._recovery
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(armed) waits from now on; the rollout must have begun on the node.
      - V(confirmed) ends it since the rollout has passed, and fails when the guard has fired.
      - V(disarmed) ends it for any other reason.
      - V(possible) only asks whether there can be one on this node, for a rollout that need not have begun.
    type: str
    choices: [possible, armed, confirmed, disarmed]
    required: true
  deadline:
    description: In how many seconds it fires, 30 days at most. Needed with O(state=armed).
    type: float
  extend:
    description:
      - Whether a guard that is armed already gets a later instant. Otherwise it keeps the one that it has; an
        earlier one it never gets.
    type: bool
    default: false
  required:
    description: Whether it is an error when the node does not run systemd or lacks O(command).
    type: bool
    default: false
  command:
    description: The node's command, which the role C(vvtv.runbook.node) installs. Must be absolute.
    type: path
    default: /usr/local/bin/vvtv-runbook
  wait_timeout:
    description: How many seconds the node may take to be healthy after the rollback.
    type: float
    default: 120.0
notes:
  - The guard has the token and the secret of the station from O(control_env_file) only; O(control_token) and
    O(control_secret) are not written down. Without them it cannot put emergency mode on again.
  - Needs root, where it can be armed at all.
seealso:
  - module: vvtv.runbook.rollback
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Two hours for the rollout
  vvtv.runbook.rollback_guard:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    state: armed
    deadline: 7200
    control_env_file: /etc/vvtv/control.env

- name: Would there be one?
  vvtv.runbook.rollback_guard:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    state: possible
  register: asked

- name: It has passed
  vvtv.runbook.rollback_guard:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    state: confirmed
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
guard:
  description: The guard.
  type: dict
  returned: always
  contains:
    available:
      description: Whether there is one, or can be.
      type: bool
    armed:
      description: Whether it waits.
      type: bool
    fires_at:
      description: When it fires, or was to fire (RFC 3339).
      type: str
    armed_at:
      description: When it was armed; none if it never was.
      type: str
    confirmed_at:
      description: When it was confirmed, if it was.
      type: str
    disarmed_at:
      description: When it was disarmed, if it was.
      type: str
    fired:
      description: Whether it has fired.
      type: bool
    fired_at:
      description: When it fired, if it did.
      type: str
    why:
      description: Why there is none, if there is none.
      type: str
record:
  description: The C(state) of the node in the rollout.
  type: dict
  returned: always
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description:
        - V(guard_fired) when it has fired or is firing.
        - V(unsupported) when there can be none and O(required) is set.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.errors import require_absolute
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout import begun, guard


def operate(params: dict[str, Any], check: bool) -> Outcome:
    folder = _argspec.rollout_at(params)
    given = params["control_env_file"]
    api = _argspec.api_from(params)  # says what is wrong with its options
    options = {
        "lock_timeout": params["lock_timeout"],
        "api_url": api.url,
        "api_timeout": params["api_timeout"],
        "control_env_file": given and str(require_absolute(given, "control_env_file")),
        "env": params["env"],
        "wait_timeout": params["wait_timeout"],
        "recovery_recipients": _argspec.recovery(params),
    }
    request = guard.Request(
        params["state"],
        params["deadline"],
        params["extend"],
        params["required"],
        params["command"],
        guard.options_of(folder, options),
        params["lock_timeout"],
    )
    return guard.bring_about(folder, request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        **_argspec.rollout_options(),
        **_argspec.recovery_options(),
        "state": {"type": "str", "choices": list(guard.STATES), "required": True},
        "deadline": {"type": "float"},
        "extend": {"type": "bool", "default": False},
        "required": {"type": "bool", "default": False},
        "command": {"type": "path", "default": guard.COMMAND},
        "wait_timeout": {"type": "float", "default": begun.WAIT_SECONDS},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
