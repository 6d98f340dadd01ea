#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_key_info
short_description: Tell which keys a node has and which backups need them
version_added: 1.0.0
description:
  - Lists the keys with their ages and public halves, never the keys themselves.
  - Which backups a key opens is found out by trying, not by what is said of them.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
seealso:
  - module: vvtv.runbook.backup_key
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See which keys the node has
  vvtv.runbook.backup_key_info:
    root: /srv/vvtv
  register: known

- name: Fail when an old key is still needed
  ansible.builtin.assert:
    that: known.keyring | rejectattr("current") | map(attribute="needed_by") | flatten | length == 0
"""

RETURN = r"""
key:
  description: The current key, as RV(vvtv.runbook.backup_key#module:key); none if there is none.
  type: dict
  returned: success
keyring:
  description: Every key, newest first, as RV(vvtv.runbook.backup_key#module:keyring).
  type: list
  elements: dict
  returned: success
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.key_states import tell
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    return tell(_argspec.node_at(params))


def main() -> None:
    _adapter.run(_argspec.node_options(), operate)


if __name__ == "__main__":
    main()
