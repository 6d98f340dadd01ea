# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proving that a backup is good by reading all of it back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from . import catalogue, files, owner_card, sqlite, times
from .catalogue import Backup
from .errors import BadInput, Damaged, NotFound, RunbookError, guarded
from .outcome import Outcome

INTEGRITY = ("quick", "full")
ALL = "all"


def check_integrity_option(integrity: str) -> str:
    """Return ``integrity`` when it is one of :data:`INTEGRITY`, else raise :class:`BadInput`."""
    if integrity not in INTEGRITY:
        raise BadInput(f"integrity must be one of {', '.join(INTEGRITY)}, not {integrity!r}")
    return integrity


def verify(backup: Backup, integrity: str = "quick") -> list[str]:
    """Re-read a backup: hashes, the database's own integrity, the OwnerCard's rules.

    ``integrity`` is ``quick`` or ``full`` (also indexes against tables). Writes nothing. Return what was
    proved; raise :class:`Damaged` naming the first file that is not good.
    """
    check_integrity_option(integrity)
    facts = backup.facts
    for path, wanted in (
        (backup.state_db, facts.state_db_sha256),
        (backup.owner_card, facts.owner_card_sha256),
    ):
        with guarded("verify", path):
            if path.is_symlink() or not path.is_file():
                raise Damaged("is not a regular file", path=path)
        found = files.sha256_of(path)
        if found != wanted:
            raise Damaged(
                f"has SHA-256 {found}, the manifest says {wanted}",
                path=path,
                hint="use another backup",
            )
    sqlite.check_still(backup.state_db, integrity)
    owner_card.read(backup.owner_card)
    return [
        f"{facts.state_db_file}: SHA-256 agrees with the manifest",
        f"{facts.owner_card_file}: SHA-256 agrees with the manifest",
        f"{facts.state_db_file}: SQLite finds it sound ({integrity} check)",
        f"{facts.owner_card_file}: keeps every rule of an OwnerCard",
    ]


def verify_backups(backup_dir: Path, wanted: str, integrity: str) -> Outcome:
    """Verify one backup by its id, the newest usable one (``latest``), or every one (``all``).

    Raise :class:`Damaged` when any of them is not good, after all were read, naming each.
    """
    if wanted != ALL:
        chosen = [catalogue.find(backup_dir, wanted)]
    else:
        chosen = catalogue.list_backups(backup_dir)
        if not chosen:
            raise NotFound("has no backup", path=backup_dir, hint="make one, or check backup_dir")
    checks: list[list[str]] = []
    problems = []
    for backup in chosen:
        try:
            checks.append(verify(backup, integrity))
        except Damaged as exc:
            problems.append(f"backup {backup.id} is damaged: {exc}")
    if problems:
        raise Damaged(f"{len(problems)} of {len(chosen)} not good: {'; '.join(problems)}", path=backup_dir)
    verified = times.to_text(times.now())
    results = [{**backup.result(), "verified": verified} for backup in chosen]
    return Outcome(facts={"backup": results[0], "backups": results, "checks": checks[0]})


def content_of(backup: Backup) -> str | None:
    """Return the content digest of a backup, or ``None`` when it cannot be read.

    The station's own backups record none, so theirs is computed.
    """
    recorded = backup.facts.content_sha256
    if recorded is not None:
        return recorded
    with suppress(RunbookError):
        return sqlite.digests_of(backup.state_db)[1]
    return None
