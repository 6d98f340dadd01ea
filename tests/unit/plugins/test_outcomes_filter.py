# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No host is left out, and none without news counts as one without trouble."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vvtv.runbook.plugins.filter.outcomes import outcomes

HOSTS: dict[str, dict[str, Any]] = {
    "good": {"found": {"changed": True, "backup": {"id": "20260101T000000Z"}, "msg": "never shown"}},
    "bad": {"found": {"failed": True, "msg": "/srv: no such folder", "backup": "not a dictionary"}},
    "gone": {"found": {"unreachable": True, "failed": False, "msg": "timed out"}},
    "left": {"found": {"skipped": True, "changed": False}},
    "new": {},
}


def test_every_host_has_its_row_in_order() -> None:
    rows = outcomes([*HOSTS, "unknown"], HOSTS, "found", {"id": "backup.id"})
    assert [(row["host"], row["outcome"], row["why"], row["id"]) for row in rows] == [
        ("good", "ok", None, "20260101T000000Z"),
        ("bad", "failed", "/srv: no such folder", None),
        ("gone", "unreachable", "timed out", None),
        ("left", "not run", "no message", None),
        ("new", "not run", None, None),
        ("unknown", "not run", None, None),
    ]


def test_a_failure_without_a_message_still_says_so() -> None:
    (row,) = outcomes(["host"], {"host": {"found": {"failed": True}}}, "found")
    assert (row["outcome"], row["why"]) == ("failed", "no message")


FOUND = {
    "one": {"found": {"health": {"findings": [{"code": "A", "at": {"x": 1}}, {"code": "B"}]}}},
    "two": {"found": {"failed": True, "msg": "no"}},
    "three": {"found": {"health": {"findings": []}}},
}


def test_a_path_through_a_list_takes_from_each_member() -> None:
    rows = outcomes([*FOUND], FOUND, "found", {"codes": "health.findings.code"})
    assert [row["codes"] for row in rows] == [["A", "B"], None, []]


def test_each_member_of_a_list_may_have_a_row() -> None:
    rows = outcomes([*FOUND], FOUND, "found", {"code": "code", "x": "at.x"}, each="health.findings")
    assert rows == [{"host": "one", "code": "A", "x": 1}, {"host": "one", "code": "B", "x": None}]


@pytest.mark.parametrize(
    ("hosts", "variables", "fields"),
    [("host", {}, {}), (7, {}, {}), (["host"], [], {}), (["host"], {}, ["id"])],
)
def test_what_are_no_hosts_is_refused(hosts: Any, variables: Any, fields: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="outcomes: "):
        outcomes(hosts, variables, "found", fields)
