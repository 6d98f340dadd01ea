# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proving that a backup is good by reading all of it back."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

from . import catalogue, files, owner_card, sqlite, times
from .archive.read import Write
from .catalogue import Backup
from .errors import BadInput, Damaged, MissingKey, NotFound, RunbookError, Unsupported, guarded
from .manifest import OWNER_CARD_FILE, STATE_DB_FILE
from .node import Node
from .opening import Keys, Proof, read_archive
from .outcome import Outcome
from .scratch import Scratch, scratch

INTEGRITY = ("quick", "full")
ALL = "all"


def check_integrity_option(integrity: str) -> str:
    """Return ``integrity`` when it is one of :data:`INTEGRITY`, else raise :class:`BadInput`."""
    if integrity not in INTEGRITY:
        raise BadInput(f"integrity must be one of {', '.join(INTEGRITY)}, not {integrity!r}")
    return integrity


def verify(backup: Backup, keys: Keys, integrity: str = "quick") -> list[str]:
    """Re-read a backup: authentication, hashes, the database's own integrity, the OwnerCard's rules.

    ``integrity`` is ``quick`` or ``full`` (also indexes against tables). Writes nothing to disk. Return what
    was proved; raise :class:`Damaged` naming the first file that is not good, :class:`MissingKey` when no key
    opens it, :class:`Unsupported` when a full check of an archive finds no room in memory.
    """
    check_integrity_option(integrity)
    if backup.kind == "plain":
        return _verify_plain(backup, integrity)
    if backup.kind == "encrypted" and integrity == "quick":
        proof = read_archive(backup, keys)
        recorded = proof.contents.manifest.integrity
        if recorded in INTEGRITY:
            return _checks(
                backup, proof, f"SQLite found these very bytes sound as they were copied ({recorded})"
            )
    return _verify_in_memory(backup, keys, integrity)


def _verify_plain(backup: Backup, integrity: str) -> list[str]:
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


def _verify_in_memory(backup: Backup, keys: Keys, integrity: str) -> list[str]:
    """Let SQLite look at an archive's database without a copy on disk."""
    try:
        with ExitStack() as stack:
            proof, space = read_into_memory(backup, keys, stack)
            sqlite.require_state(space.connection, backup.archive / STATE_DB_FILE)
            sqlite.require_sound(space.connection, backup.archive / STATE_DB_FILE, integrity)
    except Unsupported as exc:
        if integrity == "full":
            hint = "verify it with integrity quick, or restore it on a larger machine"
            raise Unsupported(
                f"backup {backup.id} cannot be checked: {exc.msg}", path=exc.path, hint=hint
            ) from exc
        return _checks(backup, read_archive(backup, keys), "was not checked by SQLite, for want of memory")
    return _checks(backup, proof, f"SQLite finds it sound ({integrity} check)")


def read_into_memory(backup: Backup, keys: Keys, stack: ExitStack) -> tuple[Proof, Scratch]:
    """Read an archive with its database in memory, where it stays until ``stack`` is closed.

    Raise :class:`Unsupported` when there is no room, and what :func:`read_archive` raises.
    """
    spaces: list[Scratch] = []

    def keep(size: int) -> Write:
        spaces.append(stack.enter_context(scratch(size)))
        return spaces[-1].write

    return read_archive(backup, keys, keep), spaces[-1]


def _checks(backup: Backup, proof: Proof, soundness: str) -> list[str]:
    name = backup.archive_name
    if backup.kind == "legacy":
        first = f"{name}: decrypts; its format carries no authentication"
    else:
        first = f"{name}: every byte is as it was encrypted"
    checks = [
        first,
        f"{STATE_DB_FILE}: SHA-256 agrees with the manifest",
        f"{OWNER_CARD_FILE}: SHA-256 agrees with the manifest",
        f"{STATE_DB_FILE}: {soundness}",
        f"{OWNER_CARD_FILE}: keeps every rule of an OwnerCard",
    ]
    if backup.sha256 is not None:
        agrees = backup.sha256 == proof.sha256
        checks.append(
            f"{name}: SHA-256 {'agrees with' if agrees else 'is another than in'} what lies beside it"
        )
    return checks


def verify_backups(node: Node, wanted: str, integrity: str, identity_file: Path | None = None) -> Outcome:
    """Verify one backup by its id, the newest usable one (``latest``), or every one (``all``).

    Raise :class:`Damaged` when any of them is not good, or :class:`MissingKey` when the only fault is that no
    key opens one, after all were read, naming each.
    """
    backup_dir, keys = node.backup_dir, Keys(node, identity_file)
    if wanted != ALL:
        chosen = [catalogue.find(backup_dir, wanted)]
    else:
        chosen = catalogue.list_backups(backup_dir)
        if not chosen:
            raise NotFound("has no backup", path=backup_dir, hint="make one, or check backup_dir")
    outcome, checks = Outcome(), []
    problems: list[RunbookError] = []
    for backup in chosen:
        try:
            checks.append(verify(backup, keys, integrity))
        except Damaged as exc:
            problems.append(Damaged(f"backup {backup.id} is damaged: {exc}", path=exc.path))
        except MissingKey as exc:
            problems.append(exc)
        if backup.note is not None:
            outcome.warnings.append(f"backup {backup.id} is judged by its archive alone: {backup.note}")
    _raise_all(problems, len(chosen), backup_dir)
    verified = times.to_text(times.now())
    results = [{**backup.result(), "verified": verified} for backup in chosen]
    outcome.facts = {"backup": results[0], "backups": results, "checks": checks[0]}
    return outcome


def _raise_all(problems: list[RunbookError], count: int, backup_dir: Path) -> None:
    if len(problems) == 1 and count == 1:
        raise problems[0]
    if problems:
        kind = Damaged if any(isinstance(problem, Damaged) for problem in problems) else MissingKey
        told = "; ".join(str(problem) for problem in problems)
        raise kind(f"{len(problems)} of {count} not good: {told}", path=backup_dir)


def content_of(backup: Backup) -> str | None:
    """Return the content digest of a backup, or ``None`` when it is not known.

    The station's own plain backups record none, so theirs is computed.
    """
    if backup.content_sha256 is not None or backup.kind != "plain":
        return backup.content_sha256
    with suppress(RunbookError):
        return sqlite.digests_of(backup.state_db)[1]
    return None
