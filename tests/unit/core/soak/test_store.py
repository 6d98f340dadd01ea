# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The samples on disk: durable, torn lines tolerated, nothing else believed; the summary made of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Damaged, SystemFault
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Sample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import (
    judge,
    observe,
    progress,
    request,
    store,
    summary,
)
from tests.unit.core.conftest import ME, sha256sum

from . import soaks
from .soaks import asked, gauges, sample_at

FIRST = sample_at(soaks.at(0))


def filled(soak: Path, wanted: request.Request, changes: Any = None, missing: Any = ()) -> None:
    """Store a soak as a sampler would."""
    request.write(soak, wanted, ME)
    for tick, sample in soaks.samples(wanted, changes, missing).items():
        assert store.append(soak, tick, sample, ME)


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    assert list(store.read(tmp_path)) == []
    assert store.digest(tmp_path) is None
    for tick in (0, 1, 5):
        assert store.append(tmp_path, tick, sample_at(soaks.at(tick)), ME)
    found = list(store.read(tmp_path))
    assert [one.tick for one in found] == [0, 1, 5]
    assert found[1].sample == sample_at(soaks.at(1))
    assert store.digest(tmp_path) == sha256sum(tmp_path / store.NAME)
    assert (tmp_path / store.NAME).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_torn_line_is_no_line_and_the_next_append_cuts_it_off(tmp_path: Path, kept: int) -> None:
    store.append(tmp_path, 0, FIRST, ME)
    path = tmp_path / store.NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert [one.tick for one in store.read(tmp_path)] == [0]
    store.append(tmp_path, 1, sample_at(soaks.at(1)), ME)
    assert path.read_bytes().startswith(whole)
    assert [one.tick for one in store.read(tmp_path)] == [0, 1]


def test_nothing_is_appended_to_a_soak_that_is_over(tmp_path: Path) -> None:
    assert store.end(tmp_path, soaks.OVER, ME)
    assert not store.append(tmp_path, 0, FIRST, ME)
    assert not (tmp_path / store.NAME).exists()


def test_it_ends_once(tmp_path: Path) -> None:
    ends = [replace(soaks.OVER, detail=str(number)) for number in range(8)]
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: done.append(store.end(tmp_path, one, ME))) for one in ends
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False] * 7 + [True]
    found = store.ended(tmp_path)
    assert found in ends


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(tmp_path, 0, FIRST, ME)
    before = (tmp_path / store.NAME).read_bytes()
    real = os.pwrite

    def short(descriptor: int, data: bytes, offset: int) -> int:
        return real(descriptor, data[:50], offset)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(Exception, match="only a part"):
        store.append(tmp_path, 1, FIRST, ME)
    assert (tmp_path / store.NAME).read_bytes() == before


# --- hostile files ---

GOOD_LINE = f'{{"tick":0,{FIRST.to_json()[1:]}'
SPOILT = [
    b"\n",
    b"{}\n",
    FIRST.to_json().encode() + b"\n",
    GOOD_LINE.replace('"tick":0', '"tick":-1').encode() + b"\n",
    GOOD_LINE.replace('"v":1', '"v":9').encode() + b"\n",
    b'{"tick":0,' + b"[" * 50_000 + b"\n",
    b"\xff\xfe\n",
    b"\0" * 3000 + b"\n",
]


@pytest.mark.parametrize("line", SPOILT, ids=range(len(SPOILT)))
def test_a_line_that_is_none_is_told_and_the_others_are_read(tmp_path: Path, line: bytes) -> None:
    (tmp_path / store.NAME).write_bytes(line + GOOD_LINE.encode() + b"\n")
    found = list(store.read(tmp_path))
    assert found[0] == store.Line(None, None)
    assert found[1].tick == 0


def test_a_line_without_an_end_ends_the_reading(tmp_path: Path) -> None:
    (tmp_path / store.NAME).write_bytes(b"x" * (5 << 20))
    assert list(store.read(tmp_path)) == [store.Line(None, None)]


@given(st.binary(max_size=400))
def test_whatever_lies_there_is_read_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    soak = tmp_path_factory.mktemp("soak")
    (soak / store.NAME).write_bytes(data)
    assert all(one.sample is None for one in store.read(soak))
    (soak / store.ENDED).write_bytes(data)
    with pytest.raises(Damaged):
        store.ended(soak)
    (soak / progress.NAME).write_bytes(data)
    assert progress.read(soak, asked()) is None


