# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The station's releases: a folder for each, and a link that says which one the station runs.

``releases/<id>/`` is the tree, ``releases/<id>.json`` says what it was made of, ``current`` is a link to
``releases/<id>``. A release never changes; the link is replaced in one step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import files, release_tree, times
from .errors import AnyPath, BadInput, Damaged, NotFound, Unsafe, guarded, require_absolute
from .node import Node
from .outcome import Outcome
from .rollout import begun, folder, record, states

RELEASE_DIR = "releases"
CURRENT = "current"
KEEP = 5
VERSION = 1
_MAX_BYTES = 64 << 10
_STAGING = ".staging-"


@dataclass(frozen=True)
class Shelf:
    """Where a node's releases are: ``folder`` holds them, ``link`` leads to the one that is in force."""

    node: Node
    folder: Path
    link: Path

    @classmethod
    def of(cls, node: Node, release_dir: AnyPath | None = None, current: AnyPath | None = None) -> Shelf:
        """Return the shelf of a node; both paths may be relative to its root and need not exist."""
        return cls(
            node,
            require_absolute(node.root / (release_dir or RELEASE_DIR), "release_dir"),
            require_absolute(node.root / (current or CURRENT), "current"),
        )

    def tree(self, release: str) -> Path:
        """Return the folder of a release."""
        return self.folder / begun.check_release_id(release)

    def sidecar(self, release: str) -> Path:
        """Return the file that says what a release was made of."""
        return self.folder / f"{begun.check_release_id(release)}.json"

    def staging(self, release: str) -> Path:
        """Return where a release is made."""
        return self.folder / f"{_STAGING}{begun.check_release_id(release)}"


@dataclass(frozen=True)
class Release:
    """A release that this engine unpacked: the SHA-256 of its archive, the digest of its tree.

    ``previous`` is the one that it took the place of when it was last put in force.
    """

    id: str
    sha256: str
    tree_sha256: str
    created_at: datetime
    previous: str | None = None


# --- reading ---


def current_id(node: Node, release_dir: AnyPath | None = None, current: AnyPath | None = None) -> str | None:
    """Return the release that is in force, ``None`` when there is no link.

    Raise :class:`Unsafe` when something else has the link's name, and :class:`Damaged` when the link leads
    to anything but a release of this folder, which need not exist.
    """
    return in_force(Shelf.of(node, release_dir, current))


def in_force(shelf: Shelf) -> str | None:
    """Return the release that is in force, as :func:`current_id` does."""
    with guarded("read the link to the release in force", shelf.link):
        try:
            target = os.readlink(shelf.link)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if shelf.link.exists() and not shelf.link.is_symlink():
                hint = "move it into the folder of the releases and make a link to it"
                raise Unsafe(
                    "is no link, so no release can be put in its place", path=shelf.link, hint=hint
                ) from exc
            raise
    leads = Path(os.path.normpath(shelf.link.parent / target))
    if os.path.realpath(leads.parent) != os.path.realpath(shelf.folder):
        raise Damaged(f"leads to {leads}, which is not in {shelf.folder}", path=shelf.link)
    try:
        return begun.check_release_id(leads.name)
    except BadInput as exc:
        raise Damaged(f"leads to no release: {exc.msg}", path=shelf.link) from exc


def find(shelf: Shelf, release: str) -> Release | None:
    """Return a release with its tree, ``None`` when one of both is missing.

    Raise :class:`Damaged` for a file beside it that is none of ours.
    """
    found = _said(shelf, release)
    return found if found is not None and shelf.tree(release).is_dir() else None


def require(shelf: Shelf, release: str) -> Release:
    """Return a release after proving that its tree is the one that was unpacked.

    Raise :class:`NotFound` when it is not there and :class:`Damaged` when it has changed.
    """
    found = find(shelf, release)
    if found is None:
        raise NotFound("there is no such release", path=shelf.tree(release), hint="bring it there first")
    if release_tree.digest(shelf.tree(release)) != found.tree_sha256:
        raise Damaged(
            "is not what was unpacked: somebody has changed the release",
            path=shelf.tree(release),
            hint="remove its folder and the file beside it, and bring it there again",
        )
    return found


def listed(shelf: Shelf) -> list[Release]:
    """Return the releases that this engine unpacked, newest first."""
    with guarded("list the releases", shelf.folder):
        names = sorted(os.listdir(shelf.folder)) if shelf.folder.is_dir() else []
    found = [find(shelf, name) for name in names if _is_release(shelf, name)]
    return sorted((one for one in found if one is not None), key=lambda one: one.created_at, reverse=True)


def tell(shelf: Shelf) -> Outcome:
    """Return ``releases``, newest first, and the id of the one that is in force as ``current``."""
    now = in_force(shelf)
    told = [
        {**asdict(one), "created_at": times.to_text(one.created_at), "current": one.id == now}
        for one in listed(shelf)
    ]
    return Outcome(facts={"releases": told, "current": now})


def _is_release(shelf: Shelf, name: str) -> bool:
    try:
        return shelf.sidecar(name).is_file()
    except BadInput:
        return False


def _said(shelf: Shelf, release: str) -> Release | None:
    path = shelf.sidecar(release)
    try:
        data = files.read_bounded(path, _MAX_BYTES)
    except NotFound:
        return None
    try:
        found = json.loads(data)
        if found["v"] != VERSION or found["id"] != release:
            raise ValueError("another version, or another release")
        previous = found["previous"]
        return Release(
            release,
            begun.check_sha256(found["sha256"], "sha256"),
            begun.check_sha256(found["tree_sha256"], "tree_sha256"),
            times.parse(found["created_at"]),
            None if previous is None else begun.check_release_id(previous),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadInput) as exc:
        raise Damaged(f"does not say what the release is: {str(exc)[:80]}", path=path) from exc


