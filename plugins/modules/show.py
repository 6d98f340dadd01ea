#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Print a table for the operator
version_added: 1.0.0
description:
  - Prints rows as aligned lines on the controller, so that they look the same whatever callback and format of
    results are set. Nothing is done on the host.
extends_documentation_fragment:
  - vvtv.runbook._attributes
attributes:
  check_mode:
    support: full
    details: Prints the same.
  diff_mode:
    support: N/A
    details: Never changes anything.
  idempotent:
    support: full
    details: Never changes anything.
options:
  title:
    description: The line above the table.
    type: str
    required: true
  rows:
    description: The rows, as the filter P(vvtv.runbook.table#filter) takes them.
    type: list
    elements: dict
    required: true
  columns:
    description: The columns, as the filter P(vvtv.runbook.table#filter) takes them.
    type: list
    elements: raw
    required: true
  none:
    description: What to print when there are no rows.
    type: str
    default: none
seealso:
  - plugin: vvtv.runbook.table
    plugin_type: filter
  - plugin: vvtv.runbook.outcomes
    plugin_type: filter
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Show what came of the backups
  vvtv.runbook.show:
    title: backups
    rows: "{{ ansible_play_hosts_all | vvtv.runbook.outcomes(hostvars, 'made', {'id': 'backup.id'}) }}"
    columns: [host, outcome, id, why]
  run_once: true
"""

RETURN = r"""
lines:
  description: The lines of the table.
  type: list
  elements: str
  returned: success
"""
