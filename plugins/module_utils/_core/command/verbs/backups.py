# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs about backups: make, verify, restore, list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ... import backup, catalogue, restore, verify
from ...manifest import SAFETY_NAME
from ...outcome import Outcome
from ...still import METHODS
from .. import exits, shared, show
from ..kinds import TEXT, choice
from ..settings import Setting, switch
from ..verb import Call, Verb, document_of

_ID = Setting("id", TEXT, "latest", "an id as the verb backups lists them, or latest", positional=True)


def _shown(made: Mapping[str, Any] | None) -> list[str]:
    if made is None:
        return []
    opens = [*made["key_ids"]]
    others = len(made["recipients"]) - len(opens)
    with_keys = f"with key {show.listed(opens)}"
    if others > 0:
        with_keys += f" and {others} recovery key{'s' if others > 1 else ''}"
    return show.pairs(
        (
            ("backup", made["id"]),
            ("name", made["name"]),
            ("kind", made["kind"]),
            ("opens", with_keys if opens else None),
            ("made", show.instant(made["created_at"])),
            ("size", show.size(made["size"])),
            ("path", made["path"]),
        )
    )


# --- backup ---


def _back_up(call: Call) -> Outcome:
    request = backup.Request(
        call["name"],
        call["force"],
        call["method"],
        call["lock_timeout"],
        call["encrypt"],
        call["compression"],
        tuple(call["recovery_recipients"]),
    )
    return backup.back_up(call.node(), request, call.check)


def _backed_up(facts: Mapping[str, Any]) -> list[str]:
    return [f"why: {show.cell(facts.get('reason'))}", *_shown(facts.get("backup"))]


def _after_backup(facts: Mapping[str, Any]) -> str | None:
    made = facts.get("backup")
    return f"vvtv-runbook verify {made['id']}" if made else None


BACKUP = Verb(
    "backup",
    "back up the node while its station goes on writing",
    (
        "Makes a consistent copy of the database and of the OwnerCard, encrypted unless told otherwise, "
        "reads it back and verifies it; only then it counts. The station is not stopped.",
        "Nothing is made when the newest good backup has the same content and still reads back well. A run "
        "that is killed leaves nothing that counts as a backup; the next one removes what it left.",
    ),
    _back_up,
    _backed_up,
    options=(
        shared.ENCRYPT,
        switch("force", "make a new one in any case"),
        Setting(
            "name",
            TEXT,
            None,
            "a name for a backup that a procedure owns; when a good backup has it, that one is kept",
        ),
        Setting("method", choice(METHODS), "auto", "how to read the database; auto is right"),
        shared.COMPRESSION,
        shared.RECOVERY,
    ),
    shared=(*shared.NODE, shared.METRICS_DIR),
    exits=(exits.BUSY,),
    examples=(
        ("vvtv-runbook backup", "what a timer runs"),
        ("vvtv-runbook backup --name before-change-4711", "a way back before a change"),
        ("vvtv-runbook backup --plain --force", "a new one, as the station's own tools make it"),
    ),
    measured="backups",
    next_step=_after_backup,
)


# --- verify ---


def _verify(call: Call) -> Outcome:
    return verify.verify_backups(call.node(), call["id"], call["integrity"], call.identity_file())


def _verified(facts: Mapping[str, Any]) -> list[str]:
    found = facts["backups"]
    if len(found) == 1:
        return ["good:", *_shown(found[0]), *(f"  {show.cell(line)}" for line in facts["checks"])]
    rows = [
        (one["id"], one["kind"], show.size(one["size"]), show.instant(one["created_at"])) for one in found
    ]
    return [f"good: all {len(found)} backups", *show.table(("ID", "KIND", "SIZE", "MADE"), rows)]


VERIFY = Verb(
    "verify",
    "prove that a backup is good by reading all of it back",
    (
        "Re-reads everything: authentication, hashes, SQLite's own check of the database, the rules of the "
        "OwnerCard. Writes nothing to disk but metrics. Reads archives of the shell runbook too.",
        "With all every backup is read before the run fails, and each that is not good is named.",
    ),
    _verify,
    _verified,
    options=(
        replace(_ID, about="an id, latest for the newest usable one, or all"),
        shared.CHECK_OF_DATABASE,
        shared.IDENTITY_FILE,
    ),
    shared=(*shared.NODE, shared.METRICS_DIR),
    changes=False,
    examples=(
        ("vvtv-runbook verify", "the newest one"),
        ("vvtv-runbook verify all --integrity full", "every one, as thoroughly as can be"),
    ),
    measured="backups",
)


