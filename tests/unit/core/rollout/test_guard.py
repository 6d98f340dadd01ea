# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's decisions and its units' texts, with a systemd that only writes down what it is told."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import programs, times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Busy, Unsupported
from ansible_collections.vvtv.runbook.plugins.module_utils._core.locks import node_lock
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import (
    begun,
    guard,
    guard_firing,
    guard_units,
    record,
    rollback,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder

ROLLOUT = "20260131T235959Z"
SERVICE, TIMER = f"vvtv-rollback-{ROLLOUT}.service", f"vvtv-rollback-{ROLLOUT}.timer"


class Systemd:
    """Knows which units are active; ``calls`` are the words it was given."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.active: set[str] = set()
        self.states: dict[str, str] = {}

    def run(self, argv: Any, _seconds: float) -> programs.Ended:
        words = list(argv)
        self.calls.append(shlex.join(words))
        if words[0] != "systemctl":
            return programs.Ended(0, "")
        verb, unit = words[1], words[-1]
        if verb == "is-active":
            return programs.Ended(0 if unit in self.active else 3, "")
        if verb == "show":
            return programs.Ended(0, self.states.get(unit, "inactive"))
        if verb == "restart":
            self.active.add(unit)
        if verb == "disable":
            self.active.discard(unit)
        return programs.Ended(0, "")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    units = tmp_path / "units"
    units.mkdir()
    ours = Systemd()
    monkeypatch.setattr(guard_units, "UNITS", units)
    monkeypatch.setattr(guard_units, "SYSTEMD", units)
    monkeypatch.setattr(guard_units, "_STAMPS", units)
    monkeypatch.setattr(guard_units.os, "geteuid", lambda: 0)
    monkeypatch.setattr(guard_units, "_ROOT", guard_units.files.Owner(os.getuid(), os.getgid()))
    monkeypatch.setattr(programs, "run", ours.run)
    return ours


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A node in the middle of a rollout."""
    (tmp_path / "node").mkdir()
    ours = Folder.of(Node.at(tmp_path / "node"), ROLLOUT)
    begun.begin(ours, begun.Begun(ROLLOUT, begun.Candidate("2", "0" * 64), begun.Restart(), "1"))
    record.append(ours.record, "IN_PROGRESS", {}, "a test")
    return ours


def bring(folder: Folder, state: str, check: bool = False, **options: Any) -> Outcome:
    words = {"deadline": 600.0} if state == "armed" else {}
    request = guard.Request(state, command="/bin/true", timeout=0.2, **{**words, **options})
    return guard.bring_about(folder, request, check)


def units(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "units").iterdir())


def move(folder: Folder, **ago: float) -> None:
    """Put the guard's instant into the past."""
    present = guard.Guard.of(record.read(folder.record))
    told = guard.Guard(present.armed_at, times.now() - timedelta(**ago)).facts()
    record.append(folder.record, str(record.last(record.read(folder.record))), {guard.FACT: told}, "a test")


def test_armed_confirmed_and_gone(folder: Folder, systemd: Systemd, tmp_path: Path) -> None:
    foretold = bring(folder, "armed", check=True)
    assert (foretold.changed, units(tmp_path), systemd.active) == (True, [], set())
    done = bring(folder, "armed", options=("--root", "/srv"))
    assert (units(tmp_path), systemd.active) == ([SERVICE, TIMER], {TIMER})
    assert f"/bin/true rollback --rollout {ROLLOUT} --guard --root /srv --check" in systemd.calls
    left = times.parse(done.facts["guard"]["fires_at"]) - times.now()
    assert timedelta(seconds=590) < left <= timedelta(seconds=601)
    again = bring(folder, "armed", options=("--root", "/srv"), deadline=9000.0)
    assert (again.changed, again.facts["guard"]) == (False, done.facts["guard"])

    assert bring(folder, "confirmed", check=True).actions == ["confirm the guard", "remove its timer"]
    over = bring(folder, "confirmed")
    assert (over.actions, units(tmp_path), systemd.active) == (
        ["confirmed the guard", "removed its timer"],
        [],
        set(),
    )
    assert not bring(folder, "confirmed").changed
    assert not bring(folder, "disarmed").changed
    assert record.fact(record.read(folder.record), "guard")["confirmed_at"] is not None


