# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node's side of a transition: the lease, what was before, the record, and what is made from it.

Each step can be repeated: a run that is killed between two of them is finished by the same call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .. import files, releases, times
from ..errors import BadInput, Damaged, NotFound, RunbookError
from ..locks import node_lock
from ..outcome import Outcome
from ..probes import one_line
from . import begun, lease, record, results, states
from .folder import Folder
from .record import Entry
from .store import EVIDENCE, MAX_EVIDENCE

NODE_LEASE_SECONDS = 86_400.0
# From these on the node is changed or watched, for which the rollout must have it.
_HOLDS = (states.IN_PROGRESS, states.SOAKING)
# For these nobody else may have it.
_ALONE = (*_HOLDS, states.PASSED, states.PROMOTED)
_VERDICT = (states.PASSED, states.FAILED, states.HELD)
ENDED = (
    states.PASSED,
    states.FAILED,
    states.HELD,
    states.ROLLED_BACK,
    states.PROMOTED,
    states.NEEDS_OPERATOR,
)
_IDS = ("release_id", "release_sha256", "card_sha256")
_MAX_REASONS = 50


@dataclass(frozen=True)
class Turn:
    """What to note; without ``state`` only what is known is told.

    ``candidate``, ``restart``, ``state_policy``, ``release_dir`` and ``current`` are for ``IN_PROGRESS``, the
    first time; ``alerts`` (how many high and critical ones there are) and ``api_url`` for ``PROMOTED``.
    ``lease_seconds`` is for how long the rollout has the node, ``by`` is who says so, ``timeout`` the seconds
    to wait for the node's lock.
    """

    state: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    candidate: begun.Candidate | None = None
    restart: begun.Restart = begun.Restart()
    state_policy: str = begun.STATE_POLICIES[0]
    release_dir: str | None = None
    current: str | None = None
    lease_seconds: float = NODE_LEASE_SECONDS
    break_glass: str | None = None
    alerts: int = 0
    api_url: str = ""
    timeout: float = 30.0


def take(folder: Folder, turn: Turn, check: bool = False) -> Outcome:
    """Note a transition on the node and bring about what follows from it.

    ``check`` writes nothing. Facts: ``record`` (see :func:`_describe`), also with an error. Raise
    :class:`record.OutOfTurn` for a state that may not follow, and :class:`Busy` while another rollout has the
    node.
    """
    outcome = Outcome()
    if turn.state is None:
        present = record.last(record.read(folder.record))
        outcome.facts["record"] = _describe(folder, present, outcome)
        return outcome
    states.require_state(turn.state)
    before = record.last(record.read(folder.record))
    try:
        if check:
            _foretell(folder, turn, before, outcome)
        else:
            with node_lock(folder.node, f"rollout {folder.rollout}: {turn.state}", turn.timeout):
                before = record.last(record.read(folder.record))
                _apply(folder, turn, before, outcome)
    except RunbookError as exc:
        exc.facts.update(record=_describe(folder, before, outcome))
        raise
    outcome.facts["record"] = told = _describe(folder, before, outcome)
    if check:
        told["state"] = turn.state
    if before != turn.state:
        header = f"the record of rollout {folder.rollout}"
        lines = {"before": f"{before or 'none'}\n", "after": f"{turn.state}\n"}
        outcome.diff.append({"before_header": header, "after_header": header, **lines})
    return outcome


def _require_turn(folder: Folder, turn: Turn, before: str | None) -> None:
    if turn.state is None:
        raise BadInput("it is not said what to note")
    if not states.may_follow(turn.state, before):
        raise record.OutOfTurn(
            f"the node is {before or 'not in this rollout'}: it cannot become {turn.state}",
            path=folder.record,
        )
    verdict = turn.facts.get("verdict")
    said = verdict.get("result") if isinstance(verdict, Mapping) else None
    if turn.state == states.PASSED and said is not None and said != results.PASS:
        raise BadInput(f"a node whose soak's verdict is {said} has not PASSED")
    if turn.state == states.IN_PROGRESS and turn.candidate is None and begun.find(folder) is None:
        raise BadInput("a node's turn begins with the candidate: release_id and release_sha256, card_sha256")


def _foretell(folder: Folder, turn: Turn, before: str | None, outcome: Outcome) -> None:
    _require_turn(folder, turn, before)
    if turn.state in _ALONE:
        _require_lease(folder, turn)
    if not record.known(record.read(folder.record), str(turn.state), _facts(folder, turn, times.now())):
        outcome.did(f"note that the node is {turn.state}")


def _apply(folder: Folder, turn: Turn, before: str | None, outcome: Outcome) -> None:
    _require_turn(folder, turn, before)
    if turn.state in _ALONE:
        _require_lease(folder, turn)
    if turn.state in _HOLDS:
        _hold(folder, turn, outcome)
    if turn.state == states.IN_PROGRESS and turn.candidate is not None:
        _begin(folder, turn, outcome)
    folder.make()
    now = times.now()
    entry = record.append(
        folder.record, str(turn.state), _facts(folder, turn, now), turn.by, folder.node.owner(), turn.timeout
    )
    if entry is not None:
        outcome.did(f"noted that the node is {turn.state}")
    _follow(folder, turn, outcome)


def facts_of(turn: Turn) -> dict[str, Any]:
    """Return what is noted with the transition, as far as it is known before the node is asked."""
    facts = dict(turn.facts)
    if turn.state == states.IN_PROGRESS and turn.candidate is not None:
        facts.update({name: getattr(turn.candidate, name) for name in _IDS})
    return facts