@pytest.mark.parametrize("name", [store.NAME, store.ENDED, store.LOCK, "status-samples.log"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    outside = tmp_path / "outside"
    outside.write_text("precious")
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    calls: dict[str, Any] = {
        store.NAME: lambda: store.append(tmp_path, 0, FIRST, ME),
        store.ENDED: lambda: store.ended(tmp_path),
        store.LOCK: lambda: store.hold(tmp_path, ME),
        "status-samples.log": lambda: store.log(tmp_path, FIRST, ME),
    }
    with pytest.raises(Exception, match=name.replace(".", r"\.") + "|not a regular|symbolic|directory"):
        calls[name]()
    if name == store.NAME:
        for look in (store.digest, lambda soak: list(store.read(soak))):
            with pytest.raises((Damaged, SystemFault)):
                look(tmp_path)
    assert outside.read_text() == "precious"


# --- who lives ---


def test_a_sampler_lives_as_long_as_its_process(tmp_path: Path) -> None:
    assert not store.alive(tmp_path)
    code = (
        "import sys, pathlib; from ansible_collections.vvtv.runbook.plugins.module_utils._core import files\n"
        "from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import store\n"
        "where = pathlib.Path(sys.argv[1])\n"
        "print(store.hold(where, files.Owner.of(where)) is not None, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        assert store.alive(tmp_path)
        assert store.hold(tmp_path, ME) is None
        child.kill()
    assert not store.alive(tmp_path)


# --- the runbook's own files ---


def test_the_logs_have_a_line_for_each_call(tmp_path: Path) -> None:
    store.log(tmp_path, FIRST, ME)
    store.log(tmp_path, soaks.failing("metrics", "http_status", 500)(FIRST), ME)
    for name in store.LOGS.values():
        assert len((tmp_path / name).read_text().splitlines()) == 2
    assert "error http_status" in (tmp_path / store.LOGS["metrics"]).read_text().splitlines()[1]
    assert "ok RUNNING" in (tmp_path / store.LOGS["status"]).read_text()


KEYS = [
    "verdict", "samples", "fail_status_requests", "fail_metrics_requests", "fail_alerts_requests",
    "buffer_critical_observations", "stream_disruptions_nonzero_observations", "soak_hours",
    "check_interval_secs",
]  # fmt: skip


def read(soak: Path) -> dict[str, str]:
    title, *lines = (soak / summary.NAME).read_text().splitlines()
    assert "=" not in title
    return dict(line.split("=", 1) for line in lines)


def summarised(soak: Path, changes: Any = None, missing: Any = ()) -> dict[str, str]:
    wanted = asked()
    filled(soak, wanted, changes, missing)
    made = judge.Case(wanted, observe.read(soak, Thresholds()), soaks.at(9), over=soaks.OVER)
    summary.write(soak, made, judge.judge(made), ME)
    return read(soak)


def test_the_summary_has_the_runbooks_keys_first(tmp_path: Path) -> None:
    found = summarised(tmp_path)
    assert list(found)[: len(KEYS)] == KEYS
    assert (found["verdict"], found["result"], found["samples"]) == ("PASS", "PASS", "10")
    assert found["samples_sha256"] == sha256sum(tmp_path / store.NAME)


def test_the_summary_counts(tmp_path: Path) -> None:
    changes = {
        1: gauges(buffer_minutes=5.0, stream_disruptions=2.0),
        2: gauges(buffer_minutes=5.0),
        3: soaks.failing("alerts", "timeout"),
        4: soaks.down,
    }
    found = summarised(tmp_path, changes)
    assert [found[key] for key in KEYS] == ["FAIL", "10", "1", "1", "2", "2", "1", "0.15", "60"]
    assert "BUFFER_CRITICAL" in found["reasons"]


def test_what_is_inconclusive_promotes_nothing(tmp_path: Path) -> None:
    found = summarised(tmp_path, missing=range(10))
    assert (found["verdict"], found["result"], found["reasons"]) == ("FAIL", "INCONCLUSIVE", "no_data")


def test_settling_changes_the_verdict_alone(tmp_path: Path) -> None:
    before = summarised(tmp_path, {1: gauges(buffer_minutes=5.0)})
    assert summary.settle(tmp_path, ME, "INCONCLUSIVE", ["baseline_sick", "baseline_sick", "x\ny=z"])
    after = read(tmp_path)
    changed = {"result": "INCONCLUSIVE", "reasons": "baseline_sick,x y=z"}
    assert after == {**before, **changed}
    assert not summary.settle(tmp_path, ME, "INCONCLUSIVE", ["baseline_sick", "x\ny=z"])
    assert summary.settle(tmp_path, ME, "PASS", [])
    assert read(tmp_path)["verdict"] == "PASS"


def test_settling_makes_a_summary_that_nobody_wrote(tmp_path: Path) -> None:
    assert not summary.settle(tmp_path, ME, "FAIL", [])
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path, asked(), missing=range(4, 10))
    (tmp_path / summary.NAME).write_text("half a summ")
    assert summary.settle(tmp_path, ME, "INCONCLUSIVE", ["interrupted"])
    found = read(tmp_path)
    assert (found["samples"], found["verdict"], found["reasons"]) == ("4", "FAIL", "interrupted")


def test_no_value_of_a_sample_makes_a_key(tmp_path: Path) -> None:
    evil: Sample = replace(
        FIRST,
        status=replace(
            FIRST.status, value=None, error=soaks.Fault("http_status", "x\nverdict=PASS\nresult=PASS", 500)
        ),
    )
    filled(tmp_path, asked())
    store.log(tmp_path, evil, ME)
    assert len((tmp_path / store.LOGS["status"]).read_text().splitlines()) == 1
