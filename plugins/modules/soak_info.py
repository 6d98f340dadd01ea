#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: soak_info
short_description: Tell how far a soak is, wait for it, and judge it
version_added: 1.0.0
description:
  - Tells how far the soak that M(vvtv.runbook.soak) started is, and judges the samples it has.
  - The verdict fails closed. V(PASS) needs enough samples, a cycle of the pipeline among them, and nothing
    wrong in any; V(FAIL) is what was seen and is wrong; V(INCONCLUSIVE) is all that proves neither.
  - It rests on the stored samples alone, so the same soak can be judged again with other O(limits) and
    O(thresholds), also long after it.
  - With O(wait) the controller asks the node again and again, and shows how far each host is. The soak itself
    needs nobody who waits.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
  - vvtv.runbook._rollout
options:
  judge:
    description:
      - Whether to read and judge the samples. Otherwise RV(verdict) is what the sampler thought after its
        last sample, without O(baselines), and asking costs the node next to nothing.
    type: bool
    default: true
  limits:
    description:
      - Limits to judge by instead of those that the soak was started with, named as M(vvtv.runbook.soak) has
        them.
    type: dict
    default: {}
  thresholds:
    description:
      - Thresholds to judge by instead of those that the soak was started with, named as
        M(vvtv.runbook.node_health) has them. How far back the samples look cannot be changed afterwards.
    type: dict
    default: {}
  baselines:
    description:
      - Hosts that were not changed and were sampled at the same time. A failure that more than half of them
        have too makes the verdict V(INCONCLUSIVE) instead of V(FAIL), C(baseline_sick). The QA pass rate is
        compared with theirs as soon as either side has 3 metric samples, C(qa_below_baseline_hosts).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Its name.
        type: str
        required: true
      observed:
        description: RV(soak.observed) of that host; empty when nothing is known of it.
        type: dict
  wait:
    description:
      - Whether to wait until the soak is over, or can only fail any more. In check mode nobody waits.
    type: bool
    default: false
  wait_timeout:
    description: For how many seconds to wait at most; 0 for as long as it takes.
    type: float
    default: 0.0
  poll:
    description: Seconds from one question to the next, at least 0.5.
    type: float
    default: 5.0
  unreachable_grace:
    description: For how many seconds in a row the host may be unreachable while we wait.
    type: float
    default: 120.0
  stop_file:
    description:
      - A file on the controller. As soon as it exists nobody waits any more, and RV(soak.waiting) is false
        although the soak goes on.
      - It is made when this host's verdict is V(FAIL), so that one failure ends the wait of all hosts.
    type: path
  progress:
    description:
      - How to show progress while waiting. V(live) is at most a line every 5 seconds for each host, V(lines)
        at most one a minute, V(none) is silence.
      - V(auto) is V(live) on a terminal and V(lines) elsewhere.
    type: str
    choices: [auto, live, lines, none]
    default: auto
seealso:
  - module: vvtv.runbook.soak
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: How far is it?
  vvtv.runbook.soak_info:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    judge: false

- name: Wait for the end and judge
  vvtv.runbook.soak_info:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    wait: true
  register: soaked
  failed_when: soaked is failed or soaked.verdict.result != 'PASS'

- name: Would it have passed with a stricter floor?
  vvtv.runbook.soak_info:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    thresholds: {qa_floor: 0.9}
    limits: {min_samples: 50}