# --- restore ---


def _restore(call: Call) -> Outcome:
    node = call.node()
    request = restore.Request(
        call["id"],
        call["integrity"],
        call["lock_timeout"],
        call.identity_file(),
        tuple(call["recovery_recipients"]),
    )
    confirmed = call["yes"] or call.check
    outcome = restore.restore(node, request, call.check or not confirmed)
    if confirmed or not outcome.changed:
        return outcome
    missing = exits.Unconfirmed(
        "nothing was done: a restore replaces the node's database and OwnerCard",
        path=node.root,
        hint="look at the plan, then run it again with --yes",
    )
    missing.facts = {"plan": document_of(outcome), "warnings": outcome.warnings}
    raise missing


def _restored(facts: Mapping[str, Any]) -> list[str]:
    plan = facts.get("plan")
    if plan is not None:
        return [*show.actions(plan["actions"], True), *show.diff(plan["diff"]), *_shown(plan.get("backup"))]
    safety = facts.get("safety") or {}
    lines = _shown(facts.get("backup"))
    if safety.get("id"):
        lines += ["what was replaced is kept as:", *_shown(safety)]
    elif safety.get("path"):
        lines.append(f"what was replaced is kept in {show.cell(safety['path'])}")
    if facts.get("exact") is False:
        lines.append("the station has written to the database since it was restored")
    return lines


def _after_restore(facts: Mapping[str, Any]) -> str | None:
    return "vvtv-runbook health"


RESTORE = Verb(
    "restore",
    "put a backup back, under a running station too",
    (
        "Proves the backup good, keeps what is there now as a backup of its own, then replaces the database "
        "in one transaction and the OwnerCard in one step, and proves both. A station that has the database "
        "open sees the restored data and goes on. A missing or damaged database is restored as well.",
        "Without --yes it shows what would be replaced by what, does nothing, and ends with 3. It asks no "
        "question, so that it can be run from anywhere. Nothing to do needs no confirmation.",
    ),
    _restore,
    _restored,
    options=(
        replace(_ID, default=None, needed=True),
        switch("yes", "do it; without it the plan is shown"),
        shared.CHECK_OF_DATABASE,
        shared.IDENTITY_FILE,
        shared.RECOVERY,
    ),
    shared=shared.NODE,
    exits=(exits.UNCONFIRMED, exits.BUSY),
    examples=(
        ("vvtv-runbook restore latest", "what would be replaced by what"),
        ("vvtv-runbook restore latest --yes", "do it"),
        (
            "vvtv-runbook restore 20260131T235959Z --identity-file /dev/shm/recovery.key --yes",
            "when the node's keys are lost",
        ),
    ),
    next_step=_after_restore,
)


# --- backups ---


def _tell(call: Call) -> Outcome:
    return catalogue.tell(call.node().backup_dir)


def _told(facts: Mapping[str, Any]) -> list[str]:
    titles = ("ID", "KIND", "SIZE", "MADE", "VERIFIED", "NAME", "PROBLEM")
    rows = [
        (
            one["id"],
            one["kind"],
            show.size(one["size"]),
            show.instant(one["created_at"]),
            show.instant(one["verified"]),
            one["name"],
            one["problem"],
        )
        for one in facts["backups"]
    ]
    if not rows:
        return ["the node has no backup"]
    newest = facts["newest"]
    return [*show.table(titles, rows), f"the newest usable one is {newest['id'] if newest else 'none'}"]


BACKUPS = Verb(
    "backups",
    "list the backups of the node",
    (
        "Shows every backup, newest first, with what its folder says of itself; reading one back is what the "
        f"verb verify does. A backup named {SAFETY_NAME} is what a restore replaced; it is never the newest "
        "usable one.",
    ),
    _tell,
    _told,
    shared=shared.NODE,
    changes=False,
    examples=(("vvtv-runbook backups --json | python3 -m json.tool", "the same for a program"),),
)

VERBS = (BACKUP, VERIFY, RESTORE, BACKUPS)
