# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of rollout_options in plugins/module_utils/_argspec.py.
    DOCUMENTATION = r"""
options:
  rollout:
    description:
      - The id of the rollout, such as V(20260131T235959Z) or V(20260131T235959Z-word), which
        M(vvtv.runbook.rollout_plan) gives.
    type: str
    required: true
  canary_dir:
    description: The folder that holds one folder for each rollout; relative paths are below O(root).
    type: path
    default: runtime/canary
"""
