# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a host's soak is, on one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.plugin_utils._soak_line import clock, line

RUNNING: dict[str, Any] = {
    "state": "running", "elapsed": 1800.0, "length": 3600.0, "samples": 31, "expected": 61, "cycles": 1,
    "last": {
        "gauges": {"buffer_minutes": 118.0, "qa_pass_rate": 0.951, "fallback_rate": 0.1},
        "findings": [], "errors": [],
    },
}  # fmt: skip
GOING = {"result": "INCONCLUSIVE", "reasons": [{"code": "running"}]}


def test_a_soak_that_runs() -> None:
    assert line("tv-01", 8, RUNNING, GOING) == (
        "tv-01     [##########..........]  50%  30:00 of 1:00:00  31/61 samples  1 cycles  buffer 118 min"
        "  QA 0.95  fallback 0.10  ok"
    )


def test_what_is_wrong_comes_last() -> None:
    sick = {**RUNNING, "last": {**RUNNING["last"], "findings": [{"code": "BUFFER_CRITICAL"}]}}
    failing = {"result": "FAIL", "reasons": [{"code": "BUFFER_CRITICAL"}, {"code": "slo"}]}
    assert line("a", 1, sick, failing).endswith("  BUFFER_CRITICAL, slo")
    assert line("a", 1, {**sick, "state": "ended"}, failing).endswith("  FAIL: BUFFER_CRITICAL, slo")
    assert line("a", 1, {**RUNNING, "state": "ended"}, {"result": "PASS", "reasons": []}).endswith("  PASS")
    died = {"result": "INCONCLUSIVE", "reasons": [{"code": "interrupted"}]}
    assert line("a", 1, {**RUNNING, "state": "died"}, died).endswith("  died: interrupted")
    many = {"result": "FAIL", "reasons": [{"code": f"C{number}"} for number in range(5)]}
    assert line("a", 1, RUNNING, many).endswith("  C0, C1, C2 and 2 more")


def test_nothing_is_known_yet() -> None:
    told = line("a", 1, {"state": "running"}, {"result": "INCONCLUSIVE", "reasons": []})
    assert told == "a  [....................]   0%  0:00 of 0:00  0/0 samples  0 cycles  ok"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (60, "1:00"), (3599.9, "1:00:00"), (36_061, "10:01:01")],
)
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@given(st.text(max_size=30), st.text(max_size=30))
def test_it_is_one_printable_line(host: str, code: str) -> None:
    told = line(host, 5, {**RUNNING, "state": code}, {"result": host, "reasons": [{"code": code}]})
    assert told.isprintable()
