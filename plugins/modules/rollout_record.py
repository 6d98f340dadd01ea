#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_record
short_description: Record where a node is in a rollout, on the node and on the controller
version_added: 1.0.0
description:
  - Appends a transition to the record of the node and to that in the store on the controller, durably, or
    only reads both. A transition that may not follow is refused.
  - Bad news, and that a turn begins, are in the store before the node is told, so that a host which then
    cannot be reached is not forgotten. Good news are in the store when the node has them.
  - The store learns what the node did without it, such as going back by its guard. Where the store alone
    knows of something its word holds, with a warning, unless a turn was to begin and never did; the host is
    then V(PLANNED) again. A node that has lost its record is V(UNKNOWN) until another state is noted.
  - V(IN_PROGRESS) takes the node's lease, and keeps what was before for the way back.
  - V(PASSED), V(FAILED) and V(HELD) with a C(verdict) among O(facts) bring the soak's summary up to date;
    C(result.env) follows the record; V(PROMOTED) writes the node's promotion record and gives its lease back.
  - When a node's turn has ended, C(result.env) and the soak's summary are fetched into the store.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._rollout
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A lease with less than nine tenths of O(lease_seconds) before it is prolonged.
options:
  record_dir:
    description:
      - The store of records, a folder on the controller. Must be absolute.
      - Without it the node's record alone is read and written.
    type: path
  host:
    description: The host's name in the store; by default its name in the inventory.
    type: str
  state:
    description:
      - What to note; without it nothing is noted but what the store learns.
      - V(UNKNOWN) and V(PLANNED) are noted in the store only, and for V(UNKNOWN) the host is not asked.
    type: str
    choices:
      - PLANNED
      - IN_PROGRESS
      - SOAKING
      - PASSED
      - PROMOTED
      - FAILED
      - ROLLED_BACK
      - NEEDS_OPERATOR
      - HELD
      - UNKNOWN
  facts:
    description: What to note with it, such as C(reason), C(verdict), C(soak_sha256) or C(backup_path).
    type: dict
    default: {}
  candidate:
    description: What the rollout brings; needed when O(state=IN_PROGRESS) is noted for the first time.
    type: dict
    suboptions:
      release_id:
        description: The release's id.
        type: str
      release_sha256:
        description: The SHA-256 of the release's archive.
        type: str
      card_sha256:
        description: The SHA-256 of the OwnerCard.
        type: str
  restart:
    description: How the station is restarted, for the way back; with O(state=IN_PROGRESS).
    type: dict
    default: {}
    suboptions:
      units:
        description: The systemd units to restart.
        type: list
        elements: str
        default: []
      command:
        description: The command to run instead, its words; the first must be an absolute path.
        type: list
        elements: str
        default: []
  state_policy:
    description:
      - What a rollback does with state.db. V(with_release) restores the backup that was made before the
        change, V(keep) leaves it alone.
    type: str
    choices: [with_release, keep]
    default: with_release
  release_dir:
    description: The folder of the node's releases; relative paths are below O(root).
    type: path
    default: releases
  current:
    description: The link to the release in force; relative paths are below O(root).
    type: path
    default: current
  lease_seconds:
    description: For how long the rollout has the node for itself.
    type: float
    default: 86400.0
  break_glass:
    description: Why the node is taken from another rollout that has it, or the rollout from another run.
    type: str
  alerts:
    description: How many high and critical alerts there are, for the promotion record.
    type: int
    default: 0
  api_url:
    description: Where the station's control API listens, for the promotion record.
    type: str
    default: http://127.0.0.1:7070
  by:
    description: Who says so; by default who runs the playbook, or under AWX who launched the job.
    type: str
notes:
  - The store is written by the user who runs C(ansible-playbook), whatever C(become) says.
