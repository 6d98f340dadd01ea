#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_sample
short_description: Sample the availability of a node
version_added: 1.0.0
description:
  - Looks at the node once and appends what it saw to the node's own store, C(runtime/slo/YYYY-MM-DD.jsonl),
    from which M(vvtv.runbook.slo_info) computes availability. Run it in regular intervals, for instance by
    a timer.
  - A sample of a station that is not available is a success of this module. It fails only when the sample
    cannot be stored.
  - A station is available when its control API answers as it should (C(RUNNING) or C(EMERGENCY)), its
    database can be read, its pipeline lives, and its buffer is known and not critical. That is, when
    M(vvtv.runbook.node_health) has no finding that is critical and none of C(PIPELINE_STALE),
    C(SCHEDULER_LEASE_EXPIRED), C(SCHEDULER_LEASE_MISSING), C(SAMPLE_FROM_FUTURE) and
    C(SCHEDULER_LEASE_FROM_FUTURE).
  - Give it the thresholds that M(vvtv.runbook.node_health) has. Of them O(buffer_critical),
    O(commit_interval_minutes), O(stale_grace_minutes) and O(clock_tolerance) decide whether the station is
    available; the others only say what RV(health) has.
  - Several samplers may run at once. A run that is killed leaves at most half a line, which the next one
    removes.
  - The node's lock is not taken, so that a backup neither waits for a sample nor the other way round.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
  - vvtv.runbook._health
attributes:
  check_mode:
    support: full
    details: Looks at the node and tells what it saw without storing it.
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Each run is a sample of its own.
options:
  interval:
    description:
      - Seconds until the next sample is due, from 1 to 86400. A sample speaks for the time until the next
        one, but for no more than 2.5 intervals unless M(vvtv.runbook.slo_info) is told otherwise.
    type: float
    default: 60
  keep_days:
    description:
      - How many days samples are kept, from 1 to 3660; with less than 31 the longest window of
        M(vvtv.runbook.slo_info) gets shorter.
      - After a pause of more than so many days nothing is removed until the next day, in case a clock
        jumped.
    type: int
    default: 40
seealso:
  - module: vvtv.runbook.slo_info
  - module: vvtv.runbook.node_health
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Sample availability, every minute
  vvtv.runbook.slo_sample:
    root: /srv/vvtv

- name: Sample from a timer that runs every five minutes
  vvtv.runbook.slo_sample:
    root: /srv/vvtv
    interval: 300
  register: sampled

- name: See why the station does not count as available
  ansible.builtin.debug:
    var: sampled.sample.reasons
  when: not sampled.sample.available
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
sample:
  description: The sample.
  type: dict
  returned: success
  contains:
    ts:
      description: The instant at which the look at the node began (UTC).
      type: str
      sample: "2026-11-23T09:00:00.123456Z"
    available:
      description: Whether the station counts as available.
      type: bool
    interval:
      description: Seconds until the next sample is due.
      type: float
    reasons:
      description: The codes of the findings that speak against it, the worst first.
      type: list
      elements: str
      sample: [CONTROL_API_UNREACHABLE]
    state:
      description: What the API says of itself, V(RUNNING) or V(EMERGENCY); none if it did not answer.
      type: str
    buffer:
      description: Minutes of buffer by the newest metric sample; none if there is none.
      type: float
    latency_ms:
      description: Milliseconds until the API had answered; none if it did not.
      type: float
health:
  description: The judgement behind it.
  type: dict
  returned: success
  contains:
    healthy:
      description: Whether no finding is of severity O(fail_on) or worse; the task does not fail for one.
      type: bool
    findings:
      description: What is wrong, the worst first, each with C(severity), C(code), C(reason) and C(evidence).
      type: list
      elements: dict
    gauges:
      description: The seven gauges by name.
      type: dict
    source:
      description: Where the gauges come from; none if there are none.
      type: str
    sampled_at:
      description: The instant of the newest metric sample; none if there is none.
      type: str
    state:
      description: As RV(sample.state).
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec, _health_options
from ..module_utils._core import slo
from ..module_utils._core.availability_store import KEEP_DAYS
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = slo.Request(params["interval"], params["keep_days"], params["lock_timeout"])
    return slo.take(
        _argspec.node_at(params),
        _argspec.api_from(params),
        request,
        check,
        _health_options.thresholds_from(params),
        _health_options.scope_from(params),
    )


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        **_health_options.health_options(),
        "interval": {"type": "float", "default": slo.INTERVAL},
        "keep_days": {"type": "int", "default": KEEP_DAYS},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
