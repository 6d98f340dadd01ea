# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of node_options in plugins/module_utils/_argspec.py.
    DOCUMENTATION = r"""
options:
  root:
    description: The folder of the node. Must be absolute and exist.
    type: path
    required: true
  state_db:
    description: The station's SQLite database; relative paths are below O(root).
    type: path
    default: runtime/state/vvtv.db
  owner_card:
    description: The OwnerCard in force; relative paths are below O(root).
    type: path
    default: config/owner_card.sample.yaml
  backup_dir:
    description: The folder that holds one folder for each backup; relative paths are below O(root).
    type: path
    default: runtime/backups
  key_dir:
    description:
      - The folder of the node's keys; relative paths are below O(root).
      - It must be private (0700, its files 0600) and belong to the owner of O(root); else it is refused.
    type: path
    default: runtime/keys
  lock_timeout:
    description:
      - How many seconds to wait for the node's lock, and for the database while the station uses it.
      - When they are over the task fails and names who holds the lock.
    type: float
    default: 30.0
requirements:
  - python >= 3.9
  - PyYAML
"""
