# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of health_options in plugins/module_utils/_health_options.py.
    DOCUMENTATION = r"""
options:
  fail_on:
    description:
      - The severity from which on a finding makes the node unhealthy.
      - With V(never) the task does not fail for any finding; whether the node counts as healthy is then
        judged as with V(high).
    type: str
    choices: [critical, high, medium, low, never]
    default: high
  buffer_target:
    description: Minutes of buffer below which a finding of severity low is made.
    type: float
    default: 60.0
  buffer_critical:
    description: Minutes of buffer below which a finding of severity critical is made.
    type: float
    default: 20.0
  qa_floor:
    description: The QA pass rate below which it is too low, from 0 to 1.
    type: float
    default: 0.85
  qa_baseline:
    description:
      - What the QA pass rate is compared with.
      - V(floor) is O(qa_floor). V(history) is the median of the node's own earlier samples, less
        O(qa_tolerance); while there are fewer than O(qa_history_min) of them, the floor.
      - V(both) is each of them, the history as soon as there is enough of it.
    type: str
    choices: [both, floor, history]
    default: both
  qa_tolerance:
    description: How far below the median of its history the QA pass rate may be.
    type: float
    default: 0.05
  qa_history_min:
    description: How many earlier samples make a history.
    type: int
    default: 8
  qa_history_hours:
    description: How many hours before the newest sample the history begins.
    type: float
    default: 168.0
  fallback_cap:
    description: The fallback rate above which it is too high, from 0 to 1.
    type: float
    default: 0.3
  fallback_jump:
    description: By how much the fallback rate may not rise from one sample to the next.
    type: float
    default: 0.15
  fallback_growth_samples:
    description:
      - Over how many distinct metric samples the fallback rate may not rise without a break, from 2 to 100.
      - Metric samples are the pipeline's, one in each commit window, however often the node is asked.
    type: int
    default: 4
  fallback_growth_min:
    description: What such a rise must come to in all before it counts, so that noise does not.
    type: float
    default: 0.05
  discovery_failures:
    description:
      - How many discovery failures within O(discovery_window_hours) make a finding, counted for each domain
        that the OwnerCard allows. A subdomain counts with the longest entry that covers it.
    type: int
    default: 3
  discovery_window_hours:
    description: How many hours back discovery failures are counted.
    type: float
    default: 24.0
  commit_interval_minutes:
    description:
      - Minutes between two metric samples. The OwnerCard's C(schedule_policy.commit_interval_minutes) counts;
        this is for when it cannot be read.
    type: float
    default: 30.0
  stale_grace_minutes:
    description: Minutes by which the next metric sample may be late before the pipeline counts as stale.
    type: float
    default: 10.0
  clock_tolerance:
    description:
      - Seconds by which the clock of the API may differ, and by which a metric sample or the end of the
        scheduler's lease may lie in the future.
    type: float
    default: 60.0
  max_stream_disruptions:
    description: More stream disruptions than this make a finding.
    type: float
    default: 0.0
"""
