#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: soak
short_description: Sample a node for a while, on the node, after a change
version_added: 1.0.0
description:
  - Starts a sampler on the node that looks at C(state.db), the OwnerCard and the control API at each tick, as
    M(vvtv.runbook.node_health) does, and keeps all it saw. M(vvtv.runbook.soak_info) tells how far it is and
    judges it.
  - The sampler needs nobody. It outlives this task, the SSH session and the controller. With systemd, and as
    root, it is a unit of its own, which is started again when it is killed; elsewhere it is a process in a
    session of its own. It runs as the owner of O(root).
  - Starting is idempotent by O(rollout). A soak that runs or is over stays as it is. One whose sampler died,
    for instance with the machine, goes on if there is time left; what was missed is missing from its
    coverage.
  - Each sample is one line of C(soak/samples.jsonl) below O(canary_dir) and O(rollout), synced to the disk.
    C(soak/summary.txt) and the logs beside it are those of the shell runbook.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
  - vvtv.runbook._rollout
  - vvtv.runbook._health
  - vvtv.runbook._soak
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: RV(actions) says what is done.
  idempotent:
    support: partial
    details: With O(restart=true) each run starts anew.
options:
  state:
    description:
      - V(started) brings about that the soak was started.
      - V(stopped) ends it before its time; it is then INCONCLUSIVE, C(interrupted), unless it has failed.
    type: str
    choices: [started, stopped]
    default: started
  hours:
    description: How many hours to sample after the warm-up, 31 days at most.
    type: float
    default: 1.0
  interval:
    description: Seconds from one sample to the next, at least 0.1.
    type: float
    default: 60.0
  max_samples:
    description: After how many samples to end, not counting those of the warm-up; 0 for no cap.
    type: int
    default: 0
  warmup:
    description:
      - Seconds at the beginning whose samples are kept and not judged, since a restart of the station shows
        in them.
    type: float
    default: 0.0
  early_stop:
    description: Whether to end at once when the soak can only fail any more.
    type: bool
    default: true
  restart:
    description:
      - Whether to start anew. What there is of an earlier soak of this rollout is kept in C(soak/attempt-N).
    type: bool
    default: false
  reason:
    description: Why it is stopped.
    type: str
    default: stopped by an operator
notes:
  - Findings of severity O(fail_on) or worse are failures; with V(never) those from V(high) on.
  - The settings are frozen when the soak starts. Other ones for a soak that runs are a warning, and not used.
  - The QA pass rate is compared with the node's own history before the rollout changed the node.
  - Questions to the API need no token; O(control_token), O(control_secret), O(control_env_file) and O(env)
    are accepted so that they can be set for all modules at once.
seealso:
  - module: vvtv.runbook.soak_info
  - module: vvtv.runbook.node_health
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Soak for an hour, a sample every minute
  vvtv.runbook.soak:
    root: /srv/vvtv
    rollout: 20260131T235959Z

- name: Soak for six hours, ten minutes of which the restart may shake
  vvtv.runbook.soak:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    hours: 6
    warmup: 600
    checks:
      FALLBACK_RATE_HIGH: {max_failures: 3}
      CLOCK_SKEW: {mode: observe}

- name: End it
  vvtv.runbook.soak:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    state: stopped
    reason: wrong release
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
soak:
  description: How the soak stands, as M(vvtv.runbook.soak_info) returns it.
  type: dict
  returned: success
  contains:
    state:
      description: V(none), V(running), V(ended) or V(died).
      type: str
    started_at:
      description: When it began (UTC).
      type: str
    ends_at:
      description: When it will be over if nothing ends it before.
      type: str
    expected:
      description: How many samples there will be then.
      type: int
    path:
      description: Its folder on the node.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec, _health_options, _soak_options
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.soak import control, request


def plan_from(params: dict[str, Any]) -> request.Plan:
    return request.Plan(
        hours=params["hours"],
        interval=params["interval"],
        max_samples=params["max_samples"],
        warmup=params["warmup"],
        early_stop=params["early_stop"],
        thresholds=_health_options.thresholds_from(params),
        scope=_health_options.scope_from(params),
        limits=_soak_options.limits_from(params),
        api_url=params["api_url"],
        api_timeout=params["api_timeout"],
        timeout=params["lock_timeout"],
    )


def operate(params: dict[str, Any], check: bool) -> Outcome:
    folder = _argspec.rollout_at(params)
    if params["state"] == "stopped":
        return control.end(folder, params["lock_timeout"], params["reason"], check)
    return control.start(folder, plan_from(params), params["lock_timeout"], params["restart"], check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        **_argspec.rollout_options(),
        **_health_options.health_options(),
        **_soak_options.limits_options(),
        "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
        "hours": {"type": "float", "default": request.HOURS},
        "interval": {"type": "float", "default": request.INTERVAL},
        "max_samples": {"type": "int", "default": 0},
        "warmup": {"type": "float", "default": 0.0},
        "early_stop": {"type": "bool", "default": True},
        "restart": {"type": "bool", "default": False},
        "reason": {"type": "str", "default": control.BY_OPERATOR},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
