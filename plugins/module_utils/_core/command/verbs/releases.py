# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs of a node's releases: which there are, and the way back from a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import releases, station
from ...control_api import Api
from ...errors import RunbookError
from ...outcome import Outcome
from ...rollout import begun, folder, guard_firing, rollback
from .. import exits, shared, show
from ..kinds import PATH, SECONDS, TEXT
from ..settings import Setting, switch
from ..verb import Call, Verb
from .health import limits

_RELEASE_DIR = Setting("release_dir", PATH, None, "the folder of the releases; relative to the root")
_CURRENT = Setting("current", PATH, None, "the link to the release in force; relative to the root")
_CANARY_DIR = Setting(
    "canary_dir", PATH, folder.CANARY_DIR, "the folder with one folder for each rollout; relative to the root"
)


# --- rollback ---


def _api(call: Call) -> tuple[Api, list[str]]:
    """The way back does not depend on whether the station can be given commands."""
    try:
        return call.api(signed=True), []
    except RunbookError as exc:
        told = f"the station can be given no command, such as to put emergency mode on again: {exc}"
        return call.api(), [told]


def _roll_back(call: Call) -> Outcome:
    node = call.node()
    if call["rollout"] is None:
        hint = f"give --rollout; each has a folder in {folder.CANARY_DIR}"
        raise exits.BadUsage("it is not said which rollout", hint=hint)
    thresholds, scope = limits(call)
    request = rollback.Request(
        call["reason"],
        timeout=call["lock_timeout"],
        wait_timeout=call["wait_timeout"],
        thresholds=thresholds,
        scope=scope,
        recovery=tuple(call["recovery_recipients"]),
        release_dir=call["release_dir"],
        current=call["current"],
        restart_seconds=call["restart_timeout"],
    )
    where = folder.Folder.of(node, call["rollout"], call["canary_dir"])
    api, warnings = _api(call)
    act = guard_firing.fire if call["guard"] else rollback.roll_back
    outcome = act(where, api, request, call.check)
    outcome.warnings += warnings
    return outcome


def _rolled_back(facts: Mapping[str, Any]) -> list[str]:
    told, waits = facts.get("rollback") or {}, facts.get("guard") or {}
    lost = told.get("discarded") or {}
    state = (facts.get("record") or {}).get("state")
    return show.pairs(
        (
            ("node", state),
            ("guard", waits.get("why")),
            ("because", told.get("reason")),
            ("release", told.get("release") or ("none" if told else None)),
            ("OwnerCard", told.get("card_sha256") or ("none" if told else None)),
            ("restored from", told.get("backup")),
            ("discarded since", show.instant(lost.get("since"))),
            ("kept as", lost.get("backup") or lost.get("path")),
            ("healthy", told.get("healthy")),
            ("emergency mode", told.get("emergency") or None),
        )
    )


ROLLBACK = Verb(
    "rollback",
    "take the node back to what it was before a rollout",
    (
        "Ends the rollout's soak, puts the former OwnerCard and release back, restores the state from the "
        "backup that the rollout made, restarts the station and waits until the node is healthy. All that it "
        "needs lies on the node. What is discarded is kept as a backup. --check proves that it can be done.",
        "A run that is killed is finished by the next one. A node that has gone back already is left as it "
        "is. When the node is not whole or not healthy at the end the record says NEEDS_OPERATOR, and the "
        "exit code is 1.",
        "Restarting units of systemd needs root. A token and a secret, see --control-env-file, are needed to "
        "put emergency mode on again.",
    ),
    _roll_back,
    _rolled_back,
    options=(
        Setting("rollout", TEXT, None, "the rollout's id; needed"),
        Setting("reason", TEXT, rollback.REASON, "why, for the record"),
        switch("guard", "only if the rollout's guard is due and was not confirmed; what its timer runs"),
        Setting("wait_timeout", SECONDS, begun.WAIT_SECONDS, "how long the node may take to become healthy"),
        Setting("restart_timeout", SECONDS, station.SECONDS, "how long a restart of the station may take"),
        _CANARY_DIR,
        _RELEASE_DIR,
        _CURRENT,
        shared.RECOVERY,
        *shared.LIMITS,
        *shared.SCOPE,
    ),
    shared=(*shared.COMMANDING, *shared.NODE),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook rollback --rollout 20260131T235959Z --check", "what it would do"),
        ("vvtv-runbook rollback --rollout 20260131T235959Z --reason 'no picture'", "do it"),
    ),
    next_step=lambda facts: "vvtv-runbook health",
)


# --- releases ---


def _list(call: Call) -> Outcome:
    return releases.tell(releases.Shelf.of(call.node(), call["release_dir"], call["current"]))


def _listed(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            "*" if one["current"] else "",
            one["id"],
            show.instant(one["created_at"]),
            one["previous"],
            one["sha256"],
        )
        for one in facts["releases"]
    ]
    return [
        f"the station runs {facts['current'] or 'no release'}",
        *show.table(("", "ID", "UNPACKED", "CAME AFTER", "SHA-256 OF ITS ARCHIVE"), rows),
    ]


RELEASES = Verb(
    "releases",
    "list the releases of the node",
    ("Shows every release that was unpacked, newest first; the one in force has a star.",),
    _list,
    _listed,
    options=(_RELEASE_DIR, _CURRENT),
    shared=shared.NODE,
    changes=False,
)

VERBS = (ROLLBACK, RELEASES)
