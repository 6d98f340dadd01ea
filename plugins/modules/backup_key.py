#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_key
short_description: Make, rotate and prune the keys of a node's backups
version_added: 1.0.0
description:
  - Keys are age identities that C(age -i) reads. They are made on the node and never leave it; results and
    logs hold their ids and public halves only.
  - A new key is archived before it is used and the old one stays archived, so that no backup is ever without
    the key that opens it.
  - Keys of the shell runbook are adopted. They go on opening its archives, and nothing new is encrypted to
    them.
  - A run that is killed leaves the old key or the new one in use, and the next run finishes what it began.
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
  idempotent:
    support: partial
    details: O(state=rotated) makes a new key each time; O(not_before) makes a rotation idempotent.
options:
  state:
    description:
      - V(present) makes a key when there is none, and rotates one that is older than O(max_age), was made
        before O(not_before), or is the shell runbook's.
      - V(rotated) makes a new key in any case.
      - V(pruned) removes archived keys that were succeeded more than O(retention) days ago and that no backup
        on the node needs. Backups elsewhere are not known here.
    type: str
    choices: [present, rotated, pruned]
    default: present
  max_age:
    description: Days after which V(present) rotates the key; 0 for never.
    type: float
    default: 30
  not_before:
    description:
      - An instant (RFC 3339); V(present) rotates a key that was made before it.
      - With the same instant again a rotation of a fleet that broke off is finished, and no node is rotated
        twice.
    type: str
  retention:
    description: Days for which V(pruned) keeps a key after the next one was made.
    type: float
    default: 180
  rewrap:
    description:
      - Give every encrypted backup on the node a new header for the current key and O(recovery_recipients).
        The payload is copied as it is; afterwards older keys open none of them.
      - A backup that is for recovery recipients is left as it is when O(recovery_recipients) is empty, and
        told in RV(rewrap.failed), so that a forgotten variable takes nobody's last way in.
      - Whoever had an old key and the file may have kept what opens it. When a key leaked, use O(rekey).
    type: bool
    default: false
  rekey:
    description:
      - Encrypt every backup anew that was encrypted before the current key was made, which costs what reading
        and writing them costs. It does what O(rewrap) does as well.
    type: bool
    default: false
seealso:
  - module: vvtv.runbook.backup_key_info
  - module: vvtv.runbook.backup
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Have a key that is younger than 30 days
  vvtv.runbook.backup_key:
    root: /srv/vvtv

- name: Rotate every node once, however often this is run
  vvtv.runbook.backup_key:
    root: /srv/vvtv
    not_before: "2026-11-23T09:00:00Z"
    rewrap: true
    recovery_recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p

- name: A key leaked, so no archive may be openable with it or with what it opened
  vvtv.runbook.backup_key:
    root: /srv/vvtv
    state: rotated
    rekey: true

- name: Remove keys that nothing needs any more
  vvtv.runbook.backup_key:
    root: /srv/vvtv
    state: pruned
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
reason:
  description: Why a new key was made.
  type: str
  returned: when one was made, or in check mode would be
key:
  description: The current key; none if there is none, or in check mode if a new one would be made.
  type: dict
  returned: success
  contains:
    id:
      description: Its id, the instant it was made (UTC).
      type: str
      sample: 20260131T235959Z
    kind:
      description: V(age), or V(legacy) for a key of the shell runbook.
      type: str
    recipient:
      description: Its public half; none for a key of the shell runbook.
      type: str
    created_at:
      description: The instant it was made.
      type: str
    age_days:
      description: How old it is.
      type: float
previous_key:
  description: The key that was current before, as RV(key); none if there was none.
  type: dict
  returned: success
keyring:
  description: Every key, newest first, each as RV(key) and more.
  type: list
  elements: dict
  returned: success
  contains:
    current:
      description: Whether it is the one in use.
      type: bool
    opens:
      description: Ids of the backups on the node that it opens, found out by trying.
      type: list
      elements: str
    needed_by:
      description: Ids of the backups that could not be opened without it.
      type: list
      elements: str
rewrap:
  description: Ids of the encrypted backups, by what became of them.
  type: dict
  returned: with O(rewrap) or O(rekey)
  contains:
    renewed:
      description: Re-wrapped or re-encrypted.
      type: list
      elements: str
    unchanged:
      description: Already as wanted.
      type: list
      elements: str
    failed:
      description: Damaged, or opened by no key; left as they were, and a warning says why.
      type: list
      elements: str
pruned:
  description: Ids of the keys that were removed.
  type: list
  elements: str
  returned: with O(state=pruned)
kept:
  description: Keys past their retention that backups need; each with C(id) and C(needed_by).
  type: list
  elements: dict
  returned: with O(state=pruned)
"""

from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core.key_states import MAX_AGE_DAYS, RETENTION_DAYS, STATES, Request, bring_about
from ..module_utils._core.outcome import Outcome


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = Request(
        params["state"],
        params["max_age"],
        params["not_before"],
        params["retention"],
        params["rewrap"],
        params["rekey"],
        _argspec.recovery(params),
        params["lock_timeout"],
        _argspec.identity_file(params),
    )
    return bring_about(_argspec.node_at(params), request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.recovery_options(),
        **_argspec.identity_options(),
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "max_age": {"type": "float", "default": MAX_AGE_DAYS},
        "not_before": {"type": "str"},
        "retention": {"type": "float", "default": RETENTION_DAYS},
        "rewrap": {"type": "bool", "default": False},
        "rekey": {"type": "bool", "default": False},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
