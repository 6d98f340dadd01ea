# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of limits_options in plugins/module_utils/_soak_options.py.
    DOCUMENTATION = r"""
options:
  min_samples:
    description:
      - How many samples without an error a soak needs at least. With fewer it is INCONCLUSIVE,
        C(low_coverage).
    type: int
    default: 3
  min_coverage:
    description:
      - In which share of the ticks that were due there must be a sample, from 0 to 1. Below that the soak is
        INCONCLUSIVE, C(low_coverage).
    type: float
    default: 0.8
  no_cycle:
    description:
      - What it means when the pipeline wrote no metric sample in all that time, C(cycle_not_seen). An hour in
        which nothing was scheduled proves nothing.
    type: str
    choices: [inconclusive, fail, pass]
    default: inconclusive
  max_failures:
    description: In how many samples a check may fail; in one more the soak is a FAIL, with the check's code.
    type: int
    default: 0
  max_consecutive_failures:
    description: In how many samples in a row a check may fail. As many as O(max_failures) unless given.
    type: int
  max_errors:
    description:
      - In how many samples something may be unseen, because the API gave no good answer or C(state.db) was
        busy. With more the soak is INCONCLUSIVE, C(errors).
    type: int
    default: 2
  max_consecutive_errors:
    description:
      - In how many samples in a row the API may give no good answer. With more the soak is a FAIL,
        C(api_errors).
    type: int
    default: 2
  slo_target:
    description:
      - In which share of the samples without an error the station must have been available, from 0 to 1; else
        the soak is a FAIL, C(slo). See M(vvtv.runbook.slo_sample) for what available means.
    type: float
    default: 0.995
  checks:
    description:
      - Limits of single checks, by the code of the finding (see M(vvtv.runbook.node_health)). Each may hold
        C(max_failures), C(max_consecutive_failures), and C(mode), which is V(judge) or V(observe).
      - A check that is only observed is told with the verdict and fails nothing.
    type: dict
    default: {}
"""
