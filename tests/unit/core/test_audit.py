# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit trail: what is listed, what is counted, and that hostile rows are told and not hidden."""

from __future__ import annotations

import json
import resource
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import audit, audit_event, errors, times
from tests.simulator import clock, content, database

from .conftest import another, ask

NOW, DAY = datetime(2026, 11, 24, 12, tzinfo=timezone.utc), timedelta(days=1)
ALL = audit.Query(since=datetime(1, 1, 2, tzinfo=timezone.utc), failures_only=False, limit=audit.MAX_LIMIT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty state database."""
    found = tmp_path / "vvtv.db"
    database.create_database(found, 0)
    return found


def insert(path: Path, *rows: tuple[object, object, object]) -> None:
    """Put rows into the table as they are."""
    with closing(database.connect(path)) as connection:
        connection.executemany("INSERT INTO audit_events VALUES (?, ?, ?)", rows)


def event(number: int, ts: str, code: str = "QA_REJECTED", **fields: object) -> tuple[str, str, str]:
    """A row with a good payload."""
    payload = {
        "event_id": f"e{number}",
        "ts": ts,
        "actor": "system",
        "module": "qa",
        "action": "inspect",
        "reason_code": code,
        **fields,
    }
    return f"e{number}", ts, json.dumps(payload)


def find(path: Path, **changes: Any) -> audit.Found:
    """Ask for everything but what ``changes`` leave out."""
    return audit.find(path, replace(ALL, **changes), 1)


def ids(found: audit.Found) -> list[str | None]:
    """The listed events."""
    return [one.event_id for one in found.events]


def test_newest_come_first_to_the_nanosecond_and_across_offsets(path: Path) -> None:
    insert(
        path,
        event(1, "2026-11-24T10:00:00.000000001Z"),
        event(2, "2026-11-24T10:00:00.000000003+00:00"),
        event(3, "2026-11-24T15:30:00.000000002+05:30"),
        event(4, "2026-11-24t05:00:00.0000000-05:00"),
        event(5, "2026-11-23 23:00:01-11:00"),
    )
    assert ids(find(path)) == ["e5", "e2", "e3", "e1", "e4"]


def test_the_window_is_judged_on_instants_and_not_on_texts(path: Path) -> None:
    insert(
        path,
        event(1, "2026-11-25T01:59:59.9+14:00"),  # before noon of the 24th, by its text after it
        event(2, "2026-11-23T22:00:00.000000001-14:00"),  # after it
        event(3, "2026-11-24T12:00:00Z"),
    )
    assert ids(find(path, since=NOW)) == ["e2", "e3"]
    assert ids(find(path, until=NOW)) == ["e1"]
    assert ids(find(path, since=NOW, until=NOW + timedelta(microseconds=1))) == ["e2", "e3"]


def test_an_event_of_a_clock_that_was_ahead_is_not_hidden(path: Path) -> None:
    insert(path, event(1, "2999-01-01T00:00:00Z"))
    assert ids(find(path, since=NOW)) == ["e1"]


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("DISCOVERY_FAILED_DOMAIN:example.com", True),
        ("DISCOVERY_FAILED_DOMAIN", True),
        ("qa_rejected", True),
        ("FETCH_TIMEOUT", True),
        ("PLAN_DROPPED", True),
        ("QA_PASSED", False),
        ("PLAN_COMMITTED", False),
        ("DISCOVERY_OK:errors.failed.example.com", False),
        ("", False),
    ],
)
def test_failures_are_told_by_the_code_and_not_by_the_domain(path: Path, code: str, failed: bool) -> None:
    insert(path, event(1, "2026-11-24T10:00:00Z", code))
    assert find(path, failures_only=True).total == int(failed)


@pytest.mark.parametrize(
    ("step", "failed"), [(step[2], False) for step in content.STEPS] + [(content.FAILED_DOMAIN, True)]
)
def test_the_stations_own_codes_are_judged_right(path: Path, step: str, failed: bool) -> None:
    insert(path, event(1, "2026-11-24T10:00:00Z", step))
    assert find(path, failures_only=True).total == int(failed)


def test_every_filter_that_is_given_must_be_met(path: Path) -> None:
    insert(
        path,
        event(1, "2026-11-24T10:00:01Z", "X_FAILED:A.example.com.", module="discovery", actor="system"),
        event(2, "2026-11-24T10:00:02Z", "X_FAILED:b.example.com", module="discovery", actor="curator"),
        event(3, "2026-11-24T10:00:03Z", "Y_OK", module="planner", actor="curator"),
    )
    assert ids(find(path, modules=("DISC*",))) == ["e2", "e1"]
    assert ids(find(path, actors=("curator",), modules=("discovery",))) == ["e2"]
    assert ids(find(path, domains=("a.example.com",))) == ["e1"]
    assert ids(find(path, domains=("*",))) == ["e2", "e1"]
    assert ids(find(path, reason_codes=("y_ok", "X_FAILED:b.*"))) == ["e3", "e2"]
    assert ids(find(path, reason_codes=("x_failed",))) == ["e2", "e1"]
    assert ids(find(path, failures_only=True, failure_patterns=("Y*",))) == ["e3"]
    assert ids(find(path, reason_codes=("X",))) == []


def test_counts_go_beyond_the_limit(path: Path) -> None:
    insert(path, *(event(n, f"2026-11-24T10:00:{n:02}Z", f"F_FAILED:d{n % 2}.org") for n in range(60)))
    outcome = audit.tell(path, replace(ALL, limit=2), 1)
    assert [one["event_id"] for one in outcome.facts["events"]] == ["e59", "e58"]
    assert outcome.facts["total"] == 60
    assert outcome.facts["truncated"]
    assert outcome.facts["counts"] == {
        "reason_code": {"F_FAILED": 60},
        "domain": {"d0.org": 30, "d1.org": 30},
        "module": {"qa": 60},
    }
    assert not outcome.changed
    nothing = audit.tell(path, replace(ALL, limit=0), 1).facts
    assert (nothing["events"], nothing["total"], nothing["truncated"]) == ([], 60, True)


def test_names_beyond_the_bound_are_counted_together(path: Path) -> None:
    insert(path, *(event(n, "2026-11-24T10:00:00Z", f"CODE{n:04}") for n in range(300)))
    counts = audit.tell(path, ALL, 1).facts["counts"]["reason_code"]
    assert len(counts) == 201
    assert counts[audit.OTHERS] == 100
    assert sum(counts.values()) == 300


SPOILT: dict[str, tuple[object, object]] = {
    "no JSON": ("2026-11-24T10:00:00Z", "{"),
    "empty": ("2026-11-24T10:00:00Z", ""),
    "a list": ("2026-11-24T10:00:00Z", "[]"),
    "nested": ("2026-11-24T10:00:00Z", "[" * 50_000),
    "no reason code": ("2026-11-24T10:00:00Z", '{"actor":"a","module":"m","action":"x"}'),
    "a number": ("2026-11-24T10:00:00Z", '{"actor":1,"module":"m","action":"x","reason_code":"C"}'),
    "a score": (
        "2026-11-24T10:00:00Z",
        '{"actor":"a","module":"m","action":"x","reason_code":"C","decision_score":"high"}',
    ),
    "NaN": (
        "2026-11-24T10:00:00Z",
        '{"actor":"a","module":"m","action":"x","reason_code":"C","decision_score":NaN}',
    ),
    "infinite": (
        "2026-11-24T10:00:00Z",
        '{"actor":"a","module":"m","action":"x","reason_code":"C","decision_score":1e999}',
    ),
    "too long": ("2026-11-24T10:00:00Z", '{"before":"' + "x" * 70_000 + '"}'),
    "bytes": ("2026-11-24T10:00:00Z", b"{}"),
    "no instant": ("garbage", event(0, "")[2]),
    "an empty instant": ("", event(0, "")[2]),
    "a number as an instant": (5, event(0, "")[2]),
    "a day": ("2020-01-01", event(0, "")[2]),
    "an impossible instant": ("2020-13-01T00:00:00Z", event(0, "")[2]),
    "a long instant": ("2026-11-24T10:00:00Z" * 1000, event(0, "")[2]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_event_is_counted_and_told(path: Path, name: str) -> None:
    insert(path, ("bad\x1b[2J", *SPOILT[name]), event(1, "2026-11-24T10:00:00Z"))
    outcome = audit.tell(path, replace(ALL, failures_only=True, modules=("qa",)), 1)
    assert [one["event_id"] for one in outcome.facts["events"]] == ["e1"]
    assert outcome.facts["malformed"] == len(outcome.facts["malformed_examples"]) == 1
    assert "1 audit events cannot be read" in outcome.warnings[0]
    assert len(outcome.warnings[0]) < 500


def test_a_spoilt_instant_is_counted_in_every_window_and_a_spoilt_payload_in_its_own(path: Path) -> None:
    insert(path, ("a", "garbage", "{}"), ("b", "", "{}"), ("c", "2026-11-24T10:00:00Z", "{"))
    assert find(path, since=NOW - DAY, until=NOW).malformed == 3
    assert find(path, since=NOW + 9 * DAY).malformed == 2
    assert find(path, since=NOW - 99 * DAY, until=NOW - 90 * DAY).malformed == 2


def test_text_that_is_no_utf8_is_no_error(path: Path) -> None:
    ask(path, "INSERT INTO audit_events VALUES (CAST(x'ff61' AS TEXT), '2026-11-24T10:00:00Z', '{}')")
    ask(path, "INSERT INTO audit_events VALUES ('t', CAST(x'ff' AS TEXT), '{}')")
    payload = "CAST(x'7b22ff227d' AS TEXT)"
    ask(path, f"INSERT INTO audit_events VALUES ('p', '2026-11-24T10:00:00Z', {payload})")
    ask(path, "INSERT INTO audit_events VALUES (NULL, '2026-11-24T10:00:00Z', 'x')")
    found = find(path)
    assert found.malformed == 4
    assert json.dumps(found.examples)
    assert "an event without id: payload_json is no JSON" in found.examples[3]


def test_details_are_given_on_request_and_cut(path: Path) -> None:
    insert(
        path,
        event(1, "2026-11-24T10:00:00Z", before={"a": ["é", 1]}, after="x" * 5000, decision_score=1),
        event(2, "2026-11-24T10:00:01Z", before="\ud800", after=None),
    )
    assert "before" not in audit.tell(path, ALL, 1).facts["events"][0]
    second, first = audit.tell(path, replace(ALL, details=True), 1).facts["events"]
    assert first["before"] == '{"a":["é",1]}'
    assert len(first["after"]) == 2000
    assert first["after"].endswith("…")
    assert first["decision_score"] == 1.0
    assert second["before"] == "?"
    assert second["after"] is None


def test_without_a_database_there_is_an_error_and_no_database(tmp_path: Path) -> None:
    missing = tmp_path / "vvtv.db"
    with pytest.raises(errors.NotFound):
        find(missing)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_state_database_is_refused(tmp_path: Path, path: Path) -> None:
    for name, data in (("empty.db", b""), ("text.db", b"no database" * 500)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(errors.Damaged):
            find(tmp_path / name)
    ask(path, "DROP TABLE audit_events")
    with pytest.raises(errors.Damaged, match="has no table audit_events"):
        find(path)


def test_a_locked_database_is_busy_after_the_time_to_wait(path: Path) -> None:
    with another(path, "BEGIN EXCLUSIVE") as said:
        assert said == "done"
        begun = time.monotonic()
        with pytest.raises(errors.Busy):
            audit.find(path, ALL, 0.3)
        assert 0.2 < time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"limit": -1}, "limit must be"),
        ({"limit": 10_001}, "limit must be"),
        ({"until": ALL.since}, "until must be later"),
        ({"failures_only": True, "failure_patterns": ()}, "failure_patterns"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(errors.BadInput, match=word):
        replace(ALL, **wrong)


@pytest.mark.parametrize("patterns", [("",), ("x" * 257,), ("x",) * 101])
def test_patterns_are_bounded(path: Path, patterns: tuple[str, ...]) -> None:
    with pytest.raises(errors.BadInput, match="modules"):
        find(path, modules=patterns)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_window_is_a_number_of_hours(hours: float) -> None:
    with pytest.raises(errors.BadInput, match="window_hours"):
        audit.window(None, None, hours, NOW)


def test_the_window_counts_back_from_its_end() -> None:
    assert audit.window(None, None, 24, NOW) == (NOW - DAY, None)
    assert audit.window(None, NOW - DAY, 24, NOW) == (NOW - 2 * DAY, NOW - DAY)
    assert audit.window(NOW - 3 * DAY, None, 24, NOW) == (NOW - 3 * DAY, None)
    with pytest.raises(errors.BadInput, match="before the year 1"):
        audit.window(None, datetime(1, 1, 1, tzinfo=timezone.utc), 24, NOW)


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 28)),  # noqa: DTZ001 - the offset follows
            st.integers(-23 * 60, 23 * 60),
            st.integers(0, 999),
        ),
        max_size=30,
    ),
    st.integers(0, 40),
)
def test_the_listing_is_what_sorting_all_of_them_gives(
    tmp_path_factory: pytest.TempPathFactory, instants: list[tuple[datetime, int, int]], limit: int
) -> None:
    path = tmp_path_factory.mktemp("audit") / "vvtv.db"
    database.create_database(path, 0)
    known = []
    for number, (naive, minutes, nanoseconds) in enumerate(instants):
        instant = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        text = instant.isoformat(timespec="microseconds")
        known.append((instant, nanoseconds, number, text[:26] + f"{nanoseconds:03}" + text[26:]))
    insert(path, *(event(number, text) for _instant, _nano, number, text in known))
    found = find(path, since=NOW, limit=limit)
    expected = [f"e{one[2]}" for one in sorted(known, reverse=True) if one[0] >= NOW]
    assert found.total == len(expected)
    assert ids(found) == expected[:limit]


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(), st.binary(max_size=40)))
def test_any_row_is_an_event_or_our_error(payload: bytes, ts: object) -> None:
    for call in (
        lambda: audit_event.instant_of(ts),
        lambda: audit_event.parse("e", NOW, 0, b"", payload, True),
    ):
        try:
            call()
        except errors.BadInput:
            continue


def fill(path: Path, count: int) -> int:
    """Add so many events, one each second up to now, every third a failure; return how many are failures."""
    made, now = content.Content(Random(1)), time.time_ns()  # noqa: S311 - no secret
    rows = (
        made.failed_domain_row(now - n * clock.SECOND_NS, f"d{n % 7}.example.com")
        if n % 3 == 0
        else made.commit_rows(now - n * clock.SECOND_NS).audit_event
        for n in range(count)
    )
    with closing(database.connect(path)) as connection:
        connection.execute("BEGIN")
        database.insert_audits(connection, rows)
        connection.execute("COMMIT")
    return (count + 2) // 3


@pytest.mark.one_python
def test_100_000_events_take_seconds_little_memory_and_never_hold_the_station(path: Path) -> None:
    failures = fill(path, 120_000)
    writer = Writer(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with writer:
        begun = time.monotonic()
        found = audit.find(path, replace(ALL, since=times.now() - 30 * DAY, failures_only=True), 5)
        took = time.monotonic() - begun
    assert found.total == failures
    assert found.malformed == 0
    assert len(found.events) == audit.MAX_LIMIT
    assert took < 30  # 2 s on an idle machine
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 64
    assert writer.commits > 3
    assert writer.longest < 2  # a batch takes 20 ms on an idle machine; the whole reading would be seconds


class Writer(threading.Thread):
    """A station that commits as fast as it can and measures how long each commit waited."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.longest, self.commits = path, 0.0, 0
        self._halt = threading.Event()

    def run(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as connection:
            while not self._halt.is_set():
                begun = time.monotonic()
                connection.execute("INSERT INTO metric_samples VALUES ('x', '{}')")
                self.longest, self.commits = max(self.longest, time.monotonic() - begun), self.commits + 1
                time.sleep(0.01)

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._halt.set()
        self.join()
