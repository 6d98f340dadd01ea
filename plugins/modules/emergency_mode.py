#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: emergency_mode
short_description: Switch a station's emergency mode on or off
version_added: 1.0.0
description:
  - The station only offers a toggle. This reads the state, toggles at most once, and reads again until the
    state is steady, under the node's lock, so that two operators at once end in the state asked for last.
  - Somebody who toggles without the node's lock, such as the shell runbook, is noticed and repaired up to two
    times, with a warning. When the state cannot be had or cannot be known the task fails and says what was
    done.
  - A toggle whose answer was lost is looked after and never sent again.
  - Asks for the station's state only, so it works while the station's health is bad.
  - Emergency mode lives in the memory of the station's API, whose restart clears it.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - What emergency mode has to be.
      - Without quotes YAML takes C(on) and C(off) for booleans; that is understood as well.
    type: str
    choices: ["on", "off"]
    required: true
seealso:
  - module: vvtv.runbook.owner_card
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Broadcast the emergency programme
  vvtv.runbook.emergency_mode:
    root: /srv/vvtv
    state: "on"
    control_env_file: /etc/vvtv/control.env

- name: Go back to the regular programme, with secrets from the vault of Ansible
  vvtv.runbook.emergency_mode:
    root: /srv/vvtv
    state: "off"
    control_token: "{{ vault_control_token }}"
    control_secret: "{{ vault_control_secret }}"
"""

RETURN = r"""
actions:
  description:
    - What was done, or in check mode would be done, in order. For each toggle it says what was read before,
      what the station answered, and what was read afterwards.
  type: list
  elements: str
  returned: success
emergency:
  description: Whether emergency mode is on, or in check mode would be.
  type: bool
  returned: success
previous:
  description: Whether it was on before.
  type: bool
  returned: success
toggles:
  description: How many toggles were sent; more than one when somebody else toggled in between.
  type: int
  returned: success
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.emergency import bring_about
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    api = _argspec.api_from(params, signed=True)
    return bring_about(_argspec.node_at(params), api, params["state"] == "on", params["lock_timeout"], check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        "state": {"type": "str", "choices": ["on", "off"], "required": True},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