seealso:
  - module: vvtv.runbook.rollout_plan
  - module: vvtv.runbook.rollout_gate
  - module: vvtv.runbook.rollout_close
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: What is known of this host?
  vvtv.runbook.rollout_record:
    root: /srv/vvtv
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
  register: known

- name: Its turn begins
  vvtv.runbook.rollout_record:
    root: /srv/vvtv
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    state: IN_PROGRESS
    candidate:
      release_id: vvtv-1.4.0
      release_sha256: "{{ planned.plan.candidate.release_sha256 }}"
    restart:
      units: [vvtv-station.service]
  when: known.record.state is none

- name: It failed
  vvtv.runbook.rollout_record:
    root: /srv/vvtv
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    state: FAILED
    facts:
      reason: the station did not come up
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
record:
  description: What is known of the node in this rollout.
  type: dict
  returned: when it could be read
  contains:
    rollout:
      description: The rollout's id.
      type: str
    host:
      description: The host's name in the store.
      type: str
    state:
      description: The state that holds, by the store and the node together; none before the host's turn.
      type: str
    node_state:
      description: The state by the node's own record.
      type: str
    before:
      description: The state before this task.
      type: str
    begun:
      description: Whether the node keeps what was before, so that it can go back.
      type: bool
    entries:
      description: The node's own record, oldest first.
      type: list
      elements: dict
    facts:
      description: The newest word of each fact.
      type: dict
    verdict:
      description: The newest verdict.
      type: dict
    reason:
      description: Why it is in its state.
      type: str
    lease:
      description: Who has the node, and until when.
      type: dict
    evidence:
      description: The texts of C(result.env) and C(soak/summary.txt), when there is no O(record_dir).
      type: dict
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description: V(out_of_turn) for a state that may not follow, V(busy) when somebody else has the node.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core import control_api, releases
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout import begun, states, turn

SPEC: dict[str, Any] = {
    **_argspec.node_options(),
    **_argspec.rollout_options(),
    "record_dir": {"type": "path"},
    "host": {"type": "str"},
    "state": {"type": "str", "choices": list(states.STATES)},
    "facts": {"type": "dict", "default": {}},
    "candidate": {
        "type": "dict",
        "options": {
            "release_id": {"type": "str"},
            "release_sha256": {"type": "str"},
            "card_sha256": {"type": "str"},
        },
    },
    "restart": {
        "type": "dict",
        "default": {},
        "options": {
            "units": {"type": "list", "elements": "str", "default": []},
            "command": {"type": "list", "elements": "str", "default": []},
        },
    },
    "state_policy": {
        "type": "str",
        "choices": list(begun.STATE_POLICIES),
        "default": begun.STATE_POLICIES[0],
    },
    "release_dir": {"type": "path", "default": releases.RELEASE_DIR},
    "current": {"type": "path", "default": releases.CURRENT},
    "lease_seconds": {"type": "float", "default": turn.NODE_LEASE_SECONDS},
    "break_glass": {"type": "str"},
    "alerts": {"type": "int", "default": 0},
    "api_url": {"type": "str", "default": control_api.DEFAULT_URL},
    "by": {"type": "str"},
}


def turn_of(params: dict[str, Any]) -> turn.Turn:
    """Return the transition that the options name."""
    candidate, restart = None, begun.Restart()
    if params["candidate"] is not None:
        candidate, restart = begun.of_options(params["candidate"], params["restart"])
    names = ("facts", "state_policy", "release_dir", "current", "lease_seconds", "alerts", "api_url")
    return turn.Turn(
        params["state"] or None,
        by=params["by"] or None,
        candidate=candidate,
        restart=restart,
        break_glass=params["break_glass"] or None,
        timeout=params["lock_timeout"],
        **{name: params[name] for name in names},
    )


def operate(params: dict[str, Any], check: bool) -> Outcome:
    return turn.take(_argspec.rollout_at(params), turn_of(params), check)


def main() -> None:
    _adapter.run(SPEC, operate)


if __name__ == "__main__":
    main()
