#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_event_info
short_description: List the audit events of a node, failures by default
version_added: 1.0.0
description:
  - Reads the station's audit trail from its database, newest event first, and counts what matched.
  - Nothing is written and the database is never made. The events are read in short batches, so that the
    station's commits do not wait; what it adds meanwhile may be missing.
  - Rows that are no events are counted in RV(malformed), never left out in silence.
  - All patterns are globs (C(*), C(?), C([abc])) that have to match the whole text, whatever the case. A
    pattern for reason codes is compared with what comes before the colon of C(CODE:domain), or with the whole
    when it holds a colon itself.
  - An event is listed when it meets every filter that is given.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._attributes.read_only
  - vvtv.runbook._node
options:
  failures_only:
    description: Whether to list only events whose reason code matches O(failure_patterns).
    type: bool
    default: true
  failure_patterns:
    description: Patterns of the reason codes that mean a failure.
    type: list
    elements: str
    default:
      - "*FAIL*"
      - "*ERROR*"
      - "*REJECT*"
      - "*TIMEOUT*"
      - "*TIMED_OUT*"
      - "*DENIED*"
      - "*INVALID*"
      - "*DROPPED*"
      - "*CORRUPT*"
      - "*MISMATCH*"
      - "*MISSING*"
      - "*UNAVAILABLE*"
      - "*UNREACHABLE*"
      - "*EXHAUSTED*"
      - "*ABORT*"
      - "*CRASH*"
      - "*CRITICAL*"
  reason_codes:
    description: List only events with a reason code that matches one of these patterns.
    type: list
    elements: str
    default: []
  modules:
    description: List only events of these modules of the station; patterns.
    type: list
    elements: str
    default: []
  actors:
    description: List only events of these actors; patterns.
    type: list
    elements: str
    default: []
  domains:
    description: List only events whose reason code names one of these domains after its colon; patterns.
    type: list
    elements: str
    default: []
  since:
    description: List only events of this instant (RFC 3339) or later.
    type: str
  until:
    description: List only events before this instant (RFC 3339). If left out, no event is too new.
    type: str
  window_hours:
    description: Hours before O(until), or before now, that are looked at when O(since) is left out.
    type: float
    default: 24
  limit:
    description: How many events to list at most, from 0 to 10000. Counts go beyond it.
    type: int
    default: 100
  details:
    description: Whether to list what was before and after each event, each cut to 2000 characters.
    type: bool
    default: false
seealso:
  - module: vvtv.runbook.node_health
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See what failed in the last day
  vvtv.runbook.audit_event_info:
    root: /srv/vvtv
  register: audit

- name: See which domains of the allowlist could not be searched this week
  vvtv.runbook.audit_event_info:
    root: /srv/vvtv
    reason_codes: [DISCOVERY_FAILED_DOMAIN]
    window_hours: 168
    limit: 0
  register: discovery

- name: See everything that one actor did in one hour
  vvtv.runbook.audit_event_info:
    root: /srv/vvtv
    failures_only: false
    actors: [curator]
    since: "2026-11-23T09:00:00Z"
    until: "2026-11-23T10:00:00Z"
    details: true
"""

RETURN = r"""
events:
  description: The newest events that matched, newest first.
  type: list
  elements: dict
  returned: success
  contains:
    event_id:
      description: Its id; none if the station gave it none.
      type: str
    ts:
      description: Its instant as the station wrote it.
      type: str
    actor:
      description: Who acted.
      type: str
    module:
      description: The part of the station that acted.
      type: str
    action:
      description: What was done.
      type: str
    reason_code:
      description: Why, or how it ended.
      type: str
      sample: DISCOVERY_FAILED_DOMAIN:example.com
    domain:
      description: The domain that the reason code names, in lower case; none if it names none.
      type: str
    decision_score:
      description: How sure the station was; none if it does not say.
      type: float
    before:
      description: What was before, as a text or JSON; with O(details).
      type: str
    after:
      description: What was after, as a text or JSON; with O(details).
      type: str
counts:
  description:
    - How many of all matching events there were of each kind, the most frequent first.
    - At most 200 names each; what is beyond them is counted as C((others)).
  type: dict
  returned: success
  contains:
    reason_code:
      description: By reason code without the domain.
      type: dict
    domain:
      description: By domain, in lower case; events without one are not in it.
      type: dict
    module:
      description: By module of the station.
      type: dict
total:
  description: How many events matched, listed or not.
  type: int
  returned: success
truncated:
  description: Whether more events matched than are listed.
  type: bool
  returned: success
malformed:
  description:
    - How many rows are no events, in the window or without an instant that could be read. A warning tells of
      them, and they are in no count.
  type: int
  returned: success
malformed_examples:
  description: At most five of those, with what is wrong.
  type: list
  elements: str
  returned: success
since:
  description: The beginning of the window.
  type: str
  returned: success
until:
  description: The end of the window; none if it has none.
  type: str
  returned: success
"""

from datetime import datetime
from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core import audit, times
from ..module_utils._core.errors import BadInput
from ..module_utils._core.outcome import Outcome

LISTS = ("reason_codes", "modules", "actors", "domains")


def instant(params: dict[str, Any], option: str) -> datetime | None:
    try:
        return None if params[option] is None else times.parse(params[option])
    except BadInput as exc:
        raise BadInput(f"{option}: {exc.msg}") from exc


def operate(params: dict[str, Any], check: bool) -> Outcome:
    since, until = audit.window(
        instant(params, "since"), instant(params, "until"), params["window_hours"], times.now()
    )
    query = audit.Query(
        since=since,
        until=until,
        failures_only=params["failures_only"],
        failure_patterns=tuple(params["failure_patterns"]),
        limit=params["limit"],
        details=params["details"],
        **{name: tuple(params[name]) for name in LISTS},
    )
    return audit.tell(_argspec.node_at(params).state_db, query, params["lock_timeout"])


def main() -> None:
    spec = {
        **_argspec.node_options(),
        "failures_only": {"type": "bool", "default": True},
        "failure_patterns": {"type": "list", "elements": "str", "default": list(audit.FAILURE_PATTERNS)},
        **{name: {"type": "list", "elements": "str", "default": []} for name in LISTS},
        "since": {"type": "str"},
        "until": {"type": "str"},
        "window_hours": {"type": "float", "default": audit.WINDOW_HOURS},
        "limit": {"type": "int", "default": audit.LIMIT},
        "details": {"type": "bool", "default": False},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
