# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  action_group:
    description: Use C(group/vvtv.runbook.vvtv) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - vvtv.runbook.vvtv
  check_mode:
    description: Can run in check mode and tell what it would do without changing the node.
  diff_mode:
    description: Tells in diff mode what changes.
  idempotent:
    description: Changes nothing when run again with the same options while the node stays as it is.
  platform:
    description: Nodes it can run on. Needs Python 3.9 or newer.
    platforms: posix
    support: full
"""

    # For modules that only look.
    READ_ONLY = r"""
attributes:
  check_mode:
    support: full
    details: Never changes anything.
  diff_mode:
    support: N/A
    details: Never changes anything.
  idempotent:
    support: full
    details: Never changes anything.
"""
