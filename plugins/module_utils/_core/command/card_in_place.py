# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Letting the station read the OwnerCard that is in place already, such as one that was edited there.

:func:`card_change.install` takes a card's bytes before it waits for the node's lock. With those of the card
in place it would undo what somebody else installs meanwhile; so here the card is read under the lock.
"""

from __future__ import annotations

import os

from .. import card_change, files, owner_card
from ..control_api import Api
from ..locks import node_lock
from ..node import Node
from ..outcome import Outcome
from ..restore_recovery import finish_interrupted, foretell_interrupted


def reload_present(node: Node, api: Api, timeout: float, check: bool) -> Outcome:
    """Check the card in place and let the station read it; the facts are those of ``install``.

    Raise :class:`InvalidCard` with the station left alone, and :class:`ApiFault` when it does not confirm.
    """
    outcome = Outcome()
    if check:
        foretell_interrupted(node, outcome)
        _describe(node, outcome)
        outcome.did("let the station read its card")
        return outcome
    with node_lock(node, "reload the OwnerCard", timeout):
        finish_interrupted(node, timeout, outcome)
        _describe(node, outcome)
        api.reload_owner_card()
        outcome.did("let the station read its card")
        files.remove(card_change.owed_marker(node))
    return outcome


def _describe(node: Node, outcome: Outcome) -> None:
    digest = files.sha256_hex(owner_card.read(node.owner_card))
    outcome.facts.update(
        path=os.fspath(node.owner_card), sha256=digest, sha256_before=digest, previous=None, reloaded=True
    )
