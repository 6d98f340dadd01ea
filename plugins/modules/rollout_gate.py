#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_gate
short_description: Ask whether a rollout may go on
version_added: 1.0.0
description:
  - Decides from the store of records, over the whole fleet, whether a host's turn may begin (O(gate=batch))
    or the candidate be promoted (O(gate=promotion)). What is missing there keeps the gate closed.
  - The gate is closed while a file C(STOP) lies in O(record_dir) or in the rollout's folder there, for the
    reason that it holds; while a host needs an operator; when this run does not have the rollout; when more
    hosts than O(budget) are bad; and when hosts of the plan whose turn is still to come are missing from
    O(play_hosts).
  - With O(gate=batch) hosts of earlier batches that never ended their turn are noted as V(UNKNOWN), and
    waves need the candidate's promotion. A host's own state does not close its own gate.
  - With O(gate=promotion) all canaries must have passed; their evidence must be in the store, unchanged, of
    this candidate, of this rollout, and not older than O(max_age_hours); it must not have promoted another
    rollout; and O(health) must say that each of them is well now. The decision is kept in the store. One
    that was granted holds for O(max_age_hours), so that a run that was killed can go on.
extends_documentation_fragment:
  - vvtv.runbook._attributes
attributes:
  check_mode:
    support: full
    details: Does not ask whether this run has the rollout.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  record_dir:
    description: The store of records, a folder on the controller. Must be absolute.
    type: path
    required: true
  rollout:
    description: The rollout's id.
    type: str
    required: true
  gate:
    description: What is asked for.
    type: str
    choices: [batch, promotion]
    default: batch
  host:
    description: The host whose turn is to begin; by default its name in the inventory.
    type: str
  play_hosts:
    description: All hosts of the play, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  budget:
    description: How many hosts of the whole fleet may be bad.
    type: int
    default: 0
  wait:
    description:
      - Whether the run waits for soaks to end. If not, a host of an earlier batch that still soaks was not
        lost; RV(gate.proceed) is then false, and the task does not fail.
    type: bool
    default: true
  silent:
    description:
      - Whether the host does not answer. It is then noted as V(UNKNOWN) and counts against O(budget). If the
        budget allows it RV(gate.proceed) is false, and the task does not fail.
    type: bool
    default: false
  max_age_hours:
    description: How old evidence may be.
    type: float
    default: 24.0
  strict:
    description: Whether the task fails when a promotion is blocked.
    type: bool
    default: true
  health:
    description: How each canary is now, by its name, as M(vvtv.runbook.node_health) returns it in C(health).
    type: dict
    default: {}
  lease_seconds:
    description: For how long the rollout is this run's from now on, once less than half of that is left.
    type: float
    default: 21600.0
notes:
  - Runs on the controller alone, as the user who runs C(ansible-playbook); the host is not asked.
seealso:
  - module: vvtv.runbook.rollout_plan
  - module: vvtv.runbook.rollout_record
  - module: vvtv.runbook.node_health
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: The rollout may go on, and it is this host's turn
  vvtv.runbook.rollout_gate:
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    play_hosts: "{{ ansible_play_hosts_all }}"

- name: The evidence holds
  vvtv.runbook.rollout_gate:
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    gate: promotion
    play_hosts: "{{ ansible_play_hosts_all }}"
    health:
      tv-node1: "{{ hostvars['tv-node1'].seen.health }}"
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
gate:
  description: The answer.
  type: dict
  returned: when the plan could be read
  contains:
    proceed:
      description: Whether to go on.
      type: bool
    reasons:
      description: Why not, each with C(code), C(reason) and C(host).
      type: list
      elements: dict
    states:
      description: The state of every host.
      type: dict
    budget:
      description: How many hosts may be bad.
      type: int
    bad:
      description: The hosts that are.
      type: list
      elements: str
promotion:
  description: The decision that the store keeps.
  type: dict
  returned: with O(gate=promotion)
  contains:
    status:
      description: V(PROMOTED) or V(BLOCKED).
      type: str
    at:
      description: When it was made.
      type: str
    by:
      description: Who asked.
      type: str
    candidate:
      description: The candidate.
      type: dict
    evidence:
      description: The SHA-256 of each canary's soak log.
      type: dict
    alerts:
      description: How many high and critical findings and alerts there were.
      type: int
    reasons:
      description: Why it is blocked.
      type: list
      elements: dict
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description: V(gate_closed) when the rollout may not go on.
      type: str
    reasons:
      description: Why not.
      type: list
      elements: dict
"""
