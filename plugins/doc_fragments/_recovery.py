# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of recovery_options in plugins/module_utils/_argspec.py.
    DOCUMENTATION = r"""
options:
  recovery_recipients:
    description:
      - Public keys (C(age1...)) whose private halves are kept offline. Every archive opens with any of them,
        so that a lost node does not mean lost backups.
      - Make one with C(age-keygen) away from the nodes. Without any, a warning says what that means.
    type: list
    elements: str
    default: []
"""
