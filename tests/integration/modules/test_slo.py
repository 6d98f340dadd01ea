# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules slo_sample and slo_info, beside curl, sqlite3 and a reading of the store by hand."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import good, module, sqlite3, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.test_ownership import SERVICE_USER, foreign, hand_over
from tests.simulator import auth, fleet

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

EMERGENCY = "/v1/control/emergency-mode"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[fleet.Node]:
    """A healthy node whose scheduler lets its lease run out soon after it stops."""
    with fleet.start_node(tmp_path / "node", size="300K", lease_seconds=2, renew_seconds=0.3) as running:
        yield running


def sample(node: fleet.Node, **params: Any) -> dict[str, Any]:
    """Run slo_sample, which has to succeed."""
    return good(module("slo_sample", **{"root": node.root, "api_url": node.url, "api_timeout": 1, **params}))


def store(root: Path) -> list[dict[str, Any]]:
    """Read every line of the store by hand."""
    files = sorted((root / "runtime/slo").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def curl(node: fleet.Node, path: str, *options: str) -> dict[str, Any]:
    """Ask curl."""
    command = ["curl", "-sS", "--fail", "-m", "5", *options, node.url + path]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


def test_a_sample_in_four_steps(node: fleet.Node) -> None:
    node.faults(pipeline="quiet")
    before = tree(node.root)
    seen = sample(node, check=True)
    assert (seen["changed"], seen["sample"]["available"]) == (True, True)
    assert seen["actions"] == [
        f"append a sample to {node.root}/runtime/slo/{seen['sample']['ts'][:10]}.jsonl"
    ]
    assert json.loads(seen["diff"][0]["after"]) == seen["sample"]
    assert {name for name in tree(node.root) if name not in before} == set()

    first = sample(node)
    assert first["changed"]
    assert store(node.root) == [first["sample"]]
    second = sample(node)
    assert second["changed"]  # each run is a sample of its own
    assert store(node.root) == [first["sample"], second["sample"]]
    assert sample(node, check=True)["changed"]
    assert store(node.root) == [first["sample"], second["sample"]]

    newest = sqlite3(
        node.state_db,
        "SELECT json_extract(payload_json, '$.buffer_minutes') FROM metric_samples ORDER BY ts DESC LIMIT 1",
    )
    assert first["sample"]["buffer"] == float(newest)
    assert first["sample"]["state"] == curl(node, "/v1/status")["state"] == "RUNNING"
    assert (first["sample"]["interval"], first["sample"]["reasons"]) == (60, [])
    assert 0 < first["sample"]["latency_ms"] < 5000
    assert first["health"]["state"] == "RUNNING"


def test_a_station_in_emergency_mode_is_available(node: fleet.Node) -> None:
    headers = auth.signed_headers(node.credentials, "POST", EMERGENCY, int(time.time()))
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    assert curl(node, EMERGENCY, "-X", "POST", *options)["emergency_mode"]
    found = sample(node)["sample"]
    assert (found["available"], found["state"]) == (True, "EMERGENCY")


def test_the_thresholds_of_health_decide_here_too(node: fleet.Node) -> None:
    seen = sample(node, buffer_target=2000, buffer_critical=1000)
    assert seen["sample"]["reasons"] == ["BUFFER_CRITICAL"]
    assert sample(node)["sample"]["available"]


def test_a_station_with_poor_quality_is_available(node: fleet.Node) -> None:
    node.faults(qa=0.1)
    found = sample(node)
    assert found["sample"]["available"]
    assert not found["health"]["healthy"]


def without_a_database(node: fleet.Node) -> None:
    """The file goes, under a pipeline that does not make it again."""
    node.faults(pipeline="frozen")
    node.state_db.unlink()


def with_a_damaged_database(node: fleet.Node) -> None:
    """The file holds something else."""
    node.faults(pipeline="frozen")
    node.state_db.write_bytes(os.urandom(50_000))


def frozen(node: fleet.Node) -> None:
    """The API answers and the gauges are good, but nobody renews the lease."""
    node.faults(pipeline="frozen")
    time.sleep(2.5)


SICK: dict[str, tuple[Callable[[fleet.Node], None], str]] = {
    "down": (lambda node: node.kill(), "CONTROL_API_UNREACHABLE"),
    "hanging": (lambda node: node.faults(hang=30), "CONTROL_API_UNREACHABLE"),
    "hanging in part": (lambda node: node.faults(hang="30@/metrics"), "CONTROL_API_UNREACHABLE"),
    "an error": (lambda node: node.faults(http_500="/v1/status"), "CONTROL_API_BAD_ANSWER"),
    "no JSON": (lambda node: node.faults(malformed="/v1/alerts"), "CONTROL_API_BAD_ANSWER"),
    "frozen": (frozen, "SCHEDULER_LEASE_EXPIRED"),
    "an empty buffer": (lambda node: node.faults(buffer=0), "BUFFER_CRITICAL"),
    "a critical buffer": (lambda node: node.faults(buffer=19), "BUFFER_CRITICAL"),
    "no database": (without_a_database, "STATE_DB_MISSING"),
    "a damaged database": (with_a_damaged_database, "STATE_DB_CORRUPT"),
}


@pytest.mark.parametrize("how", SICK)
def test_a_sick_station_is_a_successful_sample_that_says_unavailable(node: fleet.Node, how: str) -> None:
    make_sick, reason = SICK[how]
    make_sick(node)
    found = sample(node, lock_timeout=2)
    assert found["changed"]
    assert not found["sample"]["available"]
    assert reason in found["sample"]["reasons"]
    assert store(node.root) == [found["sample"]]
    assert not found["health"]["healthy"]


def test_a_pipeline_that_writes_no_samples_is_not_available(node: fleet.Node) -> None:
    node.faults(pipeline="quiet")
    sqlite3(node.state_db, "UPDATE metric_samples SET ts = '2026-01-01T00:00:00.123456789+00:00'")
    assert "PIPELINE_STALE" in sample(node)["sample"]["reasons"]
    sqlite3(node.state_db, "DELETE FROM metric_samples")
    assert "NO_SAMPLES" in sample(node)["sample"]["reasons"]


@pytest.mark.thorough
def test_an_outage_shows_in_the_slo(node: fleet.Node) -> None:
    every = {"interval": 1, "api_timeout": 0.5, "lock_timeout": 1}
    begun = sample(node, **every)["sample"]["ts"]
    sample(node, **every)
    node.kill()
    out = [sample(node, **every)["sample"] for _turn in range(4)]
    assert {one["available"] for one in out} == {False}
    (hour, *longer) = good(module("slo_info", root=node.root))["windows"]
    lines = store(node.root)
    instants = [datetime.fromisoformat(line["ts"].replace("Z", "+00:00")) for line in lines]
    first_bad = next(at for at, line in zip(instants, lines) if not line["available"])
    assert hour["measured_since"] == begun
    least = min((instants[-1] - first_bad).total_seconds(), 2.5 * 3)
    assert hour["unavailable_seconds"] + hour["gap_seconds"] >= least - 0.01
    assert hour["available_seconds"] == pytest.approx((first_bad - instants[0]).total_seconds(), abs=0.01)
    assert (hour["status"], hour["availability"] < 0.9) == ("missed", True)
    assert {window["status"] for window in longer} == {"missed"}


# --- computing ---


def write_history(root: Path, end: datetime, *states: tuple[float, bool | None]) -> None:
    """Write samples each minute by hand: for so many minutes good, bad, or none at all, up to ``end``."""
    folder = root / "runtime/slo"
    folder.mkdir(parents=True, exist_ok=True)
    at = end - timedelta(minutes=sum(minutes for minutes, _state in states))
    lines: dict[str, list[str]] = {}
    for minutes, state in states:
        for _minute in range(int(minutes)):
            if state is not None:
                reasons = [] if state else ["CONTROL_API_UNREACHABLE"]
                line = {"ts": text(at), "available": state, "interval": 60, "reasons": reasons}
                lines.setdefault(text(at)[:10], []).append(json.dumps(line) + "\n")
            at += timedelta(minutes=1)
    for day, found in lines.items():
        (folder / f"{day}.jsonl").write_text("".join(found))


def text(at: datetime) -> str:
    """Return an instant as the store has it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(timezone.utc)


def test_a_history_written_by_hand_comes_to_what_a_hand_computes(tmp_path: Path) -> None:
    end = now()
    write_history(tmp_path, end, (3 * 1440, True), (10, False), (600, True), (20, None), (200, True))
    found = good(module("slo_info", root=tmp_path))
    hour, day, week, month = found["windows"]
    close = {"abs": 30}  # the module's now is later than ours
    assert (hour["status"], hour["availability"]) == ("met", 1.0)
    assert day["unavailable_seconds"] == pytest.approx(600, **close)
    # The last sample before the gap speaks for 2.5 minutes instead of 1.
    assert day["gap_seconds"] == pytest.approx(20 * 60 - 90, **close)
    assert day["availability"] == pytest.approx(1 - 1710 / 86400, abs=0.001)
    assert day["budget_seconds"] == pytest.approx(432, abs=1)
    assert day["budget_left_seconds"] == pytest.approx(432 - 1710, **close)
    assert day["burn_rate"] == pytest.approx(1710 / 432, abs=0.1)
    measured = (3 * 1440 + 830) * 60
    for window in (week, month):
        assert window["measured_seconds"] == pytest.approx(measured, **close)
        assert window["unmeasured_seconds"] == pytest.approx(window["seconds"] - measured, **close)
        assert window["measured_since"] == text(end - timedelta(minutes=3 * 1440 + 830))
        assert window["status"] == "missed"
    assert found["samples"]["count"] == len(store(tmp_path))
    assert found["samples"]["reasons"] == {"CONTROL_API_UNREACHABLE": 10}
    assert found["samples"]["last"]["ts"] == store(tmp_path)[-1]["ts"]
    assert found["objective"]["gaps_count_as"] == "not available"


def test_maintenance_takes_an_outage_and_a_gap_out(tmp_path: Path) -> None:
    end = now()
    write_history(tmp_path, end, (100, True), (20, False), (20, None), (30, True))
    down = {"start": text(end - timedelta(minutes=70)), "end": text(end - timedelta(minutes=30))}
    missed = module("slo_info", root=tmp_path, fail_below=True)
    assert missed["failed"]
    found = good(
        module("slo_info", root=tmp_path, fail_below=True, maintenance=[{**down, "reason": "disks"}])
    )
    assert {window["availability"] for window in found["windows"]} == {1.0}
    assert found["windows"][1]["maintenance_seconds"] == 2400
    assert found["objective"]["maintenance"][0]["reason"] == "disks"


def test_it_fails_below_the_target_only_when_asked_to(tmp_path: Path) -> None:
    write_history(tmp_path, now(), (170, True), (3, False), (10, True))
    assert [one["status"] for one in good(module("slo_info", root=tmp_path))["windows"]] == ["missed"] * 4
    good(module("slo_info", root=tmp_path, fail_below=True, target=0.9))
    failed = module("slo_info", root=tmp_path, fail_below=True)
    assert failed["failed"]
    assert failed["error"]["code"] == "below_target"
    assert "availability is below its target of 99.5 %: 9" in failed["msg"]
    assert [one["status"] for one in failed["windows"]] == ["missed"] * 4
    assert failed["samples"]["reasons"] == {"CONTROL_API_UNREACHABLE": 3}


def test_without_samples_there_is_no_data(tmp_path: Path) -> None:
    found = good(module("slo_info", root=tmp_path))
    for window in found["windows"]:
        assert (window["status"], window["availability"], window["measured_since"]) == ("no_data", None, None)
    failed = module("slo_info", root=tmp_path, fail_below=True)
    assert "nothing is known of the node's availability" in failed["msg"]
    assert failed["error"]["code"] == "below_target"
    assert list(tmp_path.iterdir()) == []


def test_a_sampler_that_died_hours_ago_is_no_good_news(tmp_path: Path) -> None:
    write_history(tmp_path, now() - timedelta(hours=3), (600, True))
    hour, day, *_rest = good(module("slo_info", root=tmp_path))["windows"]
    assert (hour["availability"], hour["status"]) == (0.0, "missed")
    assert hour["gap_seconds"] == 3600
    assert day["gap_seconds"] == pytest.approx(3 * 3600 - 90, abs=30)


def test_computing_changes_nothing_in_any_of_four_runs(tmp_path: Path) -> None:
    write_history(tmp_path, now(), (10, True))
    with next((tmp_path / "runtime/slo").glob("*.jsonl")).open("a") as file:
        file.write('no sample\n{"ts":"20')
    before = tree(tmp_path)
    for check in (True, False, False, True):
        found = good(module("slo_info", root=tmp_path, check=check))
        assert (found["changed"], found["actions"], found["samples"]["malformed"]) == (False, [], 1)
        assert "1 lines are no samples" in found["warnings"][0]
    assert tree(tmp_path) == before


# --- the store ---


def test_ten_samplers_at_once_lose_no_sample(node: fleet.Node) -> None:
    with ThreadPoolExecutor(10) as together:
        results = list(together.map(lambda _number: sample(node, lock_timeout=30), range(10)))
    written = sorted(line["ts"] for line in store(node.root))
    assert written == sorted(result["sample"]["ts"] for result in results)
    assert len(written) == 10


def test_who_cannot_store_a_sample_fails(node: fleet.Node) -> None:
    sample(node)
    with (node.root / "runtime/slo/.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = module("slo_sample", root=node.root, api_url=node.url, lock_timeout=0.2)
    assert result["error"]["code"] == "busy"
    assert len(store(node.root)) == 1


def test_old_days_go_and_check_mode_only_says_so(node: fleet.Node) -> None:
    folder = node.root / "runtime/slo"
    folder.mkdir()
    old, recent = (folder / f"{now() - timedelta(days=days):%Y-%m-%d}.jsonl" for days in (50, 1))
    for path in (old, recent):
        path.touch()
    told = f"remove the samples of {old.stem}, older than 40 days"
    assert sample(node, check=True)["actions"][1] == told
    assert old.exists()
    assert sample(node)["actions"][1] == told
    assert (old.exists(), recent.exists()) == (False, True)


def test_the_store_belongs_to_the_owner_of_the_root_and_is_private(node: fleet.Node) -> None:
    node.stop()
    hand_over(node.root)
    sample(node)
    assert foreign(node.root / "runtime/slo") == []
    folder = node.root / "runtime/slo"
    assert folder.stat().st_uid == SERVICE_USER
    modes = subprocess.run(["stat", "-c", "%a", folder, *folder.iterdir()], capture_output=True, check=True)
    assert modes.stdout.split() == [b"700", b"600", b"600"]


def test_ansible_runs_both_on_the_oldest_python_of_a_node(node: fleet.Node) -> None:
    taken = good(on_a_node("slo_sample", root=node.root, api_url=node.url, interval=5))
    assert store(node.root) == [taken["sample"]]
    down = {"start": "2026-01-01T00:00:00.123456789Z", "end": "2026-01-01T01:00:00+00:00"}
    found = good(on_a_node("slo_info", root=node.root, maintenance=[down]))
    assert [window["status"] for window in found["windows"]] == ["met"] * 4
    assert found["samples"]["last"] == taken["sample"]


@pytest.mark.parametrize(
    ("called", "params", "word"),
    [
        ("slo_sample", {"interval": 0.5}, "interval must be from 1 to 86400"),
        ("slo_sample", {"keep_days": 0}, "keep_days must be from 1"),
        ("slo_sample", {"api_url": "ftp://127.0.0.1"}, "ftp"),
        ("slo_info", {"target": 1}, "target must be above 0 and below 1"),
        ("slo_info", {"max_gap": 0.5}, "max_gap must be from 1"),
        (
            "slo_info",
            {"maintenance": [{"start": "a", "end": "b"}]},
            "maintenance window 1: 'a' is no RFC 3339",
        ),
        ("slo_info", {"maintenance": [{"start": "2026-01-01T00:00:00Z"}]}, "missing required arguments: end"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_made(
    tmp_path: Path, called: str, params: dict[str, Any], word: str
) -> None:
    result = module(called, root=tmp_path, **params)
    assert result["failed"]
    assert word in result["msg"]
    assert list(tmp_path.iterdir()) == []
