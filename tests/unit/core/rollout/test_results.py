# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""result.env and promotion records, read as a shell reads them."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import record, results, states
from tests.unit.core.rollout.bases import DIGEST, ID, PASS, WAYS, lead_node, make_folder

# The node contract's keys, in its order.
CONTRACT = [
    "status",
    "backup_dir",
    "rollback_applied",
    "canary_out_dir",
    "soak_summary",
    "promotion_status",
    "promotion_record",
]
ENDS = {
    states.PASSED: ("PASS", "0", "SKIPPED"),
    states.PROMOTED: ("PASS", "0", "PROMOTED"),
    states.FAILED: ("FAIL_ROLLBACK_SKIPPED", "0", "SKIPPED"),
    states.HELD: ("FAIL_ROLLBACK_SKIPPED", "0", "SKIPPED"),
    states.UNKNOWN: ("FAIL_ROLLBACK_SKIPPED", "0", "SKIPPED"),
    states.NEEDS_OPERATOR: ("FAIL_ROLLBACK_SKIPPED", "0", "SKIPPED"),
    states.ROLLED_BACK: ("FAIL_ROLLBACK_APPLIED", "1", "SKIPPED"),
}


def by_grep(path: Path, key: str) -> str:
    """Read a value as the runbook's promotion does."""
    done = subprocess.run(["sed", "-n", f"s/^{key}=//p", path], capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize("state", states.STATES)
def test_it_says_how_it_ended_and_is_missing_before(tmp_path: Path, state: str) -> None:
    folder = make_folder(tmp_path)
    lead_node(folder, state, {"verdict": PASS, "backup_path": "/backups/x", "soak_sha256": DIGEST})
    assert results.write_result(folder) == (state in ENDS)
    assert folder.result.exists() == (state in ENDS)
    if state not in ENDS:
        return
    told = [by_grep(folder.result, key) for key in ("status", "rollback_applied", "promotion_status")]
    assert tuple(told) == ENDS[state]
    keys = [line.partition("=")[0] for line in folder.result.read_text().splitlines()]
    assert keys[: len(CONTRACT)] == CONTRACT
    assert len(keys) == len(set(keys))
    assert by_grep(folder.result, "canary_out_dir") == str(folder.path)
    assert by_grep(folder.result, "soak_summary") == str(folder.soak / "summary.txt")
    assert (by_grep(folder.result, "rollout"), by_grep(folder.result, "state")) == (ID, state)
    assert (by_grep(folder.result, "verdict"), by_grep(folder.result, "soak_sha256")) == ("PASS", DIGEST)
    assert not results.write_result(folder), "nothing new"


def test_a_turn_that_begins_anew_takes_it_away(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    lead_node(folder, states.HELD)
    assert results.write_result(folder)
    record.append(folder.record, states.SOAKING)
    assert results.write_result(folder)
    assert not folder.result.exists()


def test_a_blocked_promotion_is_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    lead_node(folder, states.PASSED, {"promotion_blocked": [{"code": "alarm"}]})
    results.write_result(folder)
    assert by_grep(folder.result, "promotion_status") == "BLOCKED"


@given(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.none(), min_size=1))
def test_no_value_makes_a_line(values: dict[str, Any]) -> None:
    lines = results.env(values).decode().split("\n")
    assert lines[-1] == ""
    assert [line.partition("=")[0] for line in lines[:-1]] == list(values)
    assert all(line.isprintable() for line in lines)


def test_a_promotion_record_has_the_contracts_keys_first(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    at = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone.utc)
    path = results.write_promotion(folder, at, 0, "http://127.0.0.1:7070", {"release_id": "vvtv-1.4.0"})
    assert path == tmp_path / "runtime/releases/promotions/promotion-20260131T235959Z.env"
    assert path.read_text().splitlines() == [
        "status=PROMOTED",
        "promoted_at_utc=2026-01-31T23:59:59.000000Z",
        f"canary_result_file={folder.result}",
        "alerts_high_critical=0",
        "api_url=http://127.0.0.1:7070",
        f"rollout={ID}",
        "release_id=vvtv-1.4.0",
    ]


def test_the_ways_of_these_tests_end_where_they_say() -> None:
    assert {state: way[-1] for state, way in WAYS.items()} == {state: state for state in states.STATES}
