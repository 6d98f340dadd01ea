#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_info
short_description: Compute the availability of a node against its SLO
version_added: 1.0.0
description:
  - Computes availability over the last hour, day, 7 days and 30 days from what M(vvtv.runbook.slo_sample)
    stored on the node, with the error budget that is left and how fast it is used up.
  - Time is weighted, samples are not counted. A sample speaks for the time until the next one, but for no
    more than O(max_gap) of its intervals; what is beyond is a gap.
  - A gap counts as not available, since a sampler that is dead proves nothing, unless it lies inside a
    declared O(maintenance) window. The time of such a window is taken out altogether, whatever happened in
    it.
  - Before the first sample of all nothing was measured; windows are cut there and say so. Without any sample
    there is no availability, neither 100 % nor 0 %.
  - Samples later than now, of a clock that was ahead, are passed over and counted. Where a clock went back,
    each instant is judged by the sample right before it, and no time counts twice.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
options:
  target:
    description: The share of time for which the station is to be available, above 0 and below 1.
    type: float
    default: 0.995
  maintenance:
    description: Times that count neither for nor against the station, 1000 at most; they may overlap.
    type: list
    elements: dict
    default: []
    suboptions:
      start:
        description: Its beginning (RFC 3339).
        type: str
        required: true
      end:
        description: Its end (RFC 3339), later than O(maintenance[].start).
        type: str
        required: true
      reason:
        description: What for.
        type: str
        default: ""
  max_gap:
    description: How many of its own intervals a sample speaks for at most, from 1 to 1000.
    type: float
    default: 2.5
  fail_below:
    description:
      - Whether to fail when a window misses O(target), or when there are no samples.
      - What is returned otherwise is returned then too.
    type: bool
    default: false
seealso:
  - module: vvtv.runbook.slo_sample
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See the availability of the last month
  vvtv.runbook.slo_info:
    root: /srv/vvtv
    maintenance:
      - start: "2026-11-23T02:00:00+01:00"
        end: "2026-11-23T04:00:00+01:00"
        reason: new disks
  register: slo

- name: Print it
  ansible.builtin.debug:
    msg: "{{ slo.windows | vvtv.runbook.table(['name', 'status', 'availability', 'budget_left_seconds']) }}"

- name: Fail when the station misses its SLO
  vvtv.runbook.slo_info:
    root: /srv/vvtv
    fail_below: true
"""

RETURN = r"""
windows:
  description: The last hour, day, 7 and 30 days, in this order. All times are seconds.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name, V(1h), V(24h), V(7d) or V(30d).
      type: str
    status:
      description:
        - V(met) or V(missed); V(maintenance) when all of it was maintenance, V(no_data) when nothing was
          measured.
      type: str
    availability:
      description: The share of RV(windows[].measured_seconds) that was available; none if that is 0.
      type: float
      sample: 0.998333
    target:
      description: The share it is measured against.
      type: float
    seconds:
      description: How long the window is.
      type: float
    measured_since:
      description: From when on there is anything to measure in it; none if there is nothing.
      type: str
    measured_seconds:
      description: What counts, the sum of the next three.
      type: float
    available_seconds:
      description: How long the station was available.
      type: float
    unavailable_seconds:
      description: How long samples say that it was not.
      type: float
    gap_seconds:
      description: How long no sample says anything; counts as not available.
      type: float
    maintenance_seconds:
      description: How much was left out as maintenance.
      type: float
    unmeasured_seconds:
      description: How much of the window lies before the first sample of all.
      type: float
    budget_seconds:
      description: For how long the station may be unavailable by the target.
      type: float
    budget_left_seconds:
      description: How much of that is left; negative when it is overspent.
      type: float
    burn_rate:
      description: How fast the budget is used up; 1 is as fast as the target allows; none if nothing counts.
      type: float
objective:
  description: What was computed by.
  type: dict
  returned: success
  contains:
    target:
      description: As O(target).
      type: float
    max_gap:
      description: As O(max_gap).
      type: float
    gaps_count_as:
      description: What times without samples count as outside of maintenance; always V(not available).
      type: str
    maintenance:
      description: As O(maintenance), in UTC.
      type: list
      elements: dict
samples:
  description: What it was computed from.
  type: dict
  returned: success
  contains:
    count:
      description: How many samples were read.
      type: int
    malformed:
      description: How many lines are no samples; a warning tells of them.
      type: int
    future:
      description: How many samples are later than now and were passed over.
      type: int
    reasons:
      description: How many of the samples named each reason for not being available.
      type: dict
    last:
      description: The newest sample, as RV(vvtv.runbook.slo_sample#module:sample); none if there is none.
      type: dict
error:
  description: Why the task failed.
  type: dict
  returned: failure
  contains:
    code:
      description: V(below_target) when O(fail_below) is the reason; then all of the above is in here as well.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core import availability, slo
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    objective = availability.Objective(
        params["target"], availability.maintenance_of(params["maintenance"]), params["max_gap"]
    )
    return slo.tell(_argspec.node_at(params), objective, params["fail_below"])


def main() -> None:
    window = {
        "start": {"type": "str", "required": True},
        "end": {"type": "str", "required": True},
        "reason": {"type": "str", "default": ""},
    }
    spec = {
        **_argspec.node_options(),
        "target": {"type": "float", "default": availability.TARGET},
        "maintenance": {"type": "list", "elements": "dict", "default": [], "options": window},
        "max_gap": {"type": "float", "default": availability.MAX_GAP},
        "fail_below": {"type": "bool", "default": False},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
