#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up a node while its station goes on writing
version_added: 1.0.0
description:
  - Makes a consistent copy of the state database and of the OwnerCard in the layout of the station's own
    tools, reads it back and verifies it; only then it counts.
  - The station is not stopped. Its commits wait while the database's bytes are read if it has a rollback
    journal, and for some milliseconds if it is in WAL mode.
  - Nothing is made when the newest good backup has the same content and still reads back well. The
    scheduler's lease, which the station renews all the time, is no content.
  - A run that is killed leaves nothing that counts as a backup, and the next run removes what it left.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: O(force=true) makes a new backup each time; so does a station that wrote something in between.
options:
  name:
    description:
      - A name for a backup that a procedure owns. When a good backup with this name exists, it is kept
        whatever has changed since, so that the procedure can be run again.
      - Up to 64 of a-z, 0-9, V(.), V(_) and V(-), beginning with a letter or digit. V(before-restore) is what
        M(vvtv.runbook.backup_restore) keeps.
    type: str
  force:
    description: Make a new backup even when an existing one would do.
    type: bool
    default: false
  method:
    description:
      - How to copy the database.
      - V(pinned) reads the file's own bytes while a SQLite lock holds them still.
      - V(online) uses SQLite's backup API in one step.
      - V(vacuum) uses C(VACUUM INTO); smaller, and without the remains of deleted rows.
      - V(auto) is V(pinned), or V(online) where an old reader of the WAL stands in its way.
    type: str
    choices: [auto, pinned, online, vacuum]
    default: auto
seealso:
  - module: vvtv.runbook.backup_verify
  - module: vvtv.runbook.backup_restore
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Back up the node unless nothing has changed
  vvtv.runbook.backup:
    root: /srv/vvtv

- name: Keep a backup that belongs to a change
  vvtv.runbook.backup:
    root: /srv/vvtv
    name: before-change-4711
  register: before_change
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
reason:
  description: Why a backup was made, or why none was needed.
  type: str
  returned: success
backup:
  description: The backup that serves now; none in check mode when one would be made.
  type: dict
  returned: success
  contains:
    id:
      description: The name of its folder, the instant it was begun (UTC).
      type: str
      sample: 20260131T235959Z
    name:
      description: The name a procedure gave it.
      type: str
    path:
      description: Its folder on the node.
      type: str
    kind:
      description: V(plain) is the station's own layout.
      type: str
    created_at:
      description: The instant it was begun.
      type: str
    size:
      description: Bytes of its files.
      type: int
    sha256:
      description: SHA-256 of the database in it.
      type: str
    owner_card_sha256:
      description: SHA-256 of the OwnerCard in it.
      type: str
    key_ids:
      description: The keys that open it; none for a plain backup.
      type: list
      elements: str
    method:
      description: How the database was copied, as in O(method); none if another tool made it.
      type: str
    verified:
      description: The instant it was last known to read back well; none if another tool made it.
      type: str
    problem:
      description: Why it cannot be used; none if it can.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.backup import Request, back_up
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.sqlite_snapshot import METHODS


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = Request(params["name"], params["force"], params["method"], params["lock_timeout"])
    return back_up(_argspec.node_at(params), request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        "name": {"type": "str"},
        "force": {"type": "bool", "default": False},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
