# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of state.db as they are found: instants of every form, damage, and many of them."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import state_db
from tests.simulator import clock, content, database, gauges

from .conftest import ask
from .test_state_history import END, HOUR, PAYLOAD, insert, look


def failure(
    number: int, ts: object, code: object = "DISCOVERY_FAILED_DOMAIN:a.example"
) -> tuple[object, ...]:
    return f"event-{number}", ts, f'{{"reason_code":"{code}"}}'


@pytest.fixture
def empty(live: Path) -> Path:
    """A database whose tables hold nothing."""
    for table in ("metric_samples", "audit_events", "assets"):
        ask(live, f"DELETE FROM {table}")
    return live


# --- metric samples ---


def test_instants_of_every_form_are_put_in_order(empty: Path) -> None:
    forms = {
        "2026-01-01T03:00:00.000000001+05:30": END - HOUR * 2.5,
        "2025-12-31T22:00:00.5Z": END - HOUR * 2 + timedelta(seconds=0.5),
        "2025-12-31 18:30:00-05:00": END - HOUR * 0.5,
        "2025-12-31t23:00:00.123456789+00:00": END - HOUR + timedelta(microseconds=123456),
    }
    insert(empty, "metric_samples", *((text, PAYLOAD) for text in forms))
    found = look(empty).samples.value
    assert found is not None
    assert [one.at for one in found.newest] == sorted(forms.values(), reverse=True)
    assert found.malformed == 0


def test_rows_of_one_instant_are_one_sample_and_the_last_written_counts(empty: Path) -> None:
    first, last = (gauges.dump({**gauges.MADE_UP, "buffer_minutes": minutes}) for minutes in (1, 2))
    insert(empty, "metric_samples", ("2026-01-01T00:00:00Z", first), ("2026-01-01T00:00:00Z", last))
    found = look(empty).samples.value
    assert found is not None
    assert [one.gauges["buffer_minutes"] for one in found.newest] == [2]


MALFORMED: list[tuple[object, object]] = [
    ("", PAYLOAD),
    ("yesterday", PAYLOAD),
    (17, PAYLOAD),
    (b"2026-01-01T00:00:00Z", PAYLOAD),
    ("2026-01-01T00:00:00", PAYLOAD),
    ("2026-13-01T00:00:00Z", PAYLOAD),
    ("2026-01-01T00:00:01Z", ""),
    ("2026-01-01T00:00:02Z", "{"),
    ("2026-01-01T00:00:03Z", "[]"),
    ("2026-01-01T00:00:04Z", "{}"),
    ("2026-01-01T00:00:05Z", PAYLOAD.replace("0.94", "NaN")),
    ("2026-01-01T00:00:06Z", PAYLOAD.replace("0.94", "1.01")),
    ("2026-01-01T00:00:07Z", PAYLOAD.replace("60", "-1")),
    ("2026-01-01T00:00:08Z", PAYLOAD.replace("60", "true")),
    ("2026-01-01T00:00:09Z", PAYLOAD.replace("60", '"60"')),
    ("2026-01-01T00:00:10Z", PAYLOAD.replace("60", "1e999")),
    ("2026-01-01T00:00:11Z", PAYLOAD + " " * 5000),
    ("2026-01-01T00:00:12Z", b"\xff\xfe"),
    ("2026-01-01T00:00:13Z", "[" * 4000),
    ("2026-01-01T00:00:14Z", PAYLOAD.replace("60", "9" * 4000)),
]


def test_every_malformed_sample_is_counted_and_hides_no_good_one(empty: Path) -> None:
    insert(empty, "metric_samples", ("2025-12-31T23:00:00Z", PAYLOAD), *MALFORMED)
    found = look(empty).samples.value
    assert found is not None
    assert [one.at for one in found.newest] == [END - HOUR]
    assert found.malformed == len(MALFORMED)
    assert found.malformed_at == END + timedelta(seconds=14)


def test_a_text_that_is_no_utf8_is_a_malformed_row(empty: Path) -> None:
    ask(empty, "INSERT INTO metric_samples VALUES ('2026-01-01T00:00:00Z', CAST(x'7bff7d' AS TEXT))")
    ask(empty, "INSERT INTO audit_events VALUES ('a', '2026-01-01T00:00:00Z', CAST(x'7bff7d' AS TEXT))")
    history = look(empty)
    assert history.samples.value is not None
    assert history.samples.value.malformed == 1
    assert history.failures.value is not None
    assert history.failures.value.malformed == 1


def test_the_qa_median_is_of_the_window_before_without_the_newest_and_unchecked_samples(empty: Path) -> None:
    def sample(hours: float, qa: float, plans: int = 5) -> tuple[str, str]:
        when = (END - hours * HOUR).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        values = {"qa_pass_rate": qa, "plans_created": plans, "plans_committed": plans}
        return when, gauges.dump({**gauges.MADE_UP, **values})

    insert(
        empty,
        "metric_samples",
        sample(0, 0.1),
        sample(1, 0.5),
        sample(2, 0.7),
        sample(3, 0.9),
        sample(4, 0.0, plans=0),
        sample(
            10, 0.2
        ),  # the window ends with the newest sample and does not hold its own beginning's before
        sample(10.01, 0.3),
    )
    found = look(empty, qa_history_hours=10).samples.value
    assert found is not None
    assert found.baseline is not None
    assert (found.baseline.median, found.baseline.count) == (0.6, 4)
    assert (found.baseline.since, found.baseline.until) == (END - 10 * HOUR, END - HOUR)
    earlier = look(empty, qa_history_hours=10, qa_history_until=END - 1.5 * HOUR).samples.value
    assert earlier is not None
    assert earlier.baseline is not None
    assert (earlier.baseline.median, earlier.baseline.count) == (0.5, 4)


