#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Restore a node from a backup under its running station
version_added: 1.0.0
description:
  - Verifies the backup, keeps the present state, restores database and OwnerCard, and checks the result.
  - A station that holds the database open sees the restored data and goes on. A database that is missing or
    damaged is restored too.
  - An archive is decrypted beside the database that it replaces, and only what is authentic and agrees with
    its hashes to the last byte is used. Every key of the node is tried, and O(identity_file).
  - An archive of the shell runbook is restored with a warning, since its format carries no authentication.
  - What is replaced is kept as a verified backup named V(before-restore), encrypted if the node has a key.
    When it is too damaged to be one, its files are kept as they are in the folder C(replaced) of the backup
    folder.
  - Nothing is done when the node has the backup's content already.
  - A run that is killed leaves the old database or the restored one. When it was killed before the OwnerCard
    followed, the next M(vvtv.runbook.backup) or M(vvtv.runbook.backup_restore) on the node finishes that.
  - The station reads a restored OwnerCard at its next reload or restart.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._recovery
  - vvtv.runbook._identity
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the number of rows of each table and the OwnerCard, present and in the backup.
  idempotent:
    support: partial
    details: A station that wrote something in between makes the present state another one.
options:
  id:
    description:
      - The backup's id, or V(latest) for the newest usable one.
      - What a restore kept of the state it replaced is never the latest; give its id.
    type: str
    required: true
  integrity:
    description: How thoroughly to check the backup's database before it is restored.
    type: str
    choices: [quick, full]
    default: quick
seealso:
  - module: vvtv.runbook.backup_info
  - module: vvtv.runbook.backup_verify
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See what a restore would replace
  vvtv.runbook.backup_restore:
    root: /srv/vvtv
    id: 20260131T235959Z
  check_mode: true
  diff: true

- name: Go back to the newest backup
  vvtv.runbook.backup_restore:
    root: /srv/vvtv
    id: latest
  register: restored

- name: Go back when the node's keys are lost, with the recovery identity
  vvtv.runbook.backup_restore:
    root: /srv/vvtv
    id: latest
    identity_file: /dev/shm/recovery.key

- name: Undo that
  vvtv.runbook.backup_restore:
    root: /srv/vvtv
    id: "{{ restored.safety.id }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
backup:
  description: The backup that was restored, as RV(vvtv.runbook.backup#module:backup).
  type: dict
  returned: success
safety:
  description:
    - Where the former state is kept, a backup as in RV(backup). When it made no backup, a dictionary with the
      folder as C(path), the reason as C(problem) and an C(id) of none.
    - None when nothing was replaced, there was nothing to keep, or in check mode.
  type: dict
  returned: success
exact:
  description:
    - Whether the database held exactly the backup's content when it was read again after the restore.
    - False means that the station has written since.
  type: bool
  returned: when something was restored
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.restore import Request, restore
from ..module_utils._core.verify import INTEGRITY


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = Request(
        params["id"],
        params["integrity"],
        params["lock_timeout"],
        _argspec.identity_file(params),
        _argspec.recovery(params),
    )
    return restore(_argspec.node_at(params), request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.recovery_options(),
        **_argspec.identity_options(),
        "id": {"type": "str", "required": True},
        "integrity": {"type": "str", "choices": list(INTEGRITY), "default": "quick"},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
