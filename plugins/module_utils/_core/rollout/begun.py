# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout brings to a node and what was there before: frozen when the node's turn begins.

All that a rollback needs is in this file and beside it, so that the node can go back with the bastion gone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import card_history, files
from ..errors import BadInput, Damaged, NotFound, Unsafe
from .folder import Folder

VERSION = 1
STATE_POLICIES = ("with_release", "keep")
MAX_BYTES = 64 << 10
#: How many seconds a node may take to be healthy after its restart.
WAIT_SECONDS = 120.0

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}\.(?:service|target)", re.ASCII)
_MAX_WORDS = 64


def check_release_id(release: str) -> str:
    """Return a release's id, which is a folder's name; raise :class:`BadInput` for any other text."""
    if not _RELEASE.fullmatch(release):
        raise BadInput(
            f"{release[:80]!r} is no release id: up to 64 of letters, digits, '.', '_' and '-', not beginning"
            " with one of the last three"
        )
    return release


def check_sha256(digest: str, what: str) -> str:
    """Return a SHA-256 in lower-case hex; raise :class:`BadInput` for any other text."""
    if not _SHA256.fullmatch(digest.lower()):
        raise BadInput(f"{what} must be a SHA-256, 64 hexadecimal digits")
    return digest.lower()


@dataclass(frozen=True)
class Candidate:
    """What is rolled out: a release (id and SHA-256 of its archive), an OwnerCard (its SHA-256), or both."""

    release_id: str | None = None
    release_sha256: str | None = None
    card_sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for one that brings nothing, or half a release."""
        if (self.release_id is None) != (self.release_sha256 is None):
            raise BadInput("a release needs both its id and the SHA-256 of its archive")
        if self.release_id is None and self.card_sha256 is None:
            raise BadInput("a rollout needs a release, an OwnerCard, or both")
        if self.release_id is not None:
            check_release_id(self.release_id)
        for digest, what in ((self.release_sha256, "release_sha256"), (self.card_sha256, "card_sha256")):
            if digest is not None:
                check_sha256(digest, what)


@dataclass(frozen=True)
class Restart:
    """How the station is restarted: systemd ``units``, or else a ``command`` (its words, no shell)."""

    units: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for names that are none, or for both ways at once."""
        if self.units and self.command:
            raise BadInput("a station is restarted by units or by a command, not by both")
        for unit in self.units:
            if not _UNIT.fullmatch(unit):
                raise BadInput(f"{unit[:80]!r} is no unit's name, such as vvtv-station.service")
        if len(self.units) > _MAX_WORDS or len(self.command) > _MAX_WORDS:
            raise BadInput(f"at most {_MAX_WORDS} units or words")
        if self.command and not os.path.isabs(self.command[0]):
            raise BadInput("the command that restarts the station must begin with an absolute path")

    @property
    def argv(self) -> tuple[str, ...]:
        """The words to run; none when nothing is to be restarted."""
        return ("systemctl", "restart", *self.units) if self.units else self.command


@dataclass(frozen=True)
class Begun:
    """One rollout on one node. ``before_release`` and ``before_card_sha256`` may be ``None``: there was none.

    ``state_policy`` says what a rollback does with state.db: ``with_release`` restores the backup made before
    the change, as the runbook does; ``keep`` leaves it alone.
    """

    rollout: str
    candidate: Candidate
    restart: Restart
    before_release: str | None = None
    before_card_sha256: str | None = None
    state_policy: str = STATE_POLICIES[0]
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that cannot be."""
        if self.state_policy not in STATE_POLICIES:
            raise BadInput(f"state_policy must be one of {', '.join(STATE_POLICIES)}")
        if self.before_release is not None:
            check_release_id(self.before_release)


def begin(folder: Folder, begun: Begun) -> bool:
    """Freeze what a rollout brings and what was there before, durably; return whether that is new.

    The OwnerCard in force is copied beside it. A rollout that has begun here already is left as it is, since
    "before" is then in the past. Raise :class:`BadInput` when it was begun with another candidate.
    """
    present = find(folder)
    if present is not None:
        if present.candidate != begun.candidate:
            raise BadInput(
                "this rollout was begun here with another candidate",
                path=folder.begun,
                hint="a new candidate needs a new rollout id",
            )
        return False
    folder.make()
    owner = folder.node.owner()
    try:
        card = files.read_bounded(folder.node.owner_card, card_history.MAX_BYTES)
    except NotFound:
        card = None
    if card is not None:
        files.replace(folder.former_card, card, 0o640, owner)
    document = {
        "v": VERSION,
        **asdict(begun),
        "before_card_sha256": None if card is None else files.sha256_hex(card),
    }
    data = json.dumps(document, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"
    # It names a command: when root is to run it, the station's user may not have written it.
    files.replace(folder.begun, data, 0o644, files.Owner(os.geteuid(), os.getegid()))
    return True


def find(folder: Folder, to_act: bool = False) -> Begun | None:
    """Return what was begun here, or ``None``; raise :class:`Damaged` for a file that is none of ours.

    ``to_act`` is for who runs the command in it: raise :class:`Unsafe` when that is root, and the file could
    be somebody else's.
    """
    try:
        data = files.read_bounded(folder.begun, MAX_BYTES, _require_roots if to_act else None)
    except NotFound:
        return None
    try:
        found = json.loads(data)
        if found["v"] != VERSION or found["rollout"] != folder.rollout:
            raise ValueError("another version, or another rollout")
        return Begun(
            found["rollout"],
            Candidate(**found["candidate"]),
            Restart(**{name: _words(value) for name, value in found["restart"].items()}),
            found["before_release"],
            found["before_card_sha256"],
            found["state_policy"],
            dict(found["extra"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadInput) as exc:
        raise Damaged(f"does not say what was begun: {str(exc)[:80]}", path=folder.begun) from exc


def _require_roots(found: os.stat_result, path: Path) -> None:
    if os.geteuid() == 0 and (found.st_uid != 0 or found.st_mode & 0o022):
        raise Unsafe(
            f"names a command and belongs to uid {found.st_uid}, so root does not follow it",
            path=path,
            hint="run this as that user; a rollout that root began is root's",
        )


def require(folder: Folder, to_act: bool = False) -> Begun:
    """Return what was begun here; raise :class:`NotFound` when this rollout never began on this node."""
    begun = find(folder, to_act)
    if begun is None:
        raise NotFound(
            "this rollout never began on this node", path=folder.begun, hint="check the rollout's id"
        )
    return begun


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError("no list of words")
    return tuple(value)


def of_options(candidate: Mapping[str, Any], restart: Mapping[str, Any]) -> tuple[Candidate, Restart]:
    """Return candidate and restart as options of a module name them."""
    return (
        Candidate(candidate.get("release_id"), candidate.get("release_sha256"), candidate.get("card_sha256")),
        Restart(tuple(restart.get("units") or ()), tuple(restart.get("command") or ())),
    )
