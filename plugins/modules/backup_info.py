#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups of a node
version_added: 1.0.0
description:
  - Lists what is in the backup folder, newest first, without reading the data.
  - A folder that cannot be used says why. No key is needed.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
seealso:
  - module: vvtv.runbook.backup_verify
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See which backups the node has
  vvtv.runbook.backup_info:
    root: /srv/vvtv
  register: known

- name: Fail when there is none to go back to
  ansible.builtin.assert:
    that: known.newest is not none
"""

RETURN = r"""
backups:
  description: All backups, newest first; each as RV(vvtv.runbook.backup#module:backup).
  type: list
  elements: dict
  returned: success
newest:
  description: The newest backup without a known problem, as in RV(backups); none if there is none.
  type: dict
  returned: success
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.catalogue import tell
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    return tell(_argspec.node_at(params).backup_dir)


def main() -> None:
    _adapter.run(_argspec.node_options(), operate)


if __name__ == "__main__":
    main()
