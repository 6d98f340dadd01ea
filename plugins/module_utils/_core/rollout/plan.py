# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a rollout, frozen when it is made: which hosts, in which order, what for, and by which rules.

A later run with the same id has the same plan or is refused with every difference.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Union

from .. import files, times
from ..errors import BadInput, Damaged
from ..probes import one_line
from .begun import Candidate
from .folder import check_id

VERSION = 1
MAX_BYTES = 8 << 20
MAX_HOSTS = 20_000
CANARY = "canary"

Wave = Union[int, str]
DEFAULT_WAVES: tuple[Wave, ...] = (1, "25%", "100%")

_HOST = re.compile(r"(?!\.)[A-Za-z0-9_.:@\[\]-]{1,200}", re.ASCII)
_WAVE = re.compile(r"([0-9]{1,6})\s*(%?)", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_MAX_TOLD = 20


class Differs(BadInput):
    """A rollout's frozen plan is not the one that was asked for; ``differences`` names each."""

    code: ClassVar[str] = "plan_differs"

    def __init__(self, rollout: str, differences: Sequence[str], path: Path) -> None:
        told = "; ".join(differences[:_MAX_TOLD])
        super().__init__(
            f"the plan of rollout {rollout} is frozen and differs: {told}",
            path=path,
            hint="ask for what was planned; a new candidate or other hosts need a new rollout id",
        )
        self.differences = tuple(differences)

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with every difference."""
        return {**super().result(), "differences": list(self.differences)}


def check_host(name: str) -> str:
    """Return a host's name, which names files; raise :class:`BadInput` for one that cannot."""
    if not _HOST.fullmatch(name):
        raise BadInput(
            f"{name[:80]!r} cannot be a host of a rollout: letters, digits and any of _.:@[]- make its name,"
            " and it does not begin with a dot"
        )
    return name


@dataclass(frozen=True)
class Artifacts:
    """The candidate, and where its files were on the bastion when they were looked at."""

    candidate: Candidate
    release_path: str | None = None
    card_path: str | None = None

    def result(self) -> dict[str, str | None]:
        """Return it for a program to read."""
        return {**asdict(self.candidate), "release_path": self.release_path, "card_path": self.card_path}


@dataclass(frozen=True)
class Plan:
    """``hosts`` are all that get the change, in order; ``baselines`` are those it is compared with.

    ``waves`` are the batches after the canaries. A baseline among ``hosts`` gets the change with its wave.
    """

    rollout: str
    hosts: tuple[str, ...]
    canaries: tuple[str, ...]
    baselines: tuple[str, ...]
    waves: tuple[tuple[str, ...], ...]
    artifacts: Artifacts
    settings: dict[str, Any]
    created_at: datetime
    by: str
    playbook: str

    @property
    def batches(self) -> tuple[tuple[str, ...], ...]:
        """The canaries, then the waves."""
        return (self.canaries, *self.waves)

    @property
    def sha256(self) -> str:
        """The digest of all that makes it this plan, which where files lie and who made it do not."""
        data = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return files.sha256_hex(data.encode())

    def batch_of(self, host: str) -> int:
        """Return the number of a host's batch: 0 for a canary. Raise :class:`BadInput` for a stranger."""
        for number, batch in enumerate(self.batches):
            if host in batch:
                return number
        raise BadInput(f"{host[:80]} is no host of rollout {self.rollout}: its plan does not name it")

    @staticmethod
    def label_of(number: int) -> str:
        """Return a batch's name: ``canary``, or the number of the wave from 1 on."""
        return str(number) if number else CANARY

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for it to be the same plan."""
        return {
            "rollout": self.rollout,
            "hosts": list(self.hosts),
            "canaries": list(self.canaries),
            "baselines": list(self.baselines),
            "waves": [list(wave) for wave in self.waves],
            "candidate": asdict(self.artifacts.candidate),
            "settings": self.settings,
        }

    def result(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {
            **self.identity(),
            "batches": [
                {"batch": self.label_of(number), "hosts": list(batch)}
                for number, batch in enumerate(self.batches)
            ],
            "candidate": self.artifacts.result(),
            "sha256": self.sha256,
            "created_at": times.to_text(self.created_at),
            "by": self.by,
            "playbook": self.playbook,
        }


def make(
    rollout: str,
    hosts: Sequence[str],
    canaries: Sequence[str],
    baselines: Sequence[str],
    waves: Sequence[Wave],
    artifacts: Artifacts,
    settings: Mapping[str, Any],
    by: str,
    playbook: str = "",
) -> Plan:
    """Return the plan for these hosts; raise :class:`BadInput` for hosts or waves that make none."""
    for names, what in ((hosts, "hosts"), (canaries, "canaries"), (baselines, "baselines")):
        _require_names(names, what)
    strange = [name for name in canaries if name not in set(hosts)]
    if strange:
        raise BadInput(f"canaries that are not among the hosts: {_told(strange)}")
    if not canaries:
        raise BadInput("a rollout needs at least one canary", hint="name one of the hosts in canaries")
    both = [name for name in canaries if name in set(baselines)]
    if both:
        raise BadInput(f"a host cannot be a canary and a baseline: {_told(both)}")
    first = [name for name in hosts if name in set(canaries)]
    after = [name for name in hosts if name not in set(canaries)]
    try:
        settled = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise BadInput(f"settings cannot be kept as JSON: {exc}") from exc
    return Plan(
        check_id(rollout),
        (*first, *after),
        tuple(first),
        tuple(baselines),
        split(after, waves),
        artifacts,
        settled,
        times.now(),
        by,
        one_line(playbook, 200),
    )


def split(hosts: Sequence[str], waves: Sequence[Wave]) -> tuple[tuple[str, ...], ...]:
    """Return the hosts in waves; each of ``waves`` says how many have had their turn after it.

    A number counts hosts and a percentage their part of all, rounded down, but each wave that is reached has
    at least one host more than those before it; one that would have none is left out. Raise
    :class:`BadInput` for anything else, and when the last one does not reach every host.
    """
    reached, made = 0, []
    if not hosts:
        return ()
    for wave in waves:
        if reached == len(hosts):
            break
        upto = min(len(hosts), max(_count(wave, len(hosts)), reached + 1))
        made.append(tuple(hosts[reached:upto]))
        reached = upto
    if reached < len(hosts):
        short = f"the waves reach {reached} of the {len(hosts)} hosts after the canaries"
        raise BadInput(short, hint="end them with 100%")
    return tuple(made)


def _count(wave: Wave, total: int) -> int:
    """Return how many of ``total`` hosts a wave reaches."""
    found = None if isinstance(wave, bool) else _WAVE.fullmatch(str(wave).strip())
    number = int(found[1]) if found else 0
    if not found or not number or (found[2] and number > 100):
        raise BadInput(
            f"a wave must be a number of hosts or a percentage such as 25%, not {str(wave)[:40]!r}"
        )
    return total * number // 100 if found[2] else number


def _require_names(names: Sequence[str], what: str) -> None:
    if len(names) > MAX_HOSTS:
        raise BadInput(f"{what}: at most {MAX_HOSTS} hosts")
    for name in names:
        check_host(name)
    if len(set(names)) != len(names):
        double = sorted(name for name, times_named in Counter(names).items() if times_named > 1)
        raise BadInput(f"{what} names a host twice: {_told(double)}")


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_TOLD} more" if len(names) > _MAX_TOLD else ""
    return ", ".join(names[:_MAX_TOLD]) + more


# --- the file ---


def to_bytes(plan: Plan) -> bytes:
    """Return the plan as the store keeps it."""
    return json.dumps({"v": VERSION, **plan.result()}, indent=2, allow_nan=False).encode() + b"\n"


def of_bytes(data: bytes, path: Path) -> Plan:
    """Return the plan that a file holds; raise :class:`Damaged` when it is none, or was changed since."""
    try:
        found = json.loads(data)
        if found["v"] != VERSION:
            raise ValueError("another version")
        candidate = dict(found["candidate"])
        artifacts = Artifacts(
            release_path=candidate.pop("release_path"),
            card_path=candidate.pop("card_path"),
            candidate=Candidate(**candidate),
        )
        plan = Plan(
            check_id(found["rollout"]),
            _names(found["hosts"]),
            _names(found["canaries"]),
            _names(found["baselines"]),
            tuple(_names(wave) for wave in found["waves"]),
            artifacts,
            dict(found["settings"]),
            times.parse(found["created_at"]),
            str(found["by"]),
            str(found["playbook"]),
        )
        if plan.sha256 != found["sha256"]:
            raise ValueError("it was changed after it was frozen")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadInput) as exc:
        raise Damaged(f"is no plan of a rollout: {str(exc)[:100]}", path=path) from exc
    return plan


def _names(found: list[str]) -> tuple[str, ...]:
    return tuple(check_host(host) for host in found)


# --- the same again? ---


def require_same(frozen: Plan, wanted: Plan, path: Path) -> Plan:
    """Return the frozen plan, with the files where they are now; raise :class:`Differs` for another."""
    found = differences(frozen, wanted)
    if found:
        raise Differs(frozen.rollout, found, path)
    return replace(frozen, artifacts=wanted.artifacts)


def differences(frozen: Plan, wanted: Plan) -> list[str]:
    """Return how ``wanted`` differs from what was frozen, each as one line."""
    said = []
    for name in ("hosts", "canaries", "baselines"):
        was, now = getattr(frozen, name), getattr(wanted, name)
        gone = [host for host in was if host not in set(now)]
        come = [host for host in now if host not in set(was)]
        said += [f"{name}: {_told(gone)} left"] * bool(gone) + [f"{name}: {_told(come)} new"] * bool(come)
        if was != now and not gone and not come:
            said.append(f"{name}: in another order")
    if frozen.waves != wanted.waves and not said:
        was, now = (" + ".join(str(len(wave)) for wave in plan.waves) for plan in (frozen, wanted))
        said.append(f"waves: of {was} hosts, now of {now}")
    candidates = (frozen.artifacts.candidate, wanted.artifacts.candidate)
    for name, was in asdict(candidates[0]).items():
        now = getattr(candidates[1], name)
        if was != now:
            why = "the artifact changed after the plan, " if was and now and name.endswith("sha256") else ""
            said.append(f"candidate.{name}: {why}{was or 'none'} was planned, now {now or 'none'}")
    for name in sorted({*frozen.settings, *wanted.settings}):
        was, now = (_canonical(plan.settings.get(name)) for plan in (frozen, wanted))
        if was != now:
            shown = [json.dumps(plan.settings.get(name))[:100] for plan in (frozen, wanted)]
            said.append(f"settings.{name}: {shown[0]} was planned, now {shown[1]}")
    return said


def _canonical(value: Any) -> Any:
    """Return a setting so that a number is the same however a template or a command line wrote it."""
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return {"true": True, "false": False}.get(value.lower(), value)
    return float(value)
