# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups of a node each of its keys opens, found out by trying and not by what is said of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import catalogue
from .catalogue import Backup
from .errors import RunbookError
from .keyring import Key, Keyring
from .node import Node
from .opening import Keys, opening_keys
from .outcome import Outcome


@dataclass
class Use:
    """One key of a node. ``opens`` are backups it opens; ``needed_by`` those that would be lost without it.

    ``succeeded_at`` is when the next key was made, ``None`` for the newest.
    """

    key: Key
    current: bool
    succeeded_at: datetime | None
    opens: list[str] = field(default_factory=list)
    needed_by: list[str] = field(default_factory=list)

    def result(self, now: datetime) -> dict[str, Any]:
        """Return what modules show of it."""
        return {
            **self.key.result(now),
            "current": self.current,
            "opens": self.opens,
            "needed_by": self.needed_by,
        }


def uses_of(node: Node, ring: Keyring, outcome: Outcome, renewed: Collection[str] = ()) -> list[Use]:
    """Return every key of a node, newest first, with what it is good for.

    A backup whose keys cannot be told needs every key that could be its own; ``outcome`` is warned of it.
    ``renewed`` are backups that are about to be for the current key only.
    """
    keys = Keys(node, ring=ring)
    uses = _without_backups(ring)
    by_print = {use.key.fingerprint: use for use in uses}
    for backup in catalogue.list_backups(node.backup_dir):
        if backup.kind not in ("encrypted", "legacy"):
            continue
        try:
            found = opening_keys(backup, keys)
            if backup.id in renewed and ring.current is not None:
                found = [ring.current]
        except RunbookError as exc:
            _warn(outcome, f"backup {backup.id} cannot be read, so every key it may need is kept: {exc}")
            _need_all(backup, uses)
            continue
        opening = [by_print[key.fingerprint] for key in found]
        for use in opening:
            use.opens.append(backup.id)
        if opening:
            _need(backup, opening)
        else:
            _warn(outcome, f"no key of the node opens backup {backup.id}; keys that may be its own are kept")
            _need_named(backup, uses)
    return uses


def _without_backups(ring: Keyring) -> list[Use]:
    keys = sorted(ring.keys, key=lambda key: (key.created_at, key.id), reverse=True)
    successors: list[datetime | None] = [None, *(key.created_at for key in keys[:-1])]
    return [
        Use(_archived(ring, key), key is ring.current, next_made) for key, next_made in zip(keys, successors)
    ]


def _archived(ring: Keyring, key: Key) -> Key:
    """Return the key with its path in the archive, which is where pruning takes it from."""
    return next((known for known in ring.archived if known.fingerprint == key.fingerprint), key)


def _need(backup: Backup, opening: list[Use]) -> None:
    """A backup needs all keys that may open it, unless the current one surely does.

    Whether a key really opens an archive of the shell runbook is known only after reading it all, so each
    that may is needed.
    """
    if backup.kind == "encrypted" and any(use.current for use in opening):
        return
    for use in opening:
        use.needed_by.append(backup.id)


def _need_named(backup: Backup, uses: list[Use]) -> None:
    """A damaged archive may be mended from a copy, so it needs the keys it names, or all if it names none."""
    _need_all(backup, [use for use in uses if not backup.key_ids or use.key.id in backup.key_ids])


def _need_all(backup: Backup, uses: list[Use]) -> None:
    for use in uses:
        # What the shell runbook encrypts after we adopted its keyring is under a key of ours.
        if not use.current and (use.key.kind == "age" or backup.kind == "legacy"):
            use.needed_by.append(backup.id)


def _warn(outcome: Outcome, warning: str) -> None:
    if warning not in outcome.warnings:
        outcome.warnings.append(warning)
