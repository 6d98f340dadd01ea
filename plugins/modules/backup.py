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
  - Makes a consistent copy of the state database and of the OwnerCard, reads it back and verifies it; only
    then it counts.
  - Unless told otherwise it is encrypted, in one pass from the live database to the final file. The archive
    is a compressed tar in an age file (age-encryption.org/v1), which C(age), C(zstd) and C(tar) open on any
    machine. No plaintext touches the disk, but for the copy of O(method=vacuum), which lies in a private
    folder until it is open.
  - The station is not stopped. Its commits wait for some milliseconds if its database is in WAL mode, and
    while the database's bytes are copied to memory if it has a rollback journal.
  - Nothing is made when the newest good backup has the same content and still reads back well. The
    scheduler's lease, which the station renews all the time, is no content.
  - A run that is killed leaves nothing that counts as a backup, and the next run removes what it left.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._recovery
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
  encrypt:
    description:
      - Encrypt to the node's current key, which M(vvtv.runbook.backup_key) makes, and to
        O(recovery_recipients).
      - A plain backup has the layout of the station's own tools instead, and is as secret as its folder.
    type: bool
    default: true
  compression:
    description: V(auto) is V(zstd) where the node's Python has C(zstandard), else V(gzip).
    type: str
    choices: [auto, zstd, gzip]
    default: auto
  force:
    description: Make a new backup even when an existing one would do.
    type: bool
    default: false
  method:
    description:
      - How to read the database.
      - V(pinned) reads the file's own bytes while a SQLite lock holds them still.
      - V(memory) copies them to memory first, so that writers of a database with a rollback journal wait
        less.
      - V(online) uses SQLite's backup API in one step, into memory.
      - V(vacuum) uses C(VACUUM INTO); smaller, and without the remains of deleted rows. It needs room for a
        second copy on disk, which is unlinked before it is read.
      - V(auto) is V(pinned) in WAL mode, V(memory) with a rollback journal if there is memory for it, and
        V(online), then V(vacuum), where an old reader of the WAL stands in the way.
    type: str
    choices: [auto, pinned, memory, online, vacuum]
    default: auto
seealso:
  - module: vvtv.runbook.backup_key
  - module: vvtv.runbook.backup_verify
  - module: vvtv.runbook.backup_restore
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Back up the node unless nothing has changed
  vvtv.runbook.backup:
    root: /srv/vvtv
    recovery_recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p

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
      description:
        - V(encrypted) is an age archive, V(plain) the station's own layout, V(legacy) an archive of the shell
          runbook, which is read and never made.
      type: str
    created_at:
      description: The instant it was begun.
      type: str
    size:
      description: Bytes of its files.
      type: int
    sha256:
      description: SHA-256 of the database of a plain backup, of the archive of the others.
      type: str
    owner_card_sha256:
      description: SHA-256 of the OwnerCard in it; none if that is not known without opening it.
      type: str
    key_ids:
      description: The ids of the node's keys that it was made for; none for a plain backup.
      type: list
      elements: str
    recipients:
      description: The public keys that it was made for, the node's and the recovery recipients'.
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
from ..module_utils._core.archive.compression import CHOICES
from ..module_utils._core.backup import Request, back_up
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.still import METHODS


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = Request(
        params["name"],
        params["force"],
        params["method"],
        params["lock_timeout"],
        params["encrypt"],
        params["compression"],
        _argspec.recovery(params),
    )
    return back_up(_argspec.node_at(params), request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.recovery_options(),
        "name": {"type": "str"},
        "encrypt": {"type": "bool", "default": True},
        "compression": {"type": "str", "choices": list(CHOICES), "default": "auto"},
        "force": {"type": "bool", "default": False},
        "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
