# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run leaves for monitoring: how it went, and what the node has.

Two kinds of files, so that no metric is in two of them: ``vvtv_runbook_VERB.prom`` says how the last run of a
verb went, ``vvtv_runbook_node_SUBJECT.prom`` what the node has of backups, keys, availability. The latter is
read from the node and not from the run, so it is true after a failed run as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import catalogue, keyring, slo, times
from ..catalogue import Backup
from ..errors import BadInput
from . import textfile
from .textfile import Gauge, one
from .verb import Call, Verb
from .verbs.availability import objective

_CLOCK_MARGIN = 300.0


@dataclass(frozen=True)
class Run:
    """One run of a verb: when it ended (Unix seconds), how long it took, whether it succeeded."""

    verb: str
    ended: float
    seconds: float
    succeeded: bool


def leave(folder: Path, verb: Verb, run: Run, call: Call) -> None:
    """Write how a run went and what the node has. Raise a :class:`RunbookError` when that cannot be done."""
    with textfile.held(folder):
        textfile.write(folder, run.verb, _of_run(folder, run))
        if verb.measured is not None:
            textfile.write(folder, f"node_{verb.measured}", _SUBJECTS[verb.measured](call))


def _of_run(folder: Path, run: Run) -> Sequence[Gauge]:
    label = f'{{verb="{run.verb}"}}'
    success = run.ended if run.succeeded else None
    if success is None:
        latest = run.ended + _CLOCK_MARGIN
        success = textfile.former(folder, run.verb, "last_success_timestamp_seconds", label, latest)

    def of_verb(name: str, about: str, value: float) -> Gauge:
        return Gauge(name, about, "verb", {run.verb: value})

    return (
        of_verb("last_run_timestamp_seconds", "When the verb last ended.", run.ended),
        of_verb(
            "last_success_timestamp_seconds", "When the verb last succeeded; 0 for never.", success or 0.0
        ),
        of_verb("last_run_success", "Whether the last run of the verb succeeded.", float(run.succeeded)),
        of_verb("duration_seconds", "How long the last run of the verb took.", run.seconds),
    )


def _instant(text: str | None) -> float | None:
    try:
        return None if text is None else times.parse(text).timestamp()
    except BadInput:
        return None


def _backups(call: Call) -> Sequence[Gauge]:
    known = catalogue.list_backups(call.node().backup_dir)
    usable = [backup for backup in known if backup.problem is None]
    newest = catalogue.newest_good(usable)
    verified = catalogue.newest_good([backup for backup in usable if backup.verified_at is not None])
    return (
        one("backups", "How many usable backups the node has.", len(usable)),
        one("unusable_backups", "How many backups of the node cannot be used.", len(known) - len(usable)),
        one("backup_size_bytes", "Size of the newest usable backup.", newest.size if newest else None),
        one(
            "newest_backup_timestamp_seconds",
            "When the newest usable backup was made; 0 for none.",
            _made(newest),
        ),
        one(
            "newest_verified_backup_timestamp_seconds",
            "When the newest backup was made that was read back and found good; 0 for none.",
            _made(verified),
        ),
    )


def _made(backup: Backup | None) -> float:
    return 0.0 if backup is None else _instant(backup.created_at) or 0.0


def _keys(call: Call) -> Sequence[Gauge]:
    ring = keyring.read(call.node())
    made = None if ring.current is None else ring.current.created_at.timestamp()
    return (
        one("keys", "How many keys the node has.", len(ring.keys)),
        one("key_created_timestamp_seconds", "When the current key was made; 0 for none.", made or 0.0),
    )


def _availability(call: Call) -> Sequence[Gauge]:
    """Availability over each window; nothing for one in which nothing was measured."""
    facts = slo.tell(call.node(), objective(call), fail_below=False).facts
    last = facts["samples"]["last"]
    shares = {window["name"]: window["availability"] for window in facts["windows"]}
    return (
        one("available", "Whether the station was available at the last sample.", last and last["available"]),
        one(
            "last_sample_timestamp_seconds", "When the last sample was taken.", last and _instant(last["ts"])
        ),
        Gauge(
            "availability_ratio",
            "The share of the window for which the station was available.",
            "window",
            {name: share for name, share in shares.items() if share is not None},
        ),
    )


_SUBJECTS: dict[str, Callable[[Call], Sequence[Gauge]]] = {
    "backups": _backups,
    "keys": _keys,
    "availability": _availability,
}
