#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_health
short_description: Judge by evidence whether a node is healthy
version_added: 1.0.0
description:
  - Looks at the node's C(state.db), its OwnerCard, and what its control API answers to status, metrics and
    alerts, and judges all of it by rules. Each finding has a severity, a code, a reason and the numbers
    behind it.
  - What the API says of itself proves nothing. It makes a healthy answer up when it cannot read C(state.db),
    and its buffer in C(/v1/status) is a constant. So C(state.db) is read first and both are compared;
    whatever cannot be read is a finding of severity critical.
  - Where C(state.db) does not exist, or holds nothing of a station, the API is asked for its status only,
    since it would make the file to answer the rest.
  - Fails when a finding is of severity O(fail_on) or worse, naming the worst; RV(health) is returned then
    too.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
  - vvtv.runbook._api
  - vvtv.runbook._health
options:
  integrity:
    description:
      - How thoroughly C(state.db) is checked. V(light) looks at its header, its length and its tables;
        V(quick) also runs SQLite's C(quick_check), V(full) its C(integrity_check) which compares indexes with
        tables.
      - With a rollback journal the station cannot commit while SQLite checks; after 2 seconds the check is
        given up, with a finding of severity medium.
    type: str
    choices: [none, light, quick, full]
    default: quick
  wait_timeout:
    description:
      - How many seconds to wait for the node to become healthy; 0 looks once.
      - A look that has begun is finished, which may take O(lock_timeout) and some times O(api_timeout)
        longer.
    type: float
    default: 0.0
  wait_interval:
    description: How many seconds to wait between two looks.
    type: float
    default: 5.0
notes:
  - Questions to the API need no token; O(control_token), O(control_secret), O(control_env_file) and O(env)
    are accepted so that they can be set for all modules at once.
seealso:
  - module: vvtv.runbook.emergency_mode
  - module: vvtv.runbook.audit_event_info
  - module: vvtv.runbook.slo_info
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Is the node healthy?
  vvtv.runbook.node_health:
    root: /srv/vvtv

- name: Wait up to five minutes after a restart
  vvtv.runbook.node_health:
    root: /srv/vvtv
    wait_timeout: 300

- name: Only report
  vvtv.runbook.node_health:
    root: /srv/vvtv
    fail_on: never
  register: seen

- name: Fail for everything that is not as it should be, by the node's own QA history
  vvtv.runbook.node_health:
    root: /srv/vvtv
    fail_on: low
    qa_baseline: history
    integrity: full
"""

RETURN = r"""
health:
  description: The judgement; of the last look when there were several.
  type: dict
  returned: always, unless an option is wrong
  contains:
    healthy:
      description: Whether no finding is of severity O(fail_on) or worse.
      type: bool
    findings:
      description: What is wrong, the worst first.
      type: list
      elements: dict
      contains:
        severity:
          description: V(critical), V(high), V(medium) or V(low).
          type: str
        code:
          description:
            - What it is, for a program.
            - The station's own alerts are noted in the finding of the same code, as C(api_alert) in its
              RV(health.findings[].evidence), or else are findings of their own whose codes begin with
              C(API_).
          type: str
          sample: BUFFER_CRITICAL
        reason:
          description: What it is, for a person.
          type: str
          sample: "buffer is 5 min, below 20 (state.db and /metrics: 5 min)"
        evidence:
          description: The numbers and instants it rests on, different for each code.
          type: dict
    gauges:
      description: The seven gauges of the newest metric sample; empty when nothing is known of them.
      type: dict
      sample: {buffer_minutes: 118, plans_created: 42, plans_committed: 31, qa_pass_rate: 0.95,
               fallback_rate: 0.1, curator_actions: 2, stream_disruptions: 0}
    source:
      description:
        - Where they are from, V(state_db), or V(metrics) when C(state.db) told none; none when unknown.
      type: str
    sampled_at:
      description: The instant of the newest metric sample in C(state.db).
      type: str
    state:
      description: What the API calls itself, V(RUNNING) or V(EMERGENCY); none when it gave no good answer.
      type: str
attempts:
  description: How many times the node was looked at.
  type: int
  returned: always, unless an option is wrong
waited:
  description: How many seconds that took.
  type: float
  returned: always, unless an option is wrong
"""

from typing import Any

from ..module_utils import _adapter, _argspec, _health_options
from ..module_utils._core import health_check
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.state_history import INTEGRITY


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = health_check.Request(
        _health_options.thresholds_from(params),
        _health_options.scope_from(params),
        params["integrity"],
        params["lock_timeout"],
        params["wait_timeout"],
        params["wait_interval"],
    )
    return health_check.check(_argspec.node_at(params), _argspec.api_from(params), request)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        **_health_options.health_options(),
        "integrity": {"type": "str", "choices": list(INTEGRITY), "default": health_check.INTEGRITY},
        "wait_timeout": {"type": "float", "default": 0.0},
        "wait_interval": {"type": "float", "default": health_check.WAIT_INTERVAL},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
