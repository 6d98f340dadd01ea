# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sampler's loop with a clock of the test's own; what is done to a soak, and told of it."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Alert, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, DiskFull
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import record, states
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import (
    control,
    observe,
    progress,
    request,
    sampler,
    store,
    summary,
)
from tests.unit.core.conftest import ME
from tests.unit.core.nodes import make_node
from tests.unit.core.sample_maker import GOOD

from . import soaks
from .soaks import plan

ROLLOUT = soaks.ROLLOUT


class Quiet:
    """An API that answers well."""

    def status(self) -> Status:
        return Status("RUNNING", 60, times.now())

    def alerts(self) -> list[Alert]:
        return []

    def metrics(self) -> dict[str, float]:
        return dict(GOOD)


class Time:
    """All clocks of the sampler: sleeping moves them, and a look takes ``cost`` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady, self.cost = soaks.START, 1000.0, 0.01
        self.at_tick: dict[int, Callable[[], None]] = {}
        self.taken: list[float] = []
        monkeypatch.setattr(times, "now", lambda: self.wall)
        monkeypatch.setattr(sampler, "clock", lambda: self.steady)
        monkeypatch.setattr(sampler.time, "sleep", self.forward)
        monkeypatch.setattr(sampler, "take_sample", self.look)

    def forward(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds

    def look(self, *_what: Any) -> Any:
        self.at_tick.pop(len(self.taken), lambda: None)()
        self.taken.append(self.steady)
        made = soaks.sample_at(self.wall)
        self.forward(self.cost)
        return replace(made, until=self.wall)


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def begun(folder: Folder, **plan: Any) -> request.Request:
    wanted = replace(soaks.asked(**plan), node=folder.node)
    request.write(folder.soak, wanted, ME)
    return wanted


def ticks(folder: Folder) -> list[int | None]:
    return [line.tick for line in store.read(folder.soak)]


# --- the loop ---


def test_it_samples_at_each_tick_and_ends(folder: Folder, moment: Time) -> None:
    wanted = begun(folder)
    sampler.Sampler(folder.soak, wanted, Quiet()).run()
    assert ticks(folder) == list(range(10))
    assert [round(at - 1000) for at in moment.taken] == [60 * tick for tick in range(10)]
    ended = store.ended(folder.soak)
    assert ended is not None and ended.code == store.TIME_OVER
    assert "verdict=PASS\n" in (folder.soak / summary.NAME).read_text()
    left = progress.read(folder.soak, wanted)
    assert left is not None and (left["samples"], left["result"]) == (10, "PASS")


def test_ticks_that_are_missed_stay_missing(folder: Folder, moment: Time) -> None:
    def slow() -> None:
        moment.forward(150)

    moment.at_tick[3] = slow
    sampler.Sampler(folder.soak, begun(folder), Quiet()).run()
    assert ticks(folder) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("jump", [-7200, 7200])
def test_a_wall_clock_that_is_set_changes_no_tick(folder: Folder, moment: Time, jump: int) -> None:
    def move() -> None:
        moment.wall += timedelta(seconds=jump)

    moment.at_tick[3] = move
    sampler.Sampler(folder.soak, begun(folder), Quiet()).run()
    assert ticks(folder) == list(range(10))


@pytest.mark.parametrize(("late", "rest"), [(0, [4, 5]), (200, [6, 7]), (-99_999, [4, 5]), (10_000, [])])
def test_a_new_process_goes_on(folder: Folder, moment: Time, late: float, rest: list[int]) -> None:
    wanted = begun(folder)
    for tick in range(4):
        store.append(folder.soak, tick, soaks.sample_at(soaks.at(tick)), ME)
    moment.forward(3 * 60 + 1)
    moment.wall += timedelta(seconds=late)
    sampler.Sampler(folder.soak, wanted, Quiet()).run()
    assert ticks(folder)[4:6] == rest
    assert store.ended(folder.soak) is not None


def test_it_ends_early_only_when_it_may(
    folder: Folder, moment: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = moment.look

    def sick(*what: Any) -> Any:
        found = look(*what)
        return soaks.gauges(buffer_minutes=1.0)(found) if len(moment.taken) == 4 else found

    monkeypatch.setattr(sampler, "take_sample", sick)
    sampler.Sampler(folder.soak, begun(folder), Quiet()).run()
    assert ticks(folder) == [0, 1, 2, 3]
    ended = store.ended(folder.soak)
    assert ended is not None and (ended.code, "BUFFER_CRITICAL" in ended.detail) == (store.EARLY_STOP, True)


def test_somebody_ends_it(folder: Folder, moment: Time) -> None:
    moment.at_tick[4] = lambda: control._end(folder, store.STOPPED, "enough") and None
    sampler.Sampler(folder.soak, begun(folder), Quiet()).run()
    assert ticks(folder) == [0, 1, 2, 3], "the sample that was being taken is not stored"
    ended = store.ended(folder.soak)
    assert ended is not None and (ended.code, ended.detail) == (store.STOPPED, "enough")


def test_a_full_disk_costs_a_sample(
    folder: Folder, moment: Time, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append = store.append

    def full(soak: Path, tick: int, *rest: Any) -> bool:
        if tick in (2, 3):
            raise DiskFull("no room", path=soak)
        return append(soak, tick, *rest)

    monkeypatch.setattr(store, "append", full)
    sampler.Sampler(folder.soak, begun(folder), Quiet()).run()
    assert ticks(folder) == [0, 1, 4, 5, 6, 7, 8, 9]
    assert capsys.readouterr().err.count("no room") == 2


def test_a_real_sample_costs_little(folder: Folder) -> None:
    """Well below 100 ms of processor time."""
    wanted = begun(folder)
    at_work = sampler.Sampler(folder.soak, wanted, Quiet())
    at_work._step(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for tick in range(1, 9):
        at_work._step(tick)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert ticks(folder) == list(range(9))
    assert spent / 8 < 0.05


# --- control ---


def test_the_history_it_is_compared_with_ends_where_the_change_began(started: Folder) -> None:
    entry = record.append(started.record, states.IN_PROGRESS)
    assert entry is not None
    control.start(started, plan(), 5)
    found = request.find(started.soak)
    assert found is not None
    assert found.scope.qa_history_until == entry.at


def test_a_soak_whose_files_are_damaged_can_be_stopped_and_started_anew(started: Folder) -> None:
    control.start(started, plan(), 5)
    (started.soak / request.NAME).write_text("nothing of ours")
    with pytest.raises(Damaged):
        control.state(started)
    with pytest.raises(Damaged):
        control.start(started, plan(), 5)
    assert control.stop(started, "back it goes")
    assert not control.stop(started, "again")
    assert not store.alive(started.soak)
    (started.soak / store.ENDED).write_text("nor this")
    told = control.start(started, plan(), 5, restart=True)
    assert (told.facts["soak"]["state"], told.facts["soak"]["attempt"]) == ("running", 2)


def test_a_soak_that_never_was_is_stopped_without_a_trace(tmp_path: Path) -> None:
    made = Folder.of(make_node(tmp_path / "node"), ROLLOUT)
    assert not control.stop(made, "none")
    assert control.state(made).word == "none"
    assert not made.path.exists()


@pytest.mark.parametrize("step", range(1, 7))
def test_putting_an_attempt_aside_can_be_killed_anywhere(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each step of it fails once; the next run ends in the same place."""
    (folder.soak / "attempt-1").mkdir()
    (folder.soak / "attempt-1" / "samples.jsonl").write_text("first")
    (folder.soak / "samples.jsonl").write_text("second")
    real, left = Path.rename, step

    class Killed(BaseException):
        pass

    def rename(path: Path, target: Any) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return real(path, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with suppress(Killed):
            control._put_aside(folder.soak, ME)
    assert control._put_aside(folder.soak, ME) == 3
    assert (folder.soak / "attempt-1/samples.jsonl").read_text() == "first"
    assert (folder.soak / "attempt-2/samples.jsonl").read_text() == "second"
    assert sorted(one.name for one in folder.soak.iterdir()) == ["attempt-1", "attempt-2"]
    assert not folder.soak.with_name(".soak-before").exists()


def test_a_week_is_told_quickly_without_judging(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that grows with the samples is read."""
    wanted = begun(folder, hours=24.0)
    held = store.hold(folder.soak, files.Owner.of(folder.soak))
    assert held is not None
    case = soaks.case(wanted, missing=range(5, 1441), over=None, alive=True)
    progress.write(folder.soak, case, soaks.judge.judge(case), ME)
    monkeypatch.setattr(observe, "read", lambda *_what: pytest.fail("the samples were read"))
    monkeypatch.setattr(files, "sha256_of", lambda _path: pytest.fail("the samples were read"))
    told = control.tell(folder, judge_it=False)
    os.close(held)
    assert (told.facts["soak"]["state"], told.facts["soak"]["samples"]) == ("running", 5)
    assert told.facts["verdict"]["result"] == "INCONCLUSIVE"


def test_a_day_is_judged_in_seconds(folder: Folder) -> None:
    wanted = begun(folder, hours=24.0)
    line = soaks.sample_at(soaks.at(0)).to_json()[1:]
    with (folder.soak / store.NAME).open("w") as out:
        out.writelines(f'{{"tick":{tick},{line}\n' for tick in range(1441))
    begin = time.process_time()
    told = control.tell(folder)
    assert time.process_time() - begin < 10
    assert told.facts["verdict"]["samples"] == 1441
    assert json.dumps(told.facts)
    assert wanted.plan.due() == 1441
