# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dated copies of the OwnerCards that were in force before, in a folder beside the card."""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import files, times
from .errors import Damaged, NotFound, Unsafe, guarded

KEEP = 30
# A present card may be anything at all; what is larger than this is looked at by a person.
MAX_BYTES = 16 << 20
_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:-([1-9]\d{0,5}))?\.yaml", re.ASCII)


def folder_of(card: Path) -> Path:
    """Return the folder of a card's copies."""
    return card.with_name(f"{card.stem}.history")


def copies(card: Path) -> list[Path]:
    """Return the copies of a card, newest first; other files in the folder are not ours."""
    folder = folder_of(card)
    with guarded("list the former OwnerCards", folder):
        if folder.is_symlink():
            raise Unsafe("is a symbolic link", path=folder, hint="remove the link")
        if not folder.is_dir():
            return []
        names = [
            entry.name
            for entry in os.scandir(folder)
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        ]
    return [folder / name for name in sorted(names, key=_order, reverse=True)]


def keep(card: Path, present: bytes, owner: files.Owner) -> tuple[Path, bool]:
    """Keep the bytes of a card under a name of its own; return the copy, and whether it is a new one.

    The newest copy serves when it has these bytes already, as after a run that was killed. A new one gets
    the card's own mode and owner.
    """
    found = copies(card)
    if holds(card, present):
        return found[0], False
    folder = folder_of(card)
    files.make_folder(folder, 0o755, owner)
    mode, card_owner = files.mode_and_owner(card, 0o644, owner)
    target = folder / _new_name([path.name for path in found])
    files.replace(target, present, mode, card_owner)
    return target, True


def holds(card: Path, present: bytes) -> bool:
    """Tell whether the newest copy has these bytes."""
    found = copies(card)
    try:
        return bool(found) and files.read_bounded(found[0], MAX_BYTES) == present
    except (Damaged, NotFound):
        return False


def prune(card: Path, number: int, spared: Path | None) -> list[Path]:
    """Remove all but the newest ``number`` copies, never ``spared``; return those that were removed."""
    old = [path for path in copies(card)[number:] if path != spared]
    for path in old:
        files.remove(path)
    return old


def remove_leftovers(card: Path) -> None:
    """Remove what a killed run left half written; the caller holds the node's lock."""
    for path in files.staged_in(folder_of(card)):
        files.remove(path)


def _new_name(taken: list[str]) -> str:
    """Return a name after all that were made in this second, also when earlier ones are gone."""
    base = times.to_id(times.now())
    numbers = [number for second, number in map(_order, taken) if second == base]
    return f"{base}-{max(numbers) + 1}.yaml" if numbers else f"{base}.yaml"


def _order(name: str) -> tuple[str, int]:
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2] or 1)) if found else ("", 0)
