# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of identity_options in plugins/module_utils/_argspec.py.
    DOCUMENTATION = r"""
options:
  identity_file:
    description:
      - A file on the node with an age identity to try beside the node's keys, such as a recovery identity
        when the node's keys are lost. Must be absolute and private (0600).
      - Put it on memory-backed storage, for instance below C(/dev/shm), and remove it afterwards.
    type: path
"""
