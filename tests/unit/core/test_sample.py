# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking a sample in the right order, and keeping it as one line."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import health, sample_record
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Alert, ApiFault, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput, Damaged
from ansible_collections.vvtv.runbook.plugins.module_utils._core.health_view import MADE_UP
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Sample, take_sample
from tests.simulator import alerts, database, gauges, owner_card

from .conftest import ask, sha256sum
from .sample_maker import domain, failed, failures, make, seen
from .test_health_sources import anything


class Station:
    """Answers as the station's API does, from the database at ``path``, which it makes if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.asked: list[str] = []

    def status(self) -> Status:
        self.asked.append("status")
        return Status("RUNNING", 60, datetime.now(timezone.utc))

    def alerts(self) -> list[Alert]:
        self.asked.append("alerts")
        return [Alert(**alert) for alert in alerts.read_alerts(self._path, 0)]

    def metrics(self) -> dict[str, float]:
        self.asked.append("metrics")
        return {name: float(value) for name, value in alerts.read_gauges(self._path).items()}


class Busy(Station):
    """A station whose pipeline writes a sample after each of our looks at the database."""

    def metrics(self) -> dict[str, float]:
        _insert(self._path, 7)
        told = super().metrics()
        _insert(self._path, 8)
        return told


class Silent(Station):
    """An API that is not there."""

    def _refuse(self) -> Any:
        raise ApiFault("refused", "nobody listens there", "http://127.0.0.1:7070/v1/status")

    status = alerts = metrics = _refuse


def _insert(path: Path, minutes: int) -> None:
    sample = {**gauges.MADE_UP, "buffer_minutes": minutes}
    with closing(database.connect(path)) as connection:
        now = int(datetime.now(timezone.utc).timestamp() * 1e9)
        database.insert_sample(connection, now, sample)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node whose station is stopped."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/owner_card.sample.yaml").write_text(owner_card.SAMPLE)
    now = int(datetime.now(timezone.utc).timestamp() * 1e9)
    database.create_database(tmp_path / "runtime/state/vvtv.db", 200_000, "delete", 1, end_ns=now)
    return Node.at(tmp_path)


def test_a_stopped_node_is_seen_as_it_is_and_stays_so(node: Node) -> None:
    before = sha256sum(node.state_db)
    taken = take_sample(node, Station(node.state_db), 1, "full")
    assert sha256sum(node.state_db) == before
    assert all(getattr(taken, look).ok for look in ("card", "state", "status", "metrics", "alerts", "later"))
    assert taken.card.value is not None
    assert taken.card.value.sha256 == sha256sum(node.owner_card)
    assert taken.card.value.commit_interval_minutes == 30
    assert taken.state.value is not None
    assert taken.state.value.samples.value is not None
    assert taken.state.value.samples.value.newest[0].gauges == taken.metrics.value
    assert taken.at <= taken.state.at <= taken.status.at <= taken.metrics.at <= taken.later.at <= taken.until
    # All that is wrong with it is that no scheduler runs.
    assert [finding.code for finding in health.judge(taken).findings] == ["SCHEDULER_LEASE_MISSING"]


@pytest.mark.parametrize("content", [None, b""])
def test_where_there_is_no_database_the_api_is_not_made_to_make_one(
    node: Node, content: bytes | None
) -> None:
    node.state_db.unlink()
    if content is not None:
        node.state_db.write_bytes(content)
    api = Station(node.state_db)
    taken = take_sample(node, api, 1)
    assert api.asked == ["status"]
    assert (node.state_db.stat().st_size if node.state_db.exists() else None) == (
        None if content is None else 0
    )
    assert taken.metrics.error is not None
    assert taken.metrics.error.reason == "not_asked"
    code = "STATE_DB_MISSING" if content is None else "STATE_DB_EMPTY"
    assert [finding.code for finding in health.judge(taken).findings] == [code]


def test_a_damaged_database_is_seen_before_the_api_makes_its_answer_up(node: Node) -> None:
    node.state_db.write_bytes(b"damage" * 1000)
    api = Station(node.state_db)
    taken = take_sample(node, api, 1)
    assert api.asked == ["status", "alerts", "metrics"]
    assert taken.metrics.value == MADE_UP
    assert taken.alerts.value == ()
    codes = [finding.code for finding in health.judge(taken).findings]
    assert codes == ["METRICS_MADE_UP", "STATE_DB_CORRUPT"]


def test_a_sample_that_the_pipeline_writes_meanwhile_is_no_disagreement(node: Node) -> None:
    taken = take_sample(node, Busy(node.state_db), 1)
    assert taken.metrics.value is not None
    assert taken.metrics.value["buffer_minutes"] == 7
    assert taken.later.value is not None
    assert [one.gauges["buffer_minutes"] for one in taken.later.value.newest[:2]] == [8, 7]
    codes = {finding.code for finding in health.judge(taken).findings}
    assert "SOURCES_DISAGREE" not in codes
    assert "BUFFER_CRITICAL" in codes


def test_failing_domains_are_told_with_the_entry_that_covers_them(node: Node) -> None:
    names = ["cdn.films.example.net", "films.example.net", "elsewhere.example", None]
    for number, name in enumerate(names):
        code = "DISCOVERY_FAILED_DOMAIN" + (f":{name}" if name else "")
        ask(
            node.state_db,
            f"INSERT INTO audit_events VALUES ('x{number}', strftime('%Y-%m-%dT%H:%M:%fZ'),"
            f' \'{{"reason_code":"{code}"}}\')',
        )
    taken = take_sample(node, Station(node.state_db), 1)
    assert taken.state.value is not None
    assert taken.state.value.failures.value is not None
    entries = {one.domain: one.entry for one in taken.state.value.failures.value.domains}
    assert entries == dict(zip(names, ["films.example.net", "films.example.net", None, None]))


def test_a_bad_card_and_a_dead_api_are_errors_of_their_own(node: Node) -> None:
    node.owner_card.write_text("schema_version: 1\n")
    taken = take_sample(node, Silent(node.state_db), 1)
    assert taken.card.error is not None
    assert taken.card.error.reason == "damaged"
    assert {getattr(taken, look).error.reason for look in ("status", "alerts", "metrics")} == {"refused"}
    assert taken.state.ok
    codes = {finding.code for finding in health.judge(taken).findings}
    assert codes == {"CONTROL_API_UNREACHABLE", "OWNER_CARD_INVALID", "SCHEDULER_LEASE_MISSING"}


def test_a_wish_that_makes_no_sense_is_no_failed_look(node: Node) -> None:
    with pytest.raises(BadInput, match="integrity"):
        take_sample(node, Station(node.state_db), 1, "deep")


def test_more_alerts_than_can_be_kept_leave_the_worst(node: Node) -> None:
    class Alarmed(Station):
        def alerts(self) -> list[Alert]:
            many = [Alert("A", "medium", "a\nb" * 400) for _number in range(500)]
            return [*many, Alert("B", "critical", "")]

    kept = take_sample(node, Alarmed(node.state_db), 1).alerts.value
    assert kept is not None
    assert len(kept) == 100
    assert kept[0].code == "B"
    assert all(len(alert.message) <= 300 and alert.message.isprintable() for alert in kept)


# --- one line ---


def test_a_sample_is_one_line_that_is_judged_as_the_sample_was(node: Node) -> None:
    for api in (Station(node.state_db), Silent(node.state_db)):
        taken = take_sample(node, api, 1, "quick")
        line = taken.to_json()
        assert "\n" not in line
        assert len(line) < 5000
        assert Sample.from_json(line) == taken
        assert health.judge(Sample.from_json(line)) == health.judge(taken)
        node.state_db.write_bytes(b"")


@given(anything(), st.sampled_from(["none", "state", "metrics", "later", "card"]))
def test_any_sample_comes_back_from_its_line(sample: Sample, broken: str) -> None:
    if broken != "none":
        sample = replace(sample, **{broken: failed("timeout", "took too long", 500)})
    line = sample.to_json()
    assert Sample.from_json(line) == sample
    assert "\n" not in line


def test_the_largest_sample_fits_its_bound(node: Node) -> None:
    most = make(
        *([dict(MADE_UP)] * 100),
        alerts=[Alert("A" * 100, "high", "ä" * 300)] * 100,
        failures=failures(*[domain("d" * 253, 9, "d" * 253)] * 100),
        metrics=seen(dict.fromkeys(MADE_UP, 1e300 / 3)),
    )
    line = most.to_json()
    assert len(line) < sample_record.MAX_LINE
    assert Sample.from_json(line) == most


LINE = make(failures=failures(domain("a", 3, "a"))).to_json()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        "{" * 100_000,
        LINE[:-1],
        LINE.replace('"v":1', '"v":2'),
        LINE.replace('"RUNNING"', '"FINE"'),
        LINE.replace("0.95", "NaN"),
        LINE.replace("0.95", "true"),
        LINE.replace("0.95", "1" + "0" * 400),
        LINE.replace('"value":', '"valve":'),
        LINE.replace("2026", "yesterday"),
        LINE + " " * sample_record.MAX_LINE,
    ],
)
def test_anything_else_is_no_sample(line: str) -> None:
    with pytest.raises(Damaged, match="sample"):
        Sample.from_json(line)


@given(st.data())
def test_a_line_that_was_changed_anywhere_is_a_sample_or_damage(data: st.DataObject) -> None:
    document = json.loads(LINE)
    place: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
    )
    try:
        found = Sample.from_json(json.dumps(document))
    except Damaged:
        return
    health.judge(found)
