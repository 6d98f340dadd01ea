#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Freeze the plan of a rollout
version_added: 1.0.0
description:
  - Freezes under an id which hosts get a candidate (a release, an OwnerCard, or both), in which batches, and
    by which settings, and keeps that in the store of records on the controller.
  - A later run with the same id must want the same, or fails with the code V(plan_differs) and every
    difference. The files of the candidate are digested each time.
  - The rollout is then this run's until M(vvtv.runbook.rollout_close) gives it back, O(lease_seconds) are
    over, or its process is found dead on the same machine. Another run is refused and told whose it is.
extends_documentation_fragment:
  - vvtv.runbook._attributes
attributes:
  check_mode:
    support: full
    details: The plan is computed and compared; that another run has the rollout is a warning.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Without O(rollout) each run makes a new plan.
options:
  record_dir:
    description: The store of records, a folder on the controller. Must be absolute.
    type: path
    required: true
  rollout:
    description: The rollout's id; without it a new one is made of the present instant.
    type: str
  state:
    description:
      - V(frozen) freezes a plan, or compares the frozen one with what is asked for.
      - With V(existing) the plan must be there and holds whatever the other options say; a file of the
        candidate that changed, or cannot be read, is a warning, since a way back does not need it.
    type: str
    choices: [frozen, existing]
    default: frozen
  hosts:
    description:
      - Every host that is to get the candidate, in the order of their turns.
      - This and the options below that are left out are as they were frozen; a new plan needs it.
    type: list
    elements: str
  canaries:
    description: The hosts of the first batch, at least one, all of them among O(hosts).
    type: list
    elements: str
  baselines:
    description:
      - Hosts whose soak the canaries are compared with; none of them a canary. Those among O(hosts) get the
        candidate in their wave.
    type: list
    elements: str
  waves:
    description:
      - How many hosts have had their turn after each wave, not counting canaries, as a number or as a
        percentage, which is rounded down. Each wave has a host at least, and the last one must reach all.
      - For a new plan the default is C([1, "25%", "100%"]).
    type: list
    elements: raw
  release:
    description: The archive of the release, a file on the controller. Must be absolute.
    type: path
  release_id:
    description: The release's id; by default the archive's file name without its extensions.
    type: str
  card:
    description: The OwnerCard, a file on the controller; it must be valid. Must be absolute.
    type: path
  settings:
    description: Durations and policies to freeze with the plan.
    type: dict
  playbook:
    description: The playbook that the plan is made for, for who reads it.
    type: str
  lease_seconds:
    description: For how long the rollout is this run's, unless it goes on.
    type: float
    default: 21600.0
  break_glass:
    description: Why the rollout is taken from another run that is still alive.
    type: str
notes:
  - Runs on the controller alone, as the user who runs C(ansible-playbook); the host is not asked.
seealso:
  - module: vvtv.runbook.rollout_gate
  - module: vvtv.runbook.rollout_record
  - module: vvtv.runbook.rollout_close
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Freeze what goes where
  vvtv.runbook.rollout_plan:
    record_dir: /var/lib/vvtv/rollouts
    hosts: "{{ groups['vvtv'] }}"
    canaries: "{{ groups['vvtv_canary'] }}"
    release: /srv/releases/vvtv-1.4.0.tar.gz
    settings:
      soak_hours: 1
  register: planned
  run_once: true

- name: Take up a rollout that was begun
  vvtv.runbook.rollout_plan:
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    state: existing
  register: planned
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
plan:
  description: The plan that is frozen.
  type: dict
  returned: success
  contains:
    rollout:
      description: The rollout's id.
      type: str
    hosts:
      description: Every host that gets the candidate, the canaries first.
      type: list
      elements: str
    canaries:
      description: The first batch.
      type: list
      elements: str
    baselines:
      description: The hosts that the canaries are compared with.
      type: list
      elements: str
    waves:
      description: The batches after the canaries, each a list of hosts.
      type: list
      elements: list
    batches:
      description: All batches; C(batch) is V(canary), then V(1) and so on, C(hosts) are its hosts.
      type: list
      elements: dict
    candidate:
      description:
        - The candidate as C(release_id), C(release_sha256), C(release_path), C(card_sha256) and C(card_path).
      type: dict
    settings:
      description: What was frozen with it.
      type: dict
    sha256:
      description: The digest of all of it but where files lie and who made it.
      type: str
    created_at:
      description: When it was frozen.
      type: str
    by:
      description: Who froze it.
      type: str
    playbook:
      description: The playbook that it was made for.
      type: str
new:
  description: Whether the plan was made by this task.
  type: bool
  returned: success
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description: V(plan_differs), or V(busy) when another run has the rollout.
      type: str
    differences:
      description: Every difference, with V(plan_differs).
      type: list
      elements: str
"""