# --- discovery failures ---


def test_failures_count_by_domain_within_the_window(empty: Path) -> None:
    day = END - timedelta(days=1)
    rows = [
        failure(1, "2025-12-31T00:00:00Z"),  # exactly a day
        failure(2, "2025-12-30T23:59:59.999999999Z"),
        failure(3, "2025-12-31T05:30:00.000000001+05:30", "DISCOVERY_FAILED_DOMAIN:B.Example."),
        failure(4, "2025-12-31T05:29:59.9+05:30"),
        failure(5, "2025-12-30T10:00:00-14:00", "DISCOVERY_FAILED_DOMAIN"),
        failure(6, "2026-01-01T01:00:00Z", "X_DISCOVERY_FAILED_DOMAIN_TIMEOUT:a.example"),  # in the future
        failure(7, "2025-12-31T12:00:00Z", "DISCOVERY_OK"),
        ("8", "2025-12-31T12:00:00Z", '{"reason_code":"DISCOVERY_FAILED\\u005fDOMAIN:a.example"}'),
    ]
    insert(empty, "audit_events", *rows)
    found = look(empty).failures.value
    assert found is not None
    assert found.since == day
    assert [(one.domain, one.count) for one in found.domains] == [
        ("a.example", 3),
        (None, 1),
        ("b.example", 1),
    ]
    assert (found.domains[0].first, found.domains[0].last) == (day, END + HOUR)
    assert (found.omitted, found.malformed) == (0, 0)
    none = look(empty, discovery_window_hours=0.001).failures.value
    assert none is not None
    assert [one.count for one in none.domains] == [1]


def test_every_event_that_cannot_be_read_is_counted(empty: Path) -> None:
    now = "2025-12-31T12:00:00Z"
    marked = '{"reason_code":"DISCOVERY_FAILED_DOMAIN:a.example"}'
    bad: list[tuple[object, object]] = [
        (now, ""),
        (now, '{"reason_code":"DISCOVERY_FAI'),
        (now, "{}"),
        (now, '{"reason_code":17}'),
        (now, '{"reason_code":null}'),
        (now, marked.encode()),
        (now, "[" * 5000),
        ("", marked),
        ("soon", marked),
        (17, marked),
        ("2025-12-31T12:00", marked),
    ]
    old = [("2025-12-01T00:00:00Z", "no JSON"), ("2025-12-30T12:00:00Z", "no JSON")]
    insert(empty, "audit_events", *((f"{number}", *row) for number, row in enumerate([*bad, *old])))
    found = look(empty).failures.value
    assert found is not None
    assert found.domains == ()
    assert found.malformed == len(bad)


@pytest.mark.one_python
def test_a_hundred_thousand_events_are_read_quickly_in_short_statements(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = content.Content(Random(1))  # noqa: S311  # no secret
    end = int(END.timestamp()) * clock.SECOND_NS
    with closing(database.connect(empty)) as connection:
        connection.execute("BEGIN")
        ns = [end - number * 3_000_000_007 for number in range(100_000)]  # three and a half days
        database.insert_audits(connection, [made.commit_rows(one).audit_event for one in ns])
        database.insert_audits(connection, [made.failed_domain_row(one, "a.example") for one in ns[::10]])
        connection.execute("COMMIT")
    took: list[float] = []
    rows = state_db.StateDb.rows

    def timed(self: state_db.StateDb, statement: str, *values: object) -> list[tuple[object, ...]]:
        begin = time.monotonic()
        found = rows(self, statement, *values)
        took.append(time.monotonic() - begin)
        return found

    monkeypatch.setattr(state_db.StateDb, "rows", timed)
    begin = time.monotonic()
    found = look(empty).failures.value
    # About 0.15 s on an idle machine, and 0.05 s for a statement: the bounds leave room for a busy one.
    assert time.monotonic() - begin < 5
    assert max(took) < 1
    assert len(took) > 10
    assert found is not None
    assert [(one.domain, one.count) for one in found.domains] == [("a.example", 2880)]


def test_rows_with_numbers_far_apart_end(empty: Path) -> None:
    columns = "(rowid, event_id, ts, payload_json)"
    for rowid in (-(1 << 63), -5, 0, 7, (1 << 63) - 1):
        ask(
            empty,
            f"INSERT INTO audit_events {columns} VALUES ({rowid}, 'e{rowid}', '2026-01-01T00:00:00Z',"
            ' \'{"reason_code":"DISCOVERY_FAILED_DOMAIN:a"}\')',
        )
    found = look(empty).failures.value
    assert found is not None
    assert [(one.domain, one.count) for one in found.domains] == [("a", 5)]
