# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a node's archives are encrypted to: its current key, and the fleet's recovery recipients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .age import keys as age_keys
from .age.envelope import Recipient
from .age.failures import BadKey
from .archive.sidecar import For
from .errors import MissingKey
from .keyring import Keyring


@dataclass(frozen=True)
class Recipients:
    """``keys`` can be encrypted to; ``listed`` says the same for ``backup.json``, in the same order."""

    keys: tuple[Recipient, ...]
    listed: tuple[For, ...]

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The public keys as texts."""
        return tuple(who.recipient for who in self.listed)


def recipients_of(keyring: Keyring, recovery: Sequence[str]) -> Recipients:
    """Return the recipients of what the node encrypts now; ``recovery`` are public keys, ``age1...``.

    Raise :class:`MissingKey` when the node has no key to encrypt to, and :class:`BadKey` for a recovery
    recipient that cannot be used.
    """
    current = keyring.current
    if current is None or current.identity is None:
        what = (
            "no key" if current is None else "only a key of the shell runbook, which nothing is encrypted to"
        )
        raise MissingKey(
            f"the node has {what}",
            path=keyring.folder,
            hint="make one with the module vvtv.runbook.backup_key or the playbook vvtv.runbook.key_ensure",
        )
    keys: list[Recipient] = [current.identity.recipient]
    listed = [For(str(current.identity.recipient), current.id)]
    for number, text in enumerate(recovery, 1):
        try:
            key = age_keys.parse_recipient(text.strip())
        except BadKey as exc:
            raise BadKey(f"recovery_recipients, entry {number}: {exc.msg}", hint=exc.hint) from None
        if str(key) not in {who.recipient for who in listed}:
            keys.append(key)
            listed.append(For(str(key)))
    return Recipients(tuple(keys), tuple(listed))