def test_it_gets_a_later_instant_only_when_that_is_asked_for(folder: Folder, systemd: Systemd) -> None:
    first = bring(folder, "armed").facts["guard"]["fires_at"]
    for options in ({"deadline": 900.0}, {"deadline": 1.0, "extend": True}):
        assert bring(folder, "armed", **options).facts["guard"]["fires_at"] == first
    later = bring(folder, "armed", deadline=900.0, extend=True)
    assert later.facts["guard"]["fires_at"] > first
    assert later.changed


def test_units_that_somebody_removed_are_put_back(folder: Folder, systemd: Systemd, tmp_path: Path) -> None:
    first = bring(folder, "armed").facts["guard"]
    (tmp_path / "units" / TIMER).unlink()
    assert bring(folder, "armed").changed
    systemd.active.clear()
    assert bring(folder, "armed").changed
    assert bring(folder, "armed").facts["guard"] == first


def interrupted(_units: object) -> None:
    """What a signal does in the middle."""
    raise KeyboardInterrupt


def test_killed_between_record_and_units(
    folder: Folder, systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(guard_units, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bring(folder, "armed")
    assert units(tmp_path) == []
    assert bring(folder, "armed").changed
    assert units(tmp_path) == [SERVICE, TIMER]


def test_without_systemd_or_the_command(
    folder: Folder, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = guard.Request("armed", 60.0, command="/not/there")
    told = guard.bring_about(folder, none)
    assert (told.changed, told.facts["guard"]["available"]) == (False, False)
    assert "the role node installs it" in told.facts["guard"]["why"]
    with pytest.raises(Unsupported, match="there can be no guard"):
        guard.bring_about(folder, guard.Request("armed", 60.0, command="/not/there", required=True))
    monkeypatch.setattr(guard_units.os, "geteuid", lambda: 1000)
    assert "need root" in bring(folder, "armed").facts["guard"]["why"]
    monkeypatch.setattr(guard_units, "SYSTEMD", Path("/not/there"))
    told = bring(folder, "armed")
    assert "does not run systemd" in told.facts["guard"]["why"]
    # What was never armed needs no confirming, and says why.
    assert bring(folder, "confirmed").facts["guard"]["why"] == "this host does not run systemd"


def test_a_command_that_does_not_understand_is_found_before(
    folder: Folder, systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "run", lambda argv, seconds: programs.Ended(2, "unknown option --guard"))
    with pytest.raises(programs.ProgramFailed, match="unknown option --guard"):
        bring(folder, "armed")
    assert units(tmp_path) == []
    assert guard.Guard.of(record.read(folder.record)) == guard.Guard()


@pytest.mark.parametrize("state", ["FAILED", "ROLLED_BACK"])
def test_what_has_gone_back_is_neither_guarded_nor_confirmed(
    folder: Folder, systemd: Systemd, state: str
) -> None:
    bring(folder, "armed")
    record.append(folder.record, "FAILED", {}, "a test")
    if state != "FAILED":
        record.append(folder.record, state, {}, "a test")
    for wanted in ("armed", "confirmed"):
        with pytest.raises(BadInput, match=f"the node is {state}"):
            bring(folder, wanted)
    assert bring(folder, "disarmed").changed


@pytest.mark.parametrize("active", ["activating", "active", "inactive"])
def test_a_guard_that_holds_the_lock_is_firing(folder: Folder, systemd: Systemd, active: str) -> None:
    bring(folder, "armed")
    systemd.states[SERVICE] = active
    wanted: type[Exception] = Busy if active == "inactive" else guard.GuardFired
    with node_lock(folder.node, "guard", 1), pytest.raises(wanted):
        bring(folder, "confirmed")


@pytest.fixture
def backs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[rollback.Request]]:
    """What was asked of the rollback, which only records its beginning."""
    asked: list[rollback.Request] = []

    def roll_back(folder: Folder, _api: Any, request: rollback.Request, check: bool = False) -> Outcome:
        asked.append(request)
        if not check:
            record.append(folder.record, "FAILED", {"reason": request.reason, **request.told}, request.by)
        return Outcome(changed=True)

    monkeypatch.setattr(rollback, "roll_back", roll_back)
    yield asked


def fire(folder: Folder, check: bool = False) -> Outcome:
    return guard_firing.fire(folder, None, rollback.Request("unused", timeout=0.2), check)  # type: ignore[arg-type]


def why(outcome: Outcome) -> str:
    return str(outcome.facts["guard"]["why"])


def test_it_fires_when_it_is_due_and_not_before(
    folder: Folder, systemd: Systemd, backs: list[rollback.Request]
) -> None:
    assert why(fire(folder)) == "the guard was never armed"
    bring(folder, "armed")
    assert why(fire(folder)).startswith("it is not due before ")
    move(folder, seconds=1)
    assert fire(folder, check=True).changed
    assert fire(folder).changed
    assert [request.by.split("@")[0] for request in backs if request.by] == ["guard", "guard"]
    assert backs[1].reason.startswith("the guard fired: nobody confirmed the rollout by ")
    for wanted in ("armed", "confirmed"):
        with pytest.raises(guard.GuardFired) as caught:
            bring(folder, wanted)
        assert (caught.value.facts["record"], caught.value.facts["guard"]["fired"]) == (
            {"state": "FAILED"},
            True,
        )
    # What it began and did not finish it begins again, and says the same instant.
    at = guard.Guard.of(record.read(folder.record)).fired_at
    fire(folder)
    assert guard.Guard.of(record.read(folder.record)).fired_at == at


def test_it_does_nothing_when_there_is_nothing_to_do(
    folder: Folder, systemd: Systemd, backs: list[rollback.Request], tmp_path: Path
) -> None:
    bring(folder, "armed")
    bring(folder, "disarmed")
    assert "it was disarmed at" in why(fire(folder))
    bring(folder, "armed")
    bring(folder, "confirmed")
    (tmp_path / "units" / TIMER).write_text("left by a run that was killed")
    told = fire(folder)
    assert ("it was confirmed at" in why(told), told.actions) == (True, ["removed the guard's timer"])
    bring(folder, "armed")
    move(folder, seconds=1)
    for state in ("FAILED", "NEEDS_OPERATOR"):
        record.append(folder.record, state, {}, "a test")
    assert why(fire(folder)) == "the node is NEEDS_OPERATOR"
    record.append(folder.record, "ROLLED_BACK", {}, "a test")
    assert why(fire(folder)) == "the node is ROLLED_BACK"
    assert backs == []


def test_it_waits_for_whoever_has_the_node(folder: Folder, systemd: Systemd, backs: list[Any]) -> None:
    bring(folder, "armed")
    move(folder, seconds=1)
    with node_lock(folder.node, "confirm", 1), pytest.raises(Busy):
        fire(folder)
    assert backs == []


@pytest.mark.parametrize("said", [None, 1, "x", [], {"armed_at": "yesterday"}, {"armed_at": 5}])
def test_a_record_that_says_nonsense_of_it_arms_nothing(folder: Folder, said: Any) -> None:
    record.append(folder.record, "IN_PROGRESS", {guard.FACT: said}, "a test")
    assert guard.Guard.of(record.read(folder.record)) == guard.Guard()


@pytest.mark.parametrize(
    "options",
    [
        {"state": "loaded"},
        {"state": "armed"},
        {"state": "armed", "deadline": 0.0},
        {"state": "armed", "deadline": float("nan")},
        {"state": "armed", "deadline": 1e9},
        {"state": "confirmed", "command": "vvtv-runbook"},
    ],
)
def test_requests_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        guard.Request(**options)


# --- the units' texts ---


@given(st.lists(st.text(st.characters(exclude_categories=("C",)), max_size=30), min_size=1, max_size=6))
def test_words_are_quoted_for_systemd(words: list[str]) -> None:
    if not all(word.isprintable() for word in words):
        with pytest.raises(BadInput):
            guard_units.Units.of(ROLLOUT, Path("/srv"), words, times.now())
        return
    texts = guard_units.Units.of(ROLLOUT, Path("/srv"), words, times.now())
    (line,) = [one for one in texts.service.splitlines() if one.startswith("ExecStart=")]
    # A shell reads it back as systemd does, but for its two characters.
    plain = line[len("ExecStart=") :].replace("%%", "%").replace("$$", "\\$").replace("`", "\\`")
    assert shlex.split(plain.replace("\\$", "$").replace("\\`", "`")) == words


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """Asked of systemd-analyze, which knows what a manager of this version takes."""
    at = times.parse("2026-12-01T03:04:05.5Z")
    texts = guard_units.Units.of(ROLLOUT, tmp_path, ["/bin/true", "a b", "100%"], at)
    (tmp_path / SERVICE).write_text(texts.service)
    (tmp_path / TIMER).write_text(texts.timer)
    assert "OnCalendar=2026-12-01 03:04:05 UTC" in texts.timer
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / SERVICE), str(tmp_path / TIMER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Refusing" not in done.stderr
    assert "bad-setting" not in done.stderr
