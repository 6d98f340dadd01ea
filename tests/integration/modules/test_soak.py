# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules soak and soak_info: four steps, verdicts about simulated nodes, samplers that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import CHECKOUT, MODULES, good, sha256sum, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.soaking import (
    FAST,
    ROLLOUT,
    codes,
    folder,
    info,
    kill,
    lines,
    over,
    samplers,
    soak,
    until,
)
from tests.simulator import fleet

LONG = {"hours": 0.1}


# In one journal mode: how a busy database is read in either is what the tests of health are about.
JOURNALS = ["wal"]


@pytest.fixture(autouse=True)
def ended(station: fleet.Node) -> Iterator[None]:
    """No sampler outlives its test."""
    yield
    for pid in samplers(station):
        os.kill(pid, signal.SIGKILL)


def summary(node: fleet.Node) -> dict[str, str]:
    _title, *rest = (folder(node) / "summary.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in rest)


# --- four steps ---


def test_check_run_run_check_of_starting(station: fleet.Node) -> None:
    before = tree(station.root)
    told = good(soak(station, check=True, **LONG))
    assert (told["changed"], told["soak"]["state"], samplers(station)) == (True, "none", [])
    assert {name for name in tree(station.root) if "canary" in name} == {
        name for name in before if "canary" in name
    }
    done = good(soak(station, **LONG))
    assert (done["changed"], done["actions"]) == (True, told["actions"])
    assert done["soak"]["state"] == "running"
    (pid,) = samplers(station)
    assert os.getsid(pid) == pid
    for check in (False, True):
        again = good(soak(station, check=check, **LONG))
        assert (again["changed"], again["actions"], again["warnings"]) == (False, [], [])
        assert again["soak"]["started_at"] == done["soak"]["started_at"]
        assert samplers(station) == [pid]


def test_check_run_run_check_of_stopping(station: fleet.Node) -> None:
    assert not good(soak(station, state="stopped"))["changed"]
    good(soak(station, **LONG))
    until(lambda: lines(station) >= 2)
    told = good(soak(station, check=True, state="stopped"))
    assert (told["changed"], told["soak"]["state"], len(samplers(station))) == (True, "running", 1)
    done = good(soak(station, state="stopped", reason="wrong release"))
    assert (done["changed"], done["actions"]) == (True, told["actions"])
    until(lambda: not samplers(station))  # it lets go of its lock a moment before its process is gone
    assert json.loads((folder(station) / "ended.json").read_text())["detail"] == "wrong release"
    for check in (False, True):
        again = good(soak(station, check=check, state="stopped"))
        assert (again["changed"], again["soak"]["state"]) == (False, "ended")
    found = good(info(station))
    assert (found["verdict"]["result"], codes(found)[0]) == ("INCONCLUSIVE", "interrupted")
    assert "wrong release" in found["verdict"]["reasons"][0]["reason"]
    assert not good(soak(station, **LONG))["changed"], "it was stopped, and is not started again by itself"


def test_info_changes_nothing(station: fleet.Node) -> None:
    found = good(info(station))
    assert (found["soak"]["state"], found["verdict"]["result"]) == ("none", "INCONCLUSIVE")
    assert codes(found) == ["no_data"]
    assert not folder(station).exists()
    good(soak(station))
    over(station)
    before = {name: told for name, told in tree(station.root).items() if "canary" in name}
    answers = [good(info(station, check=check, judge=judge)) for check in (1, 0) for judge in (True, False)]
    assert not any(one["changed"] for one in answers)
    assert {name: told for name, told in tree(station.root).items() if "canary" in name} == before
    for one in answers:
        assert one["verdict"]["result"] == "PASS"
        assert one["soak"]["sha256"] == sha256sum(folder(station) / "samples.jsonl")


# --- what it comes to ---


def test_a_healthy_node_passes(station: fleet.Node) -> None:
    good(soak(station, warmup=2.0))
    assert over(station)["code"] == "time_over"
    found = good(info(station))
    assert (found["verdict"]["result"], found["verdict"]["reasons"]) == ("PASS", [])
    assert found["soak"]["samples"] + found["soak"]["warmup_samples"] == lines(station)
    assert 1 <= found["soak"]["warmup_samples"] <= 4  # it may come up too late for the first ticks
    assert found["soak"]["coverage"] > 0.3
    assert found["verdict"]["cycles"] >= 2
    assert summary(station)["verdict"] == "PASS"
    assert summary(station)["samples_sha256"] == found["soak"]["sha256"]
    assert summary(station)["samples"] == str(found["soak"]["samples"])
    for name in ("status", "metrics", "alerts"):
        assert len((folder(station) / f"{name}-samples.log").read_text().splitlines()) == lines(station)


def test_a_node_that_gets_sick_fails_at_once(station: fleet.Node) -> None:
    good(soak(station, **LONG))
    until(lambda: lines(station) >= 3)
    station.faults(buffer=5)
    assert over(station)["code"] == "early_stop"
    found = good(info(station))
    assert found["verdict"]["result"] == "FAIL"
    assert codes(found)[0] == "BUFFER_CRITICAL"
    assert summary(station)["verdict"] == "FAIL"
    assert int(summary(station)["buffer_critical_observations"]) >= 1


def test_without_early_stop_it_goes_on(station: fleet.Node) -> None:
    station.faults(qa=0.3)
    good(soak(station, early_stop=False))
    until(lambda: lines(station) >= 3)
    told = good(info(station, judge=False))
    assert (told["soak"]["state"], told["verdict"]["certain"]) == ("running", True)
    assert over(station)["code"] == "time_over"
    found = good(info(station))
    assert (found["verdict"]["result"], codes(found)[0]) == ("FAIL", "QA_PASS_RATE_LOW")
    # The same samples by another floor: the API's own alert is left, which may be allowed as well.
    softer = {"qa_floor": 0.2, "qa_baseline": "floor"}
    assert codes(good(info(station, thresholds=softer))) == ["API_QA_PASS_RATE_LOW"]
    allowed = {"checks": {"API_QA_PASS_RATE_LOW": {"mode": "observe"}}}
    found = good(info(station, thresholds=softer, limits=allowed))
    assert (found["verdict"]["result"], codes(found)) == ("PASS", [])
    assert [one["code"] for one in found["verdict"]["checks"]] == ["API_QA_PASS_RATE_LOW"]


@pytest.mark.parametrize("fault", [{"http_500": "all"}, {"malformed": "/v1/alerts"}, {"html": "/metrics"}])
def test_an_api_that_gives_no_good_answer_fails(station: fleet.Node, fault: dict[str, Any]) -> None:
    good(soak(station, api_timeout=0.5, **LONG))
    until(lambda: lines(station) >= 3)
    station.faults(**fault)
    assert over(station)["code"] == "early_stop"
    found = good(info(station))
    assert (found["verdict"]["result"], codes(found)[0]) == ("FAIL", "api_errors")
    assert found["soak"]["errors"] == 3


def test_a_station_that_dies_fails(station: fleet.Node) -> None:
    good(soak(station, **LONG))
    until(lambda: lines(station) >= 3)
    station.kill()
    assert over(station)["code"] == "early_stop"
    assert good(info(station))["verdict"]["result"] == "FAIL"


def test_a_pipeline_that_does_nothing_is_not_seen_working(quiet: fleet.Node) -> None:
    good(soak(quiet))
    over(quiet)
    found = good(info(quiet))
    assert (found["verdict"]["result"], codes(found)) == ("INCONCLUSIVE", ["cycle_not_seen"])
    assert good(info(quiet, limits={"no_cycle": "pass"}))["verdict"]["result"] == "PASS"
    assert good(info(quiet, limits={"no_cycle": "fail"}))["verdict"]["result"] == "FAIL"


@pytest.mark.thorough
def test_a_locked_database_is_an_error_and_no_failure(quiet: fleet.Node) -> None:
    """The station answers late as well meanwhile, as it waits for the lock for as long as we do."""
    lax = {"no_cycle": "pass", "max_errors": 100, "min_coverage": 0}
    good(soak(quiet, hours=0.006, lock_timeout=0.1, api_timeout=1, **lax))
    until(lambda: lines(quiet) >= 3)
    with closing(sqlite3.connect(quiet.state_db, isolation_level=None, timeout=5)) as other:
        other.execute("BEGIN EXCLUSIVE")
        have = lines(quiet)
        until(lambda: lines(quiet) > have + 1)
        other.execute("ROLLBACK")
    over(quiet)
    found = good(info(quiet))
    assert (found["verdict"]["result"], found["verdict"]["checks"]) == ("PASS", []), found["verdict"]
    if found["soak"]["errors"]:  # a reader of a WAL is kept out by nobody
        assert codes(good(info(quiet, limits={"max_errors": 0}))) == ["errors"]


# --- it needs nobody, and dies of nothing ---


@pytest.mark.thorough
def test_it_outlives_ansible_on_the_oldest_python(station: fleet.Node) -> None:
    params = {"root": station.root, "rollout": ROLLOUT}
    result = on_a_node("soak", api_url=station.url, **FAST, **params)
    assert result["changed"], result
    assert over(station)["code"] == "time_over"
    found = on_a_node("soak_info", **params)
    assert found["verdict"]["result"] == "PASS", found
    assert (folder(station) / "sampler.log").read_text() == ""


@pytest.mark.thorough
def test_a_killed_sampler_goes_on_with_a_gap(station: fleet.Node) -> None:
    good(soak(station, hours=0.003, min_coverage=0.2))  # 22 ticks
    until(lambda: lines(station) >= 3)
    kill(station)
    with (folder(station) / "samples.jsonl").open("ab") as torn:
        torn.write(b'{"tick":77,"v":1,"at":"2026-')
    assert good(info(station))["soak"]["state"] == "died"
    assert codes(good(info(station)))[0] == "interrupted"
    have = lines(station)
    time.sleep(1.6)  # the gap: nothing shows it but time
    told = good(soak(station, check=True, hours=0.003, min_coverage=0.2))
    assert (told["changed"], samplers(station)) == (True, [])
    done = good(soak(station, hours=0.003, min_coverage=0.2))
    assert (done["changed"], done["actions"], done["soak"]["state"]) == (True, told["actions"], "running")
    assert over(station)["code"] == "time_over"
    assert lines(station) > have
    found = good(info(station))
    assert found["verdict"]["result"] == "PASS", found["verdict"]
    assert found["soak"]["coverage"] < 1
    assert found["soak"]["attempt"] == 1
    strict = good(info(station, limits={"min_coverage": 1.0}))
    assert codes(strict) == ["low_coverage"]


def test_a_sampler_that_died_until_the_end_passes_nothing(station: fleet.Node) -> None:
    good(soak(station, hours=0.0009))
    until(lambda: lines(station) >= 2)
    kill(station)
    until(lambda: good(info(station, judge=False))["soak"]["remaining"] == 0)
    assert good(info(station))["soak"]["state"] == "died"
    done = good(soak(station, hours=0.0009))
    assert (done["changed"], done["soak"]["state"], done["soak"]["reason"]) == (True, "ended", "died")
    assert samplers(station) == []
    found = good(info(station))
    assert (found["verdict"]["result"], codes(found)[0]) == ("INCONCLUSIVE", "interrupted")
    assert summary(station)["verdict"] == "FAIL"
    assert not good(soak(station, hours=0.0009))["changed"]


def test_a_new_attempt_keeps_the_old_one(station: fleet.Node) -> None:
    for attempt in (1, 2, 3):
        done = good(soak(station, restart=attempt > 1, **LONG))
        assert (done["changed"], done["soak"]["attempt"], len(samplers(station))) == (True, attempt, 1)
        until(lambda: lines(station) >= 2)
    good(soak(station, state="stopped"))
    for attempt in (1, 2):
        kept = folder(station) / f"attempt-{attempt}"
        assert json.loads((kept / "ended.json").read_text())["code"] == "stopped"
        assert (kept / "samples.jsonl").stat().st_size > 1000
        assert (kept / "summary.txt").exists()
    assert good(info(station))["soak"]["attempt"] == 3
    assert sorted(path.name for path in folder(station).parent.iterdir()) == ["before", "candidate", "soak"]


def test_other_settings_are_a_warning_and_not_used(station: fleet.Node) -> None:
    good(soak(station, **LONG))
    again = good(soak(station, hours=0.2, qa_floor=0.5))
    assert not again["changed"]
    assert "hours, thresholds" in again["warnings"][0]
    assert again["soak"]["hours"] == LONG["hours"]


def test_it_can_be_killed_at_any_moment_of_its_start(station: fleet.Node) -> None:
    """Killed again and again at random: in the end one sampler runs, and the soak is whole."""
    chance = random.Random(7)  # noqa: S311
    params = {
        "root": str(station.root), "rollout": ROLLOUT, "api_url": station.url, "interval": 0.5, "hours": 0.1,
    }  # fmt: skip
    for number in range(14):
        wishes = {**params, "restart": number % 3 == 2}
        arguments = {"ANSIBLE_MODULE_ARGS": {**wishes, "_ansible_check_mode": False, "_ansible_diff": False}}
        with subprocess.Popen(
            [sys.executable, "-m", f"{MODULES}.soak", json.dumps(arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / "build/collections")},
            cwd="/",
        ) as child:
            try:
                child.wait(0.15 + chance.random() * 0.5)
            except subprocess.TimeoutExpired:
                child.kill()
        assert len(samplers(station)) <= 2  # one may be about to find that another has the lock
        good(info(station))
    done = good(soak(station, **LONG))
    if done["soak"]["state"] == "ended":
        # The last restart was killed between the end of the former soak and the beginning of its own.
        assert codes(good(info(station)))[0] == "interrupted"
        done = good(soak(station, **LONG, restart=True))
    assert done["soak"]["state"] == "running"
    until(lambda: len(samplers(station)) == 1)
    have = lines(station)
    until(lambda: lines(station) >= have + 2)
    good(soak(station, state="stopped"))
    found = good(info(station))
    assert codes(found)[0] == "interrupted"
    assert "damaged_samples" not in codes(found)
    assert found["soak"]["attempt"] == 1 + len(list(folder(station).glob("attempt-*")))


# --- what is in the way ---


@pytest.mark.parametrize("name", ["request.json", "ended.json", "samples.jsonl"])
def test_foreign_files_are_said_to_be_foreign(station: fleet.Node, name: str) -> None:
    good(soak(station))
    over(station)
    path = folder(station) / name
    path.unlink()
    path.symlink_to("/etc/passwd")
    told = info(station)
    assert told["failed"]
    assert str(path) in told["msg"]


def test_samples_that_were_edited_prove_nothing(station: fleet.Node) -> None:
    good(soak(station))
    over(station)
    path = folder(station) / "samples.jsonl"
    data = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*data, data[0]]))
    assert codes(good(info(station)))[0] == "damaged_samples"
    path.write_bytes(data[0][:-20] + b"\n" + b"".join(data[1:]))
    found = good(info(station))
    assert (found["verdict"]["result"], codes(found)[0]) == ("INCONCLUSIVE", "damaged_samples")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hours": -1}, "hours"),
        ({"hours": 0}, "could never pass"),
        ({"interval": 0}, "interval"),
        ({"max_samples": 2}, "could never pass"),
        ({"checks": {"X": {"mode": "never"}}}, "mode"),
        ({"rollout": "../../x"}, "rollout id"),
        ({"min_coverage": 2}, "min_coverage"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_done(
    station: fleet.Node, params: dict[str, Any], message: str
) -> None:
    for check in (True, False):
        told = soak(station, check=check, **params)
        assert told["failed"]
        assert told["error"]["code"] == "bad_input"
        assert message in told["msg"]
    assert not (station.root / "runtime/canary").exists()


def test_a_sampler_that_does_not_come_up_is_a_failure(station: fleet.Node, tmp_path: Path) -> None:
    good(soak(station, **LONG))
    kill(station)
    (folder(station) / "engine.zip").write_bytes(b"no engine")
    told = soak(station, **LONG)
    assert told["failed"]
    assert "sampler" in told["msg"]
    assert good(info(station))["verdict"]["result"] == "INCONCLUSIVE"