"""

RETURN = r"""
soak:
  description: How the soak stands.
  type: dict
  returned: success
  contains:
    state:
      description:
        - V(none), V(running), V(ended), or V(died) when its sampler was killed before the end. A soak that
          died goes on when M(vvtv.runbook.soak) starts it again in time.
      type: str
    reason:
      description: Why it ended, V(time_over), V(early_stop), V(stopped) or V(died).
      type: str
    detail:
      description: The same for a person.
      type: str
    waiting:
      description:
        - With O(wait), whether the soak was still waited for at the end; false when waiting ended before the
          soak did, by O(stop_file) or O(wait_timeout).
      type: bool
    attempt:
      description: Which attempt it is, from 1 on.
      type: int
    started_at:
      description: When it began.
      type: str
    judged_from:
      description: When its warm-up was, or will be, over.
      type: str
    ends_at:
      description: When it would be over by itself.
      type: str
    ended_at:
      description: When it was over.
      type: str
    length:
      description: How many seconds it takes, with its warm-up, if nothing ends it before.
      type: float
    elapsed:
      description: Seconds since it began, until its end.
      type: float
    remaining:
      description: Seconds until it is over.
      type: float
    samples:
      description: How many samples count, those of the warm-up left out.
      type: int
    warmup_samples:
      description: How many samples the warm-up has.
      type: int
    expected:
      description: How many samples there are at the end if none is missed.
      type: int
    due:
      description: How many of these were due by now.
      type: int
    coverage:
      description: In which share of the ticks that were due there is a sample.
      type: float
    cycles:
      description: How many metric samples the pipeline wrote after the warm-up.
      type: int
    errors:
      description: In how many samples something could not be seen.
      type: int
    sha256:
      description: The SHA-256 of C(samples.jsonl), when no sampler runs.
      type: str
    last:
      description: The newest sample.
      type: dict
      contains:
        at:
          description: When it was taken.
          type: str
        state:
          description: What the API called itself.
          type: str
        gauges:
          description: The seven gauges.
          type: dict
        findings:
          description: What counted as a failure, with C(severity), C(code) and C(reason).
          type: list
          elements: dict
        errors:
          description: What could not be seen.
          type: list
          elements: str
    observed:
      description: What another host's verdict needs of this one, for its O(baselines). None without O(judge).
      type: dict
    path:
      description: The soak's folder on the node.
      type: str
verdict:
  description: The verdict.
  type: dict
  returned: success
  contains:
    result:
      description:
        - V(PASS), V(FAIL) or V(INCONCLUSIVE). A soak that runs is V(INCONCLUSIVE) unless it can only fail.
      type: str
    reasons:
      description: Why it is not V(PASS), failures first.
      type: list
      elements: dict
      contains:
        code:
          description:
            - The code of a finding (see M(vvtv.runbook.node_health)), or one of C(no_data), C(low_coverage),
              C(interrupted), C(running), C(stale), C(emergency), C(card_changed), C(cycle_not_seen),
              C(api_errors), C(errors), C(slo), C(damaged_samples), C(baseline_sick),
              C(qa_below_baseline_hosts).
          type: str
        result:
          description: What it makes of the verdict, V(FAIL) or V(INCONCLUSIVE).
          type: str
        reason:
          description: What it is, for a person.
          type: str
        evidence:
          description: The numbers it rests on.
          type: dict
    samples:
      description: How many samples were judged.
      type: int
    cycles:
      description: How many metric samples of the pipeline were among them.
      type: int
    certain:
      description: Whether a soak that runs can only fail any more.
      type: bool
    checks:
      description: Every check that failed, also within its limits or only observed, with its counts.
      type: list
      elements: dict
    warmup:
      description:
        - What the warm-up showed, which is not judged; C(samples), C(errors), and C(findings) by code.
      type: dict
    baseline_hosts:
      description: The hosts of O(baselines).
      type: list
      elements: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.soak import control


def operate(params: dict[str, Any], check: bool) -> Outcome:
    return control.tell(
        _argspec.rollout_at(params),
        params["judge"],
        params["limits"],
        params["thresholds"],
        params["baselines"],
    )


def main() -> None:
    host = {"host": {"type": "str", "required": True}, "observed": {"type": "dict"}}
    spec = {
        **_argspec.node_options(),
        **_argspec.rollout_options(),
        "judge": {"type": "bool", "default": True},
        "limits": {"type": "dict", "default": {}},
        "thresholds": {"type": "dict", "default": {}},
        "baselines": {"type": "list", "elements": "dict", "default": [], "options": host},
        # What follows is for the action plugin, on the controller.
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 0.0},
        "poll": {"type": "float", "default": 5.0},
        "unreachable_grace": {"type": "float", "default": 120.0},
        "stop_file": {"type": "path"},
        "progress": {"type": "str", "choices": ["auto", "live", "lines", "none"], "default": "auto"},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