def _facts(folder: Folder, turn: Turn, now: datetime) -> dict[str, Any]:
    facts = facts_of(turn)
    if turn.state == states.PROMOTED:
        entries = record.read(folder.record)
        at = _promoted_at(entries) or now
        path = os.fspath(results.promotion_path(folder, at))
        facts.update(promoted_at=times.to_text(at), promotion_record=path)
        facts.update(alerts=turn.alerts, api_url=turn.api_url)
    return facts


def _promoted_at(entries: tuple[Entry, ...]) -> datetime | None:
    """Return when the node was promoted, if that is its state: doing so again changes nothing."""
    if record.last(entries) != states.PROMOTED:
        return None
    said = record.fact(entries, "promoted_at")
    return times.parse(said) if isinstance(said, str) else None


def _require_lease(folder: Folder, turn: Turn) -> None:
    """Raise what :func:`lease.take` would, without taking it."""
    present = lease.find(folder.lease)
    if present is None or present.what == folder.rollout or present.over(times.now()) or turn.break_glass:
        return
    raise lease.taken(present, folder.lease)


def _hold(folder: Folder, turn: Turn, outcome: Outcome) -> None:
    """Have the node's lease; one of ours that has most of its time before it is left as it is."""
    now, present = times.now(), lease.find(folder.lease)
    ours = present is not None and present.what == folder.rollout
    if (
        ours
        and present is not None
        and present.expires_at - now > timedelta(seconds=turn.lease_seconds) * 0.9
    ):
        return
    holder = turn.by or record.who()
    files.make_folder(folder.lease.parent, 0o755, folder.node.owner())
    taken = lease.take(
        folder.lease, folder.rollout, holder, turn.lease_seconds, folder.node.owner(), turn.break_glass
    )
    outcome.did(f"{'kept' if ours else 'took'} the node's lease until {times.to_text(taken.expires_at)}")
    if taken.broken:
        outcome.warnings.append(f"the node was taken from another rollout: {taken.broken}")


def _begin(folder: Folder, turn: Turn, outcome: Outcome) -> None:
    if turn.candidate is None:
        raise BadInput("a node's turn begins with the candidate")
    frozen = begun.Begun(
        folder.rollout,
        turn.candidate,
        turn.restart,
        releases.current_id(folder.node, turn.release_dir, turn.current),
        None,
        turn.state_policy,
        {"release_dir": turn.release_dir, "current": turn.current},
    )
    if begun.begin(folder, frozen):
        outcome.did("kept what was before, for the way back")


def _follow(folder: Folder, turn: Turn, outcome: Outcome) -> None:
    """Bring about what follows from the record: the soak's summary, result.env, the promotion record."""
    entries = record.read(folder.record)
    verdict = turn.facts.get("verdict")
    if turn.state in _VERDICT and isinstance(verdict, Mapping) and verdict.get("result"):
        # Here, since it reads all that judges a soak, which is more than half of the engine that this needs.
        from ..soak import summary

        codes = [_code(reason) for reason in list(verdict.get("reasons") or ())[:_MAX_REASONS]]
        if summary.settle(folder.soak, folder.node.owner(), str(verdict["result"]), codes):
            outcome.did("brought the soak's summary up to date")
    if results.write_result(folder):
        outcome.did(f"wrote {folder.result}")
    if turn.state == states.PROMOTED:
        at = _promoted_at(entries) or entries[-1].at
        if not results.promotion_path(folder, at).exists():
            ids = {
                name: record.fact(entries, name) or ""
                for name in ("release_id", "release_sha256", "card_sha256")
            }
            path = results.write_promotion(
                folder,
                at,
                int(record.fact(entries, "alerts") or 0),
                str(record.fact(entries, "api_url") or ""),
                {**ids, "by": entries[-1].by},
            )
            outcome.did(f"wrote {path}")
    if turn.state in states.SETTLED and lease.give_back(folder.lease, folder.rollout):
        outcome.did("gave the node's lease back")


def _code(reason: Any) -> str:
    return one_line(str(reason.get("code", "")) if isinstance(reason, Mapping) else str(reason))


def _describe(folder: Folder, before: str | None, outcome: Outcome) -> dict[str, Any]:
    """Return what the node knows: ``state``, ``before``, ``entries``, ``facts`` (the newest word of each),
    ``verdict``, ``reason``, ``begun``, ``lease``, and ``evidence`` once its turn has ended."""
    entries = record.read(folder.record)
    facts: dict[str, Any] = {}
    for entry in entries:
        facts.update(entry.facts)
    state, held = record.last(entries), lease.find(folder.lease)
    return {
        "rollout": folder.rollout,
        "state": state,
        "before": before,
        "begun": begun.find(folder) is not None,
        "entries": [entry.result() for entry in entries],
        "facts": facts,
        "verdict": facts.get("verdict"),
        "reason": facts.get("reason"),
        "lease": None if held is None else held.result(),
        "evidence": _evidence(folder, outcome) if state in ENDED else {},
    }


def _evidence(folder: Folder, outcome: Outcome) -> dict[str, str]:
    """Return the texts that say how it ended; one that cannot be read is none, and is warned of."""
    found = {}
    for name in EVIDENCE:
        try:
            found[name] = files.read_bounded(folder.path / name, MAX_EVIDENCE).decode()
        except NotFound:
            continue
        except (Damaged, UnicodeDecodeError) as exc:
            outcome.warnings.append(f"{folder.path / name} is no evidence: {exc}")
    return found
