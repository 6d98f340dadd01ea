# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs about keys: have one that is young enough, rotate it, prune old ones, list them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ... import key_states
from ...errors import RunbookError
from ...outcome import Outcome
from .. import exits, shared, show
from ..kinds import TEXT
from ..settings import Setting, switch
from ..verb import Call, Verb, document_of

_NOT_BEFORE = Setting("not_before", TEXT, None, "also rotate a key made before this instant (RFC 3339)")
_REWRAP = switch(
    "rewrap", "give existing backups a header for the present recipients; their data stay as they are"
)
_REKEY = switch("rekey", "encrypt existing backups anew; the answer to a key that leaked")


class NotRenewed(RunbookError):
    """The keys are as they were asked for, but not every backup could be brought to them."""

    code: ClassVar[str] = "not_renewed"


def _bring_about(call: Call, state: str) -> Outcome:
    """Bring about a state of the keys; what the verb has no option for is as the engine has it."""

    def wanted(name: str, default: Any) -> Any:
        return call[name] if call.settings.has(name) else default

    usual = key_states.Request()
    request = key_states.Request(
        state,
        wanted("max_age", usual.max_age),
        wanted("not_before", usual.not_before),
        wanted("retention", usual.retention),
        wanted("rewrap", usual.rewrap),
        wanted("rekey", usual.rekey),
        tuple(wanted("recovery_recipients", usual.recovery)),
        call["lock_timeout"],
        call.identity_file() if call.settings.has("identity_file") else None,
    )
    outcome = key_states.bring_about(call.node(), request, call.check)
    failed = outcome.facts.get("rewrap", {}).get("failed")
    if failed:
        # As in the playbook: a rotation that left backups behind is no success.
        short = NotRenewed(
            f"{len(failed)} backups are as they were: {', '.join(failed)}",
            hint="the warnings say why; older keys may still be needed for them",
        )
        short.facts = document_of(outcome)
        raise short
    return outcome


def _ring(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            one["id"],
            one["kind"],
            show.instant(one["created_at"]),
            f"{one['age_days']:g} d",
            "current" if one["current"] else "archived",
            len(one["opens"]),
            len(one["needed_by"]),
        )
        for one in facts["keyring"]
    ]
    titles = ("KEY", "KIND", "MADE", "AGE", "STATE", "OPENS", "NEEDED BY")
    return show.table(titles, rows) or ["the node has no key"]


def _brought_about(facts: Mapping[str, Any]) -> list[str]:
    lines = [f"why: {show.cell(facts['reason'])}"] if facts.get("reason") else []
    key = facts.get("key")
    if key is not None:
        lines += show.pairs(
            (
                ("current key", key["id"]),
                ("public half", key["recipient"]),
                ("made", show.instant(key["created_at"])),
            )
        )
    told = facts.get("rewrap")
    if told is not None:
        lines += show.pairs((name, show.listed(told[name])) for name in ("renewed", "unchanged", "failed"))
    for kept in facts.get("kept", ()):
        lines.append(f"kept {show.cell(kept['id'])}: needed by {show.listed(kept['needed_by'])}")
    return lines + _ring(facts)


def _after_rotation(facts: Mapping[str, Any]) -> str | None:
    return "vvtv-runbook backup, so that there is a backup under the new key" if facts.get("reason") else None


KEY_ENSURE = Verb(
    "key-ensure",
    "make a key if there is none, rotate one that is too old",
    (
        "Brings about that the node has a current key younger than --max-age. The key is made on the node "
        "and stays there; what it replaces stays archived, so that older backups open.",
    ),
    lambda call: _bring_about(call, "present"),
    _brought_about,
    options=(shared.MAX_AGE, _NOT_BEFORE, _REWRAP, _REKEY, shared.RECOVERY, shared.IDENTITY_FILE),
    shared=(*shared.NODE, shared.METRICS_DIR),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook key-ensure", "what a timer runs"),
        ("vvtv-runbook key-ensure --max-age 0 --rewrap", "bring old backups to the current recipients"),
    ),
    measured="keys",
    next_step=_after_rotation,
)

KEY_ROTATE = Verb(
    "key-rotate",
    "take a new key into use now",
    (
        "Makes a new key and archives the one before. Existing backups stay readable with that one; --rewrap "
        "brings them to the new key in a moment, and the old one can then be pruned.",
        "When a key may have leaked, --rekey: whoever holds the old key and an old archive can read it, "
        "re-wrapped or not.",
    ),
    lambda call: _bring_about(call, "rotated"),
    _brought_about,
    options=(_REWRAP, _REKEY, shared.RECOVERY, shared.IDENTITY_FILE),
    shared=(*shared.NODE, shared.METRICS_DIR),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook key-rotate --rewrap", "a new key, and all backups open with it"),
        ("vvtv-runbook key-rotate --rekey", "the old key has leaked"),
    ),
    measured="keys",
    next_step=_after_rotation,
)

KEY_PRUNE = Verb(
    "key-prune",
    "remove archived keys that are old and that no backup needs",
    (
        "Which backup needs which key is found out by trying. A key that any backup on the node needs stays, "
        "however old it is, and so does the current one.",
    ),
    lambda call: _bring_about(call, "pruned"),
    _brought_about,
    options=(shared.RETENTION,),
    shared=(*shared.NODE, shared.METRICS_DIR),
    exits=(exits.BUSY,),
    examples=(("vvtv-runbook key-prune --check", "which ones would go"),),
    measured="keys",
)

KEYS = Verb(
    "keys",
    "list the keys and which backups need them",
    ("Shows ids, ages and public halves, never a key. Which backup a key opens is found out by trying.",),
    lambda call: key_states.tell(call.node()),
    _brought_about,
    shared=(*shared.NODE, shared.METRICS_DIR),
    changes=False,
    measured="keys",
)

VERBS = (KEY_ENSURE, KEY_ROTATE, KEY_PRUNE, KEYS)
