# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installing an OwnerCard: validate, keep the old one, replace, let the station read it.

The station reads a card only when it is told to and says ok whatever the file holds; an invalid one is
refused here before anything changes. That a reload is owed is said on disk before the card is replaced, so
that a run that is killed in between is finished by the next one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from . import card_history, files, owner_card, times
from .control_api import Api, ApiFault
from .errors import BadInput, Damaged, NotFound, RunbookError
from .locks import node_lock
from .node import Node
from .outcome import Outcome
from .restore_recovery import finish_interrupted, foretell_interrupted

RELOADS = ("changed", "always", "never")
# After these the station has not been told; after any other fault it may have read the card.
_NOT_TOLD = ("refused", "unauthorized", "clock_skew")


@dataclass(frozen=True)
class Request:
    """The card's bytes and where they come from (for messages).

    ``content`` may be ``None`` for the card that is in place already, such as one that was edited there. It
    is read under the node's lock: bytes that were read before it would undo what somebody else installs
    meanwhile.

    ``keep`` is how many former cards stay, ``reload`` one of :data:`RELOADS`, ``timeout`` the seconds to wait
    for the node's lock; ``validate_only`` looks at the card and at nothing else.
    """

    content: bytes | None
    source: Path
    keep: int = card_history.KEEP
    reload: str = "changed"
    timeout: float = 30.0
    validate_only: bool = False

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that cannot be."""
        if self.reload not in RELOADS:
            raise BadInput(f"reload must be one of {', '.join(RELOADS)}, not {self.reload[:40]!r}")
        if self.keep < 1:
            raise BadInput("keep must be 1 or more: the card that is replaced is always kept")


@dataclass(frozen=True)
class Plan:
    """What has to be done. ``content`` are the bytes of the card that is wanted, ``present`` those of the one
    in place, ``None`` when there is none; ``owed`` says that a run which broke off may not have told the
    station of the card in place."""

    content: bytes
    present: bytes | None
    replaces: bool
    reloads: bool
    owed: bool


class NotReloaded(RunbookError):
    """The station did not confirm that it reads the new card.

    ``put_back`` tells whether the former one is in place again.
    """

    code: ClassVar[str] = "not_reloaded"

    def __init__(self, msg: str, path: Path, fault: RunbookError, put_back: bool) -> None:
        super().__init__(msg, path=path, hint=fault.hint or "look at the station's log and run again")
        self.fault = fault
        self.put_back = put_back

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with the API's ``reason`` and ``put_back``."""
        why = self.fault.result()
        told = {"reason": why.get("reason"), "status": why.get("status"), "put_back": self.put_back}
        return {**super().result(), **told}


def owed_marker(node: Node) -> Path:
    """Return the file whose presence means: the station may not have been told of the card in place."""
    return node.runtime / "runbook.reload.json"


def given(node: Node, path: Path) -> tuple[bytes | None, Path]:
    """Return the bytes and the source of a :class:`Request` for the card at ``path`` on the node."""
    source = Path(os.path.realpath(path))
    if source == Path(os.path.realpath(node.owner_card)):
        return None, node.owner_card
    return files.read_bounded(source, owner_card.MAX_BYTES), source


def install(node: Node, api: Api | None, request: Request, check: bool = False) -> Outcome:
    """Bring about that the node's OwnerCard has these bytes and that the station was told.

    ``api`` may be ``None`` when nothing is to be reloaded. ``check`` computes the same plan and does nothing.
    Facts: ``path``, ``sha256`` (afterwards), ``sha256_before``, ``previous`` (the copy that was kept) and
    ``reloaded``. Raise :class:`InvalidCard` with every broken rule and nothing changed, and
    :class:`NotReloaded` with the former card put back.
    """
    if request.content is not None:
        if len(request.content) > owner_card.MAX_BYTES:
            raise Damaged(f"is larger than {owner_card.MAX_BYTES} bytes", path=request.source)
        owner_card.parse(request.content, request.source)
    outcome = Outcome()
    if request.validate_only:
        plan = replace(_make_plan(node, request), replaces=False, reloads=False, owed=False)
        _describe(node, request, plan, outcome)
        return outcome
    if api is None and request.reload != "never":
        raise BadInput("a reload needs the control API")
    if check:
        foretell_interrupted(node, outcome)
        plan = _make_plan(node, request)
        _describe(node, request, plan, outcome)
        _foretell(node, request, plan, outcome)
        return outcome
    with node_lock(node, "install an OwnerCard", request.timeout):
        finish_interrupted(node, request.timeout, outcome)
        card_history.remove_leftovers(node.owner_card)
        files.remove(files.staged_path(owed_marker(node)))
        plan = _make_plan(node, request)
        _describe(node, request, plan, outcome)
        _apply(node, api, request, plan, outcome)
    return outcome


# --- planning and telling ---


def _present(node: Node) -> bytes | None:
    try:
        return files.read_bounded(node.owner_card, card_history.MAX_BYTES)
    except NotFound:
        return None


