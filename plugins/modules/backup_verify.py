#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Prove that a backup is good by reading all of it back
version_added: 1.0.0
description:
  - Decrypts and authenticates archives, re-reads the hashes, runs SQLite's own check on the database and
    checks the OwnerCard by its rules. Knows plain and encrypted backups, and archives of the shell runbook.
  - What SQLite found of an archive's database as it was copied is recorded inside the archive, and the hash
    vouches for it since; O(integrity=full) runs the check again, in memory.
  - An archive is tried with every key of the node, so that those from before a rotation open too.
  - It proves that a backup is whole and as it was made, not who made it; whoever has a public key can make an
    archive for it.
  - Fails when anything is not as it must be, naming the file. Writes nothing.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
  - vvtv.runbook._identity
options:
  id:
    description: The backup's id, V(latest) for the newest usable one, or V(all).
    type: str
    default: latest
  integrity:
    description:
      - V(full) also compares each index of the database with its table, which takes longer.
      - An archive's database is opened in memory for that, and must fit.
    type: str
    choices: [quick, full]
    default: quick
seealso:
  - module: vvtv.runbook.backup_info
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Verify the newest backup
  vvtv.runbook.backup_verify:
    root: /srv/vvtv

- name: Verify everything, thoroughly
  vvtv.runbook.backup_verify:
    root: /srv/vvtv
    id: all
    integrity: full
"""

RETURN = r"""
backup:
  description: What was verified, as RV(vvtv.runbook.backup#module:backup); with O(id=all) the newest.
  type: dict
  returned: success
backups:
  description: All backups that were verified, as in RV(backup), newest first.
  type: list
  elements: dict
  returned: success
checks:
  description: What was proved of RV(backup).
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.verify import INTEGRITY, verify_backups


def operate(params: dict[str, Any], check: bool) -> Outcome:
    node = _argspec.node_at(params)
    return verify_backups(node, params["id"], params["integrity"], _argspec.identity_file(params))


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.identity_options(),
        "id": {"type": "str", "default": "latest"},
        "integrity": {"type": "str", "choices": list(INTEGRITY), "default": "quick"},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
