# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a release to a node, and putting it in force with a restart of the station."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import release_tree, releases, station
from .control_answers import Status
from .control_http import ApiFault
from .errors import AnyPath, BadInput, NotFound, RunbookError
from .locks import node_lock
from .node import Node
from .outcome import Outcome
from .releases import Release, Shelf
from .restore_recovery import finish_interrupted, foretell_interrupted
from .rollout.begun import Restart, check_release_id, check_sha256

STATES = ("present", "current")


class Asked(Protocol):
    """What is asked of the station's API."""

    def status(self) -> Status:
        """Ask for the station's state."""


@dataclass(frozen=True)
class Request:
    """``state`` is one of :data:`STATES`; ``src`` and ``sha256`` are the archive, needed for ``present``.

    ``keep`` is how many releases stay, ``timeout`` the seconds to wait for the node's lock. ``release_dir``,
    ``current`` and ``canary_dir`` may be relative to the node's root.
    """

    id: str
    state: str = STATES[0]
    src: Path | None = None
    sha256: str | None = None
    keep: int = releases.KEEP
    restart: Restart = field(default_factory=Restart)
    restart_seconds: float = station.SECONDS
    timeout: float = 30.0
    release_dir: AnyPath | None = None
    current: AnyPath | None = None
    canary_dir: AnyPath | None = None

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that cannot be."""
        check_release_id(self.id)
        if self.state not in STATES:
            raise BadInput(f"state must be one of {', '.join(STATES)}, not {self.state[:40]!r}")
        if self.state == STATES[0] and (self.src is None or self.sha256 is None):
            raise BadInput("a release is unpacked from src, whose sha256 must be given")
        if self.sha256 is not None:
            check_sha256(self.sha256, "sha256")
        if self.keep < 1:
            raise BadInput("keep must be 1 or more")
        if not 0 < self.restart_seconds <= 86_400:
            raise BadInput("a restart may take above 0 and at most 86400 seconds")


class InEmergency(RunbookError):
    """The station is in emergency mode, which a restart would end."""

    code = "emergency"


def bring_about(node: Node, api: Asked | None, request: Request, check: bool = False) -> Outcome:
    """Bring about that a release is present, or that it is the one in force.

    ``api`` is needed for ``current``. ``check`` tells the same plan and does nothing. Fact: ``release``.
    Raise a :class:`RunbookError`: of an archive that may not be unpacked with nothing changed,
    :class:`station.NotRestarted` with the release in force and the restart still owed.
    """
    shelf, outcome = Shelf.of(node, request.release_dir, request.current), Outcome()
    if check:
        foretell_interrupted(node, outcome)
        _bring_about(shelf, api, request, outcome, check=True)
        return outcome
    with node_lock(node, f"release {request.id} {request.state}", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        for path in releases.remove_leftovers(shelf):
            outcome.did(f"removed {path}, left half made by a run that was killed")
        _bring_about(shelf, api, request, outcome, check=False)
    return outcome


def _bring_about(shelf: Shelf, api: Asked | None, request: Request, outcome: Outcome, check: bool) -> None:
    before = releases.in_force(shelf)
    if request.state == "present":
        found = _present(shelf, request, before, outcome, check)
        _tell(shelf, request, found, before, False, outcome)
    else:
        if api is None:
            raise BadInput("to put a release in force the control API is needed")
        found = _current(shelf, api, request, before, outcome, check)
    _prune(shelf, request, found, outcome, check)


# --- present ---


def _present(
    shelf: Shelf, request: Request, before: str | None, outcome: Outcome, check: bool
) -> Release | None:
    src, sha256 = request.src, (request.sha256 or "").lower()
    found = releases.find(shelf, request.id)
    if found is not None:
        if found.sha256 != sha256:
            raise BadInput(
                f"the node has another release of this id, whose archive has the SHA-256 {found.sha256}",
                path=shelf.tree(request.id),
                hint="a release never changes: give the new one another id",
            )
        if request.id != before:
            releases.require(shelf, request.id)
        elif release_tree.digest(shelf.tree(request.id)) != found.tree_sha256:
            outcome.warnings.append(f"{shelf.tree(request.id)} was changed since it was unpacked")
        return found
    if src is None:
        raise BadInput("a release that is not there yet needs its archive in src")
    if not check:
        found = releases.unpack(shelf, request.id, src, sha256)
        outcome.did(f"unpacked {src} as {shelf.tree(request.id)}")
        return found
    if src.exists():
        releases.require_archive(src, sha256)
    else:
        outcome.warnings.append(f"{src} is not there yet, so it could not be looked at")
    outcome.did(f"unpack {src} as {shelf.tree(request.id)}")
    return None


# --- current ---


def _current(
    shelf: Shelf, api: Asked, request: Request, before: str | None, outcome: Outcome, check: bool
) -> Release | None:
    node, owed = shelf.node, station.owes(shelf.node)
    switches = before != request.id
    if not switches and not owed:
        found = releases.find(shelf, request.id)
        _tell(shelf, request, found, before, False, outcome)
        return found
    _require_regular(api, shelf.node, owed and not switches)
    found = _foretold(shelf, request, outcome) if check else releases.require(shelf, request.id)
    _tell(shelf, request, found, before, bool(request.restart.argv), outcome)
    why = "" if switches else ", which a run that broke off still owes"
    if switches:
        told = [f"current release: {name or 'none'}\n" for name in (before, request.id)]
        outcome.diff.append({"before": told[0], "after": told[1]})
    if not request.restart.argv:
        outcome.warnings.append("nothing restarts the station: it runs the release from its next start on")
    if check:
        if switches:
            outcome.did(f"let {shelf.link} lead to {request.id}")
        if request.restart.argv:
            outcome.did(f"restart the station ({' '.join(request.restart.argv)}){why}")
        return found
    if switches and found is not None:
        station.owe(node, {"release": request.id, "previous": before})
        found = releases.remember(shelf, found, before)
        releases.switch(shelf, request.id)
        outcome.did(f"let {shelf.link} lead to {request.id}")
    if station.restart(node, request.restart, request.restart_seconds):
        outcome.did(f"restarted the station ({' '.join(request.restart.argv)}){why}")
    return found


def _require_regular(api: Asked, node: Node, goes_on: bool) -> None:
    """Refuse a station in emergency mode, which a restart would end.

    A run that goes on where another broke off may find it just restarting, and nobody answers.
    """
    try:
        emergency = api.status().emergency
    except ApiFault:
        if goes_on:
            return
        raise
    if emergency:
        raise InEmergency(
            "the station is in emergency mode, which a restart would end",
            path=node.root,
            hint="end the emergency first, then run again",
        )


def _foretold(shelf: Shelf, request: Request, outcome: Outcome) -> Release | None:
    """In check mode the release that a task before this one would unpack is not there yet."""
    try:
        return releases.require(shelf, request.id)
    except NotFound as exc:
        outcome.warnings.append(f"the release has to be unpacked first: {exc}")
        return None


# --- telling and pruning ---


def _tell(
    shelf: Shelf,
    request: Request,
    found: Release | None,
    before: str | None,
    restarted: bool,
    outcome: Outcome,
) -> None:
    in_force = request.state == "current" or before == request.id
    told = None if found is None else found.previous
    outcome.facts["release"] = {
        "id": request.id,
        "sha256": found.sha256 if found else request.sha256 and request.sha256.lower(),
        "path": os.fspath(shelf.tree(request.id)),
        "current": in_force,
        "previous": before if in_force and before != request.id else told,
        "restarted": restarted,
    }


def _prune(shelf: Shelf, request: Request, found: Release | None, outcome: Outcome, check: bool) -> None:
    """Remove releases beyond the newest ones; which are needed must be known, or none is removed."""
    # In check mode the one that would come is not among them.
    room = request.keep - (found is None)
    if not releases.surplus(shelf, room, ()):
        return
    in_force = releases.in_force(shelf)
    newest = None if in_force is None else releases.find(shelf, in_force)
    try:
        spared = {*releases.needed(shelf.node, request.canary_dir), in_force, request.id}
    except RunbookError as exc:
        outcome.warnings.append(f"no release was removed, since a rollout cannot be read: {exc}")
        return
    if newest is not None:
        spared.add(newest.previous)
    for one in releases.surplus(shelf, room, spared):
        if not check:
            releases.remove(shelf, one.id)
        outcome.did(
            f"{'remove' if check else 'removed'} release {one.id}, older than the newest {request.keep}"
        )


def of_words(units: list[str] | None, command: list[str] | None) -> Restart:
    """Return how the station is restarted, as options of a module name it."""
    return Restart(tuple(units or ()), tuple(command or ()))