def _make_plan(node: Node, request: Request) -> Plan:
    owed = owed_marker(node).exists()
    if request.content is None:
        content = owner_card.read(node.owner_card)
        present: bytes | None = content
    else:
        content, present = request.content, _present(node)
    replaces = present != content
    wanted = {"changed": replaces or owed, "always": True, "never": False}
    return Plan(content, present, replaces, wanted[request.reload], owed)


def _describe(node: Node, request: Request, plan: Plan, outcome: Outcome) -> None:
    before = plan.present
    outcome.facts.update(
        path=os.fspath(node.owner_card),
        sha256=files.sha256_hex(plan.content),
        sha256_before=None if before is None else files.sha256_hex(before),
        previous=None,
        reloaded=plan.reloads,
    )
    if plan.replaces:
        outcome.diff.append(
            {
                "before_header": f"{node.owner_card} (present)",
                "after_header": f"{node.owner_card} (from {request.source})",
                "before": _shown(before or b""),
                "after": _shown(plan.content),
            }
        )


def _shown(card: bytes) -> str:
    if len(card) > owner_card.MAX_BYTES:
        return f"{len(card)} bytes, too many to show\n"
    return card.decode(errors="replace")


def _foretell(node: Node, request: Request, plan: Plan, outcome: Outcome) -> None:
    new = plan.replaces and plan.present is not None and not card_history.holds(node.owner_card, plan.present)
    if new:
        outcome.did(f"keep the present card in {card_history.folder_of(node.owner_card)}")
    if plan.replaces:
        outcome.did(f"replace {node.owner_card}")
    if plan.reloads:
        outcome.did(f"let the station read its card{_because(plan)}")
    surplus = len(card_history.copies(node.owner_card)) + new - request.keep
    if surplus > 0:
        outcome.did(f"remove {surplus} former cards beyond the newest {request.keep}")


def _because(plan: Plan) -> str:
    return ", which a run that broke off still owes" if plan.owed and not plan.replaces else ""


# --- doing ---


def _apply(node: Node, api: Api | None, request: Request, plan: Plan, outcome: Outcome) -> None:
    owner, kept = node.owner(), None
    if plan.replaces and plan.present is not None:
        kept, new = card_history.keep(node.owner_card, plan.present, owner)
        outcome.facts["previous"] = os.fspath(kept)
        if new:
            outcome.did(f"kept the former card as {kept}")
    if plan.reloads:
        _owe(node, owner)
    if plan.replaces:
        _replace(node, plan.content, owner)
        outcome.did(f"replaced {node.owner_card}")
    if plan.reloads and api is not None:
        try:
            api.reload_owner_card()
        except RunbookError as fault:
            if plan.replaces:
                raise _put_back(node, api, plan, kept, fault) from fault
            raise
        _settle(node)
        outcome.did(f"let the station read its card{_because(plan)}")
    removed = card_history.prune(node.owner_card, request.keep, kept)
    if removed:
        outcome.did(f"removed {len(removed)} former cards beyond the newest {request.keep}")


def _replace(node: Node, content: bytes, owner: files.Owner) -> None:
    files.make_folder(node.owner_card.parent, 0o755, owner)
    mode, card_owner = files.mode_and_owner(node.owner_card, 0o644, owner)
    files.replace(node.owner_card, content, mode, card_owner)


def _put_back(node: Node, api: Api, plan: Plan, kept: Path | None, fault: RunbookError) -> NotReloaded:
    """Undo a replacement that the station did not confirm; return the error to raise.

    A station that may have read the new card is told once more; when that fails too a reload stays owed.
    """
    card, why = (
        node.owner_card,
        f"the station did not confirm that it reads its card ({fault.path}: {fault.msg})",
    )
    may_have_read = isinstance(fault, ApiFault) and fault.reason not in _NOT_TOLD
    try:
        if plan.present is None:
            files.remove(card)
        else:
            _replace(node, plan.present, node.owner())
    except RunbookError as exc:
        failed = f"the former one, which is kept as {kept}, could not be put back ({exc.msg})"
        return NotReloaded(f"{why}, and {failed}", card, fault, False)
    back = "the new one was removed" if kept is None else "the former one was put back"
    if may_have_read:
        try:
            api.reload_owner_card()
        except ApiFault:
            again = "whether the station read the new one is not known, the next run tells it again"
            return NotReloaded(f"{why}; {back}; {again}", card, fault, True)
    if may_have_read or not plan.owed:
        _settle(node)
    return NotReloaded(f"{why}; {back}", card, fault, True)


def _owe(node: Node, owner: files.Owner) -> None:
    said = {"card": os.fspath(node.owner_card), "since": times.to_text(times.now())}
    files.replace(owed_marker(node), (json.dumps(said) + "\n").encode(), 0o644, owner)


def _settle(node: Node) -> None:
    """Forget the owed reload; a name that comes back after a power cut costs one reload too many."""
    files.remove(owed_marker(node))
