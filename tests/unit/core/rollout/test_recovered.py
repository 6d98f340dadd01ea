# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which findings count after a node was changed: what the pipeline wrote before that does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Finding, Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.health import Health
from ansible_collections.vvtv.runbook.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import recovered
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Scope

CHANGED = times.parse("2026-11-24T09:00:00Z")
BEFORE, AFTER = CHANGED - timedelta(minutes=7), CHANGED + timedelta(seconds=3)


def health(*codes: str, at: datetime | None = BEFORE, severity: str = "high") -> Health:
    found = tuple(Finding(severity, code, f"{code} it is", {}) for code in codes)
    return Health(not codes, found, {}, "state_db", at, "RUNNING")


def waited(
    monkeypatch: pytest.MonkeyPatch,
    seen: list[Health],
    changed_at: datetime | None = CHANGED,
    wait: float = 0.0,
) -> tuple[Health, list[str]]:
    """Look at a node that is seen like this, look by look."""
    looks: Iterator[Health] = iter(seen)
    monkeypatch.setattr(recovered, "take_sample", lambda *_args: None)
    monkeypatch.setattr(recovered, "judge", lambda *_args: next(looks))
    monkeypatch.setattr(recovered, "_LOOK_EVERY", 0.0)
    outcome, nothing = Outcome(), Any
    found = recovered.wait(
        nothing,
        nothing,
        Thresholds(),
        Scope(),
        1.0,
        wait,
        changed_at,
        outcome,  # type: ignore[arg-type]
    )
    return found, outcome.warnings


@pytest.mark.parametrize(
    "code", ["PIPELINE_STALE", "QA_PASS_RATE_LOW", "BUFFER_CRITICAL", "STREAM_DISRUPTIONS"]
)
def test_old_news_do_not_count_in_the_end(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    found, warnings = waited(monkeypatch, [health(code)])
    assert (found.healthy, found.findings) == (True, ())
    assert code in warnings[0]


def test_a_new_sample_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found, warnings = waited(monkeypatch, [health("PIPELINE_STALE"), health(at=AFTER)], wait=60)
    assert (found.healthy, found.sampled_at, warnings) == (True, AFTER, [])


@pytest.mark.parametrize(
    ("seen", "changed_at"),
    [
        (health("PIPELINE_STALE", at=AFTER), CHANGED),
        (health("PIPELINE_STALE", at=CHANGED), CHANGED),
        (health("PIPELINE_STALE", at=None), CHANGED),
        (health("PIPELINE_STALE"), None),
        (health("PIPELINE_STALE", "CONTROL_API_UNREACHABLE"), CHANGED),
        (health("STATE_DB_CORRUPT"), CHANGED),
        (health("SCHEDULER_LEASE_EXPIRED"), CHANGED),
        (health("NO_SAMPLES", at=None), CHANGED),
    ],
)
def test_everything_else_counts(
    monkeypatch: pytest.MonkeyPatch, seen: Health, changed_at: datetime | None
) -> None:
    found, warnings = waited(monkeypatch, [seen], changed_at)
    assert (found, warnings) == (seen, [])


def test_findings_that_do_not_matter_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    low = Finding("low", "DISCOVERY_OTHER_DOMAIN_FAILURE", "somewhere", {})
    seen = health("PIPELINE_STALE")
    both = Health(False, (*seen.findings, low), {}, "state_db", BEFORE, "RUNNING")
    found, warnings = waited(monkeypatch, [both])
    assert (found.healthy, found.findings, len(warnings)) == (True, (low,), 1)
