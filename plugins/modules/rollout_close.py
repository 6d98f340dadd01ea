#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_close
short_description: End a run of a rollout and account for every host
version_added: 1.0.0
description:
  - Notes as V(UNKNOWN) every host that is still V(IN_PROGRESS), V(SOAKING) or V(FAILED) and did not end its
    turn in this run; gives the rollout back; tells what it has come to and what to do next.
  - While another run has the rollout nothing is noted.
extends_documentation_fragment:
  - vvtv.runbook._attributes
attributes:
  check_mode:
    support: full
    details: What the rollout has come to is told as it is.
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
  answered:
    description: The hosts that ended their turn in this run.
    type: list
    elements: str
    required: true
  budget:
    description: How many hosts of the whole fleet may be bad.
    type: int
    default: 0
  playbook:
    description:
      - What the run was for. After V(rollback) and V(reconcile) a host that went back is as it should be.
    type: str
    choices: [canary, wave, rollback, reconcile]
notes:
  - Runs on the controller alone, as the user who runs C(ansible-playbook); the host is not asked.
seealso:
  - module: vvtv.runbook.rollout_plan
  - module: vvtv.runbook.rollout_info
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Account for every host
  vvtv.runbook.rollout_close:
    record_dir: /var/lib/vvtv/rollouts
    rollout: 20260131T235959Z
    answered: "{{ ansible_play_hosts }}"
  register: closed
  run_once: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
rollout:
  description: What the rollout has come to.
  type: dict
  returned: success
  contains:
    id:
      description: The rollout's id.
      type: str
    state:
      description:
        - What the states of all hosts come to.
        - V(frozen) when a host needs an operator; V(failed) when more hosts are bad than the budget allows;
          V(soaking) while hosts soak; V(done) when every host is V(PROMOTED), or bad within the budget;
          V(unfinished) otherwise.
      type: str
    ok:
      description: Whether what the run was for came about, so far as it can have.
      type: bool
    hosts:
      description:
        - Every host with C(host), C(batch), C(state), C(since), C(verdict), C(reason), C(rollback), C(guard).
      type: list
      elements: dict
    bad:
      description: The hosts that count against the budget.
      type: list
      elements: str
    promoted_at:
      description: When the candidate was promoted; none when it was not.
      type: str
    next:
      description: What to do next, with the command.
      type: str
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
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
"""
