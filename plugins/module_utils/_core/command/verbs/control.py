# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs that speak to the station: emergency mode, and its OwnerCard."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import card_change, card_history, emergency, owner_card, times
from ...errors import Damaged
from ...outcome import Outcome
from .. import exits, shared, show
from ..kinds import PATH, WHOLE, choice
from ..settings import Setting, switch
from ..verb import Call, Verb

_STDIN = "-"


# --- emergency mode ---


def _switch(call: Call, wanted: bool) -> Outcome:
    return emergency.bring_about(call.node(), call.api(signed=True), wanted, call["lock_timeout"], call.check)


def _switched(facts: Mapping[str, Any]) -> list[str]:
    names = {True: "on", False: "off"}
    return [f"emergency mode: {names[facts['emergency']]} (it was {names[facts['previous']]})"]


def _ask(call: Call) -> Outcome:
    status = call.api().status()
    told = {
        "emergency": status.emergency,
        "state": status.state,
        "timestamp": times.to_text(status.timestamp),
    }
    return Outcome(facts=told)


def _asked(facts: Mapping[str, Any]) -> list[str]:
    mode = "on" if facts["emergency"] else "off"
    return [f"emergency mode: {mode} (the station calls itself {show.cell(facts['state'])})"]


_TOGGLES = (
    "The station only offers a toggle. It is read, toggled at most once and read again until two answers in "
    "a row agree, under the node's lock, so that two operators at once end in the state asked for. Only "
    "/v1/status is asked, so it works while the station is unwell.",
)
_NEEDS = "Needs the station's token and secret, see --control-env-file."

EMERGENCY_ON = Verb(
    "emergency-on",
    "bring about that emergency mode is on",
    (*_TOGGLES, f"{_NEEDS} A restart of the station clears emergency mode."),
    lambda call: _switch(call, True),
    _switched,
    shared=(*shared.COMMANDING, *shared.NODE),
    exits=(exits.BUSY,),
    next_step=lambda facts: "vvtv-runbook emergency-off, when it is over",
)
EMERGENCY_OFF = Verb(
    "emergency-off",
    "bring about that emergency mode is off",
    (*_TOGGLES, _NEEDS),
    lambda call: _switch(call, False),
    _switched,
    shared=(*shared.COMMANDING, *shared.NODE),
    exits=(exits.BUSY,),
)
EMERGENCY = Verb(
    "emergency",
    "show whether emergency mode is on",
    ("Asks /v1/status, changes nothing, and needs neither a token nor the node's folder.",),
    _ask,
    _asked,
    shared=shared.ASKING,
    changes=False,
)


# --- the OwnerCard ---


def _given(call: Call, named: str | None) -> tuple[bytes | None, Path]:
    """Return the card's bytes and where they come from."""
    if named == _STDIN:
        source = call.names("standard input")
        data = sys.stdin.buffer.read(owner_card.MAX_BYTES + 1)
        if len(data) > owner_card.MAX_BYTES:
            raise Damaged(f"is larger than {owner_card.MAX_BYTES} bytes", path=source)
        return data, source
    node = call.node()
    return card_change.given(node, node.owner_card if named is None else call.names(named))


def _reload(call: Call) -> Outcome:
    node, named = call.node(), call["file"]
    if named is None and call["reload"] not in (None, "always"):
        raise exits.BadUsage(f"--reload {call['reload']} needs FILE")
    request = card_change.Request(
        *_given(call, named),
        call["keep"],
        call["reload"] or ("always" if named is None else "changed"),
        call["lock_timeout"],
        call["validate_only"],
    )
    unasked = request.validate_only or request.reload == "never"
    return card_change.install(node, None if unasked else call.api(signed=True), request, call.check)


def _reloaded(facts: Mapping[str, Any]) -> list[str]:
    before = facts["sha256_before"]
    return show.pairs(
        (
            ("card", facts["path"]),
            ("SHA-256", facts["sha256"]),
            ("before", None if before == facts["sha256"] else before or "none"),
            ("kept as", facts["previous"]),
            ("station told", facts["reloaded"]),
        )
    )


RELOAD_OWNER_CARD = Verb(
    "reload-owner-card",
    "install an OwnerCard, or let the station read the one in place",
    (
        "With FILE (- for standard input): checks the card as strictly as the station does, keeps the one in "
        "place as a dated copy beside it, replaces it in one step and lets the station read it. When the "
        "station does not confirm, the former card is put back. An invalid card changes nothing.",
        "Without FILE: checks the card in place and lets the station read it.",
        _NEEDS,
    ),
    _reload,
    _reloaded,
    options=(
        Setting(
            "file",
            PATH,
            None,
            "the card to install; without it the one in place is read again",
            positional=True,
        ),
        Setting("keep", WHOLE, card_history.KEEP, "how many former cards stay; 1 at least"),
        Setting(
            "reload",
            choice(card_change.RELOADS),
            None,
            "when to let the station read its card; changed with FILE, always without",
        ),
        switch("validate_only", "check the card and do nothing else"),
    ),
    shared=(*shared.COMMANDING, *shared.NODE),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook reload-owner-card card.yaml --check", "what would change"),
        ("vvtv-runbook reload-owner-card card.yaml", "install it"),
        ("ssh node vvtv-runbook reload-owner-card - < card.yaml", "the same from elsewhere"),
        ("vvtv-runbook reload-owner-card", "after editing the card in place"),
    ),
)

VERBS = (EMERGENCY_ON, EMERGENCY_OFF, EMERGENCY, RELOAD_OWNER_CARD)
