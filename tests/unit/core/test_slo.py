# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a station counts as available, and what is said when the target is missed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    availability_store,
    control_http,
    errors,
    health,
    health_sources,
    slo,
    times,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.availability import (
    AvailabilitySample,
    Objective,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Alert, Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Finding, Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.simulator import clock, database, owner_card

from .conftest import ask

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class Station:
    """An API that answers as it is told to, from the newest sample of a database."""

    def __init__(self, node: Node, state: str = "RUNNING", broken: bool = False) -> None:
        self.node, self.state, self.broken = node, state, broken

    def status(self) -> Status:
        """Answer, unless it is broken."""
        if self.broken:
            raise control_http.ApiFault(
                "timeout", "nobody answered in time", "http://127.0.0.1:7070/v1/status"
            )
        return Status(self.state, 60, times.now())

    def alerts(self) -> list[Alert]:
        """Raise none."""
        return []

    def metrics(self) -> dict[str, float]:
        """Tell the newest sample."""
        connection = database.connect(self.node.state_db)
        try:
            return {name: float(value) for name, value in database.newest_samples(connection, 1)[0].items()}
        finally:
            connection.close()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node in order: fresh samples, a lease that holds, a card."""
    found = Node.at(tmp_path)
    database.create_database(found.state_db, 100_000, end_ns=time.time_ns())
    found.owner_card.parent.mkdir()
    found.owner_card.write_text(owner_card.SAMPLE)
    lease(found, 20)
    return found


def lease(node: Node, seconds: float) -> None:
    """Let the scheduler's lease end in so many seconds."""
    ends = clock.column(time.time_ns() + int(seconds * clock.SECOND_NS))
    ask(node.state_db, f"REPLACE INTO scheduler_locks VALUES ('scheduler-main', 'me', '{ends}', '{ends}')")


def take(node: Node, station: Station | None = None) -> AvailabilitySample:
    """Sample the node, and return what the store has of it."""
    outcome = slo.take(node, station or Station(node), slo.Request(timeout=1), False)
    (found,) = availability_store.History(node, times.now()).samples(NOW - timedelta(days=3650))
    assert outcome.facts["sample"] == found.result()
    return found


def test_a_node_in_order_is_available(node: Node) -> None:
    found = take(node)
    assert (found.available, found.reasons, found.state) == (True, (), "RUNNING")
    assert found.buffer is not None
    assert found.latency_ms is not None


def test_a_buffer_that_these_thresholds_call_critical_is_an_outage(node: Node) -> None:
    limits = Thresholds(buffer_target=2000, buffer_critical=1000)
    outcome = slo.take(node, Station(node), slo.Request(timeout=1), True, limits)
    assert outcome.facts["sample"]["reasons"] == ["BUFFER_CRITICAL"]
    assert not outcome.facts["sample"]["available"]


def test_emergency_mode_is_no_outage(node: Node) -> None:
    found = take(node, Station(node, "EMERGENCY"))
    assert (found.available, found.state) == (True, "EMERGENCY")


def test_an_api_that_does_not_answer_is(node: Node) -> None:
    found = take(node, Station(node, broken=True))
    assert (found.available, found.state, found.latency_ms) == (False, None, None)
    assert found.reasons == ("CONTROL_API_UNREACHABLE",)


def test_the_codes_of_a_pipeline_that_does_not_live_are_those_of_health(node: Node) -> None:
    lease(node, -5)
    assert take(node).reasons == ("SCHEDULER_LEASE_EXPIRED",)
    ask(node.state_db, "DELETE FROM scheduler_locks")
    ask(node.state_db, "UPDATE metric_samples SET ts = '2026-01-01T00:00:00.000000001+00:00'")
    outcome = slo.take(node, Station(node), slo.Request(timeout=1), True)
    assert set(outcome.facts["sample"]["reasons"]) == {"PIPELINE_STALE", "SCHEDULER_LEASE_MISSING"}
    known = Path(health_sources.__file__).read_text(encoding="utf-8")
    assert [code for code in slo.NOT_AVAILABLE if f'"{code}"' not in known] == []


@pytest.mark.parametrize("severity", health.SEVERITIES)
@pytest.mark.parametrize("code", ["ANYTHING", *slo.NOT_AVAILABLE])
def test_a_critical_finding_or_a_dead_pipeline_decides(severity: str, code: str) -> None:
    finding = Finding(severity, code, "because")
    decides = severity == "critical" or code in slo.NOT_AVAILABLE
    assert slo.decisive([finding]) == ([finding] if decides else [])


def test_check_mode_looks_and_makes_nothing(node: Node) -> None:
    outcome = slo.take(node, Station(node), slo.Request(timeout=1), True)
    assert outcome.changed
    assert outcome.facts["sample"]["available"]
    assert not availability_store.folder_of(node).exists()


def fill(node: Node, minutes: int, bad: int) -> None:
    """Let the last so many minutes be sampled, the newest of them badly."""
    for minute in range(minutes, 0, -1):
        at = NOW - timedelta(minutes=minute)
        reasons = ("X",) if minute <= bad else ()
        availability_store.append(node, AvailabilitySample(at, not reasons, 60, reasons))


def test_a_missed_target_is_told_with_all_there_is_to_know(tmp_path: Path) -> None:
    node = Node.at(tmp_path)
    fill(node, 120, 3)
    facts = slo.tell(node, Objective(), False, NOW).facts
    with pytest.raises(slo.BelowTarget) as caught:
        slo.tell(node, Objective(), True, NOW)
    assert "target of 99.5 %: 95 % over 1h, 97.5 % over 24h, 97.5 % over 7d, 97.5 % over 30d" in str(
        caught.value
    )
    assert (caught.value.result()["code"], caught.value.facts) == ("below_target", facts)
    assert facts["samples"]["reasons"] == {"X": 3}
    slo.tell(node, Objective(target=0.95), True, NOW)


def test_nothing_known_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(slo.BelowTarget, match="nothing is known of the node's availability"):
        slo.tell(Node.at(tmp_path), Objective(), True, NOW)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (1, "100 %"),
        (0.995, "99.5 %"),
        (0.29, "29 %"),
        (0.99499999, "99.499 %"),
        (0.999999, "99.999 %"),
        (0, "0 %"),
    ],
)
def test_a_share_is_cut_so_that_a_miss_does_not_look_like_a_hit(share: float, shown: str) -> None:
    assert slo.percent(share) == shown


def test_a_request_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"interval": 0.0}, {"interval": float("nan")}, {"keep_days": 0}):
        with pytest.raises(errors.BadInput, match=next(iter(wrong))):
            slo.Request(**wrong)  # type: ignore[arg-type]  # one of them at a time


@pytest.mark.one_python
def test_a_month_of_samples_each_minute_is_read_in_seconds(tmp_path: Path) -> None:
    node = Node.at(tmp_path)
    folder = availability_store.folder_of(node)
    folder.mkdir(parents=True)
    for day in range(34):
        midnight = NOW.replace(hour=0) - timedelta(days=day)
        lines = [
            availability_store.to_line(AvailabilitySample(midnight + timedelta(minutes=minute), True, 60))
            for minute in range(1440)
        ]
        (folder / f"{midnight:%Y-%m-%d}.jsonl").write_bytes(b"".join(lines))
    begun = time.monotonic()
    facts = slo.tell(node, Objective(), True, NOW).facts
    assert time.monotonic() - begun < 20  # 1 s on an idle machine
    assert facts["windows"][3]["measured_seconds"] == 30 * 86400
    assert facts["samples"]["future"] == 719
    assert facts["samples"]["count"] == 30 * 1440 + 1
