# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout leaves in the store and on a node, read as plain text and JSON, by none of our code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

#: The rollout of every run that names no other.
ROLLOUT = "20260131T120000Z-test"
#: The release that a fleet runs before a rollout.
FORMER = "1.0.0"
#: Seconds instead of hours: a soak of five samples after a short warm-up, polled so that it costs little.
SHORT: dict[str, Any] = {
    "vvtv_rollout_id": ROLLOUT,
    "vvtv_canary_soak_hours": 4 / 3600,
    "vvtv_canary_soak_interval_secs": 1,
    "vvtv_canary_warmup_secs": 1,
    "vvtv_soak_poll_secs": 2,
    "vvtv_ready_secs": 30,
    "vvtv_guard_margin_minutes": 2,
}
#: Of many nodes on two processors: a sampler that waits its turn must not miss its ticks.
CALM_SOAK = {"vvtv_canary_soak_hours": 30 / 3600, "vvtv_canary_soak_interval_secs": 6}
#: The longest that a run for twenty nodes takes there, over SSH too.
TWENTY_SECONDS = 1800.0
#: What goes on changing by itself: the database, and the simulator's own files.
ALIVE = ("runtime/state", "runtime/sim")
#: What a baseline host gets: a sampler's folder, and the lock of whoever starts and asks it.
WATCHED = ("runtime/baseline", "runtime/runbook.lock")


def lines(text: str) -> list[dict[str, Any]]:
    """The lines of a record; one that a killed writer left unfinished is none."""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def states(text: str) -> list[str]:
    """The states that a record went through, each once for as long as it held."""
    found: list[str] = []
    for entry in lines(text):
        if found[-1:] != [entry["state"]]:
            found.append(entry["state"])
    return found


def facts(text: str) -> dict[str, Any]:
    """All facts of a record, the newest of each name."""
    return {key: value for entry in lines(text) for key, value in entry["facts"].items()}


def pairs(text: str) -> dict[str, str]:
    """The ``key=value`` lines of ``result.env``, ``summary.txt`` or a promotion record, each key once."""
    found = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
    assert len({key for key, _value in found}) == len(found), text
    return dict(found)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@dataclass(frozen=True)
class Store:
    """The records of one rollout on the controller."""

    record_dir: Path
    rollout: str = ROLLOUT

    @property
    def path(self) -> Path:
        return self.record_dir / self.rollout

    @property
    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "plan.json").read_text())
        return found

    @property
    def promotions(self) -> list[dict[str, Any]]:
        return lines(_text(self.path / "promotions.jsonl"))

    def states(self, host: str) -> list[str]:
        """What a host went through; nothing where nothing was ever said of it."""
        return states(_text(self.path / "hosts" / f"{host}.jsonl"))

    def facts(self, host: str) -> dict[str, Any]:
        return facts(_text(self.path / "hosts" / f"{host}.jsonl"))

    def began(self, host: str) -> str:
        """When a host's turn began, as text that sorts by time."""
        found: str = lines(_text(self.path / "hosts" / f"{host}.jsonl"))[0]["at"]
        return found

    def last(self) -> dict[str, str]:
        """The state that each host of which something was said is in."""
        known = sorted(path.stem for path in (self.path / "hosts").glob("*.jsonl"))
        return {host: self.states(host)[-1] for host in known if self.states(host)}


@dataclass(frozen=True)
class Kept:
    """What a node keeps of one rollout, below its root."""

    root: Path
    rollout: str = ROLLOUT

    @property
    def path(self) -> Path:
        return self.root / "runtime/canary" / self.rollout

    @property
    def states(self) -> list[str]:
        """What the node went through by its own record; nothing when it never had a turn."""
        return states(_text(self.path / "record.jsonl"))

    @property
    def facts(self) -> dict[str, Any]:
        return facts(_text(self.path / "record.jsonl"))

    @property
    def result(self) -> dict[str, str]:
        return pairs(_text(self.path / "result.env"))

    @property
    def summary(self) -> dict[str, str]:
        return pairs(_text(self.path / "soak/summary.txt"))

    @property
    def samples(self) -> int:
        """How many samples its soak has."""
        return len(lines(_text(self.path / "soak/samples.jsonl")))

    @property
    def promotions(self) -> list[dict[str, str]]:
        found = sorted((self.root / "runtime/releases/promotions").glob("promotion-*.env"))
        return [pairs(path.read_text()) for path in found]

    @property
    def link(self) -> str | None:
        """Where the link to the release in force leads, None when there is none."""
        path = self.root / "current"
        return os.readlink(path) if path.is_symlink() else None

    @property
    def says(self) -> dict[str, Any]:
        """What the station says of itself: ``release``, ``ready`` and so on; nothing while it starts."""
        found: dict[str, Any] = json.loads(_text(self.root / "runtime/sim/state.json") or "{}")
        return found


def fingerprint(root: Path, but: Sequence[str] = ()) -> str:
    """All that a rollout could touch below a node's root, told by find and sha256sum: same text, same bytes.

    Every file with its type, mode, owner, time, size, target and content; every folder without its time.
    Paths in ``but`` (relative to the root) are left out, like the database.
    """
    prune = [word for path in (*ALIVE, *but) for word in ("-path", f"./{path}", "-prune", "-o")]
    folders = ["-type", "d", "-printf", "%P %y %m %U %G\n", "-o"]
    others = ["-printf", "%P %y %m %U %G %T@ %s %l\n"]
    listing = _run(root, "find", ".", *prune, *folders, *others)
    sums = _run(root, "find", ".", *prune, "-type", "f", "-exec", "sha256sum", "{}", "+")
    return "\n".join([*sorted(listing.splitlines()), *sorted(sums.splitlines())])


def assert_same(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Both were told by ``untouched``; AssertionError names the lines that differ."""
    assert before.keys() == after.keys()
    for host, text in before.items():
        changes = list(unified_diff(text.splitlines(), after[host].splitlines(), lineterm="", n=0))
        assert not changes, f"{host} was touched:\n" + "\n".join(changes)


def _run(root: Path, *words: str) -> str:
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