def needed(node: Node, canary_dir: AnyPath | None = None) -> frozenset[str]:
    """Return the releases that rollouts name which are not settled: what they bring, and what was before.

    Raise a :class:`RunbookError` when that cannot be told.
    """
    base = require_absolute(node.root / (canary_dir or folder.CANARY_DIR), "canary_dir")
    names: set[str | None] = set()
    with guarded("list the rollouts", base):
        rollouts = sorted(os.listdir(base)) if base.is_dir() else []
    for rollout in rollouts:
        try:
            where = folder.Folder.of(node, rollout, canary_dir)
        except BadInput:
            continue  # a folder of the shell runbook's
        found = begun.find(where)
        if found is not None and record.last(record.read(where.record)) not in states.SETTLED:
            names |= {found.candidate.release_id, found.before_release}
    return frozenset(name for name in names if name is not None)


# --- changing; the caller holds the node's lock ---


def require_archive(archive: Path, sha256: str) -> None:
    """Raise :class:`Damaged` when an archive's SHA-256 is another."""
    found = files.sha256_of(archive)
    if found != sha256:
        raise Damaged(f"has the SHA-256 {found}, not {sha256}", path=archive, hint="bring it there again")


def unpack(shelf: Shelf, release: str, archive: Path, sha256: str) -> Release:
    """Make a release of an archive and return it; on any error, and when killed, there is none.

    Raise :class:`Damaged` when the archive's SHA-256 is another, with nothing unpacked, and when it may not
    be unpacked; :class:`Unsafe` when a folder has that name which this engine did not make.
    """
    require_archive(archive, sha256)
    if os.path.lexists(shelf.tree(release)):
        hint = "use another id, or remove it"
        raise Unsafe("is there already, and was not unpacked by us", path=shelf.tree(release), hint=hint)
    owner, staging = shelf.node.owner(), shelf.staging(release)
    files.make_folder(shelf.folder, 0o755, owner)
    files.remove_tree(staging)
    if release_tree.unpack(archive, staging, owner) != sha256:
        files.remove_tree(staging)
        raise Damaged("was changed while it was unpacked", path=archive, hint="run again")
    made = Release(release, sha256, release_tree.sealed(staging), times.now())
    _say(shelf, made)
    with guarded("give the release its name", shelf.tree(release)):
        staging.rename(shelf.tree(release))
        files.sync_folder(shelf.folder)
    return made


def _say(shelf: Shelf, release: Release) -> None:
    said: dict[str, Any] = {"v": VERSION, **asdict(release), "created_at": times.to_text(release.created_at)}
    data = json.dumps(said, indent=2).encode() + b"\n"
    files.replace(shelf.sidecar(release.id), data, 0o644, shelf.node.owner())


def remember(shelf: Shelf, release: Release, previous: str | None) -> Release:
    """Note which release another one takes the place of."""
    told = replace(release, previous=previous)
    if told != release:
        _say(shelf, told)
    return told


def switch(shelf: Shelf, release: str | None) -> None:
    """Let the link lead to a release, in one step and durably; ``None`` removes it.

    Raise :class:`NotFound` when the release has no tree.
    """
    link = shelf.link
    with guarded("switch the release", link):
        if release is None:
            files.remove(link)
        else:
            if not shelf.tree(release).is_dir():
                raise NotFound("there is no such release", path=shelf.tree(release))
            staged = files.staged_path(link)
            files.remove(staged)
            staged.symlink_to(os.path.relpath(shelf.tree(release), link.parent))
            owner = shelf.node.owner()
            if os.geteuid() == 0:
                os.lchown(staged, owner.uid, owner.gid)
            staged.replace(link)
        files.sync_folder(link.parent)


def surplus(shelf: Shelf, keep: int, spared: Collection[str | None]) -> list[Release]:
    """Return the releases beyond the newest ``keep`` of which none is ``spared``."""
    return [one for one in listed(shelf)[keep:] if one.id not in spared]


def remove(shelf: Shelf, release: str) -> None:
    """Remove a release; when killed, what is left of it is no release, and is removed with the next."""
    with guarded("remove the release", shelf.tree(release)):
        gone = shelf.staging(release)
        files.remove_tree(gone)
        shelf.tree(release).rename(gone)
        files.remove(shelf.sidecar(release))
        files.sync_folder(shelf.folder)
    files.remove_tree(gone)


def remove_leftovers(shelf: Shelf) -> list[Path]:
    """Remove what killed runs left half made, and return it."""
    with guarded("look for what killed runs left", shelf.folder):
        names = sorted(os.listdir(shelf.folder)) if shelf.folder.is_dir() else []
    staged = [*files.staged_in(shelf.folder)]
    if os.path.lexists(files.staged_path(shelf.link)):
        staged.append(files.staged_path(shelf.link))
    for path in staged:
        files.remove(path)
    halves = [shelf.folder / name for name in names if name.startswith(_STAGING)]
    for path in halves:
        files.remove_tree(path)
    # A name without its tree: the run was killed between both.
    lost = [
        shelf.sidecar(name[:-5]) for name in names if name.endswith(".json") and _is_lost(shelf, name[:-5])
    ]
    for path in lost:
        files.remove(path)
    return sorted({*staged, *halves, *lost})


def _is_lost(shelf: Shelf, release: str) -> bool:
    return _is_release(shelf, release) and not shelf.tree(release).exists()
