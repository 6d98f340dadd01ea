# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ``vvtv.runbook.outcomes``: what one task came to on every host, even where to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: outcomes
short_description: Gather what one registered task came to on each host
version_added: 1.0.0
author: the vvtv.runbook authors (@vvtv)
description:
  - Returns one row for each host, so that a play's last task can show the whole fleet and decide over it.
  - A host that could not be reached, that failed, or that never got so far has a row like any other. A host
    without news is never one without trouble.
positional: variables, register
options:
  _input:
    description: The hosts, usually C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  variables:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  register:
    description: The name under which each host registered the task's result.
    type: str
    required: true
  fields:
    description:
      - What else to take from a result, by the name that it gets in the row; a path with dots.
      - A path that leads through a list takes from each of its members.
    type: dict
    default: {}
  each:
    description:
      - The path of a list in a result. If given, there is a row for each of its members instead of one for
        each host, with C(host) and what O(fields) take from that member.
    type: str
"""

EXAMPLES = r"""
- name: Show what came of the backups
  ansible.builtin.debug:
    msg: >-
      {{ ansible_play_hosts_all | vvtv.runbook.outcomes(hostvars, 'made', {'id': 'backup.id'})
         | vvtv.runbook.table(['host', 'outcome', 'id', 'why']) }}
  run_once: true
"""

RETURN = r"""
_value:
  description:
    - A dictionary for each host, in the order of the input, with C(host), C(outcome) and C(why), and the
      fields asked for, none where a result has no such field.
    - C(outcome) is V(ok), V(failed), V(unreachable), or V(not run) when the host has no such result. C(why)
      is the message of a failure, else none.
  type: list
  elements: dict
"""


def outcomes(
    hosts: Any, variables: Any, register: str, fields: Any = None, each: str | None = None
) -> list[dict[str, Any]]:
    """Return a row for each host, or for each member of a list in its result.

    Raise ``AnsibleFilterError`` for what are no hosts and variables.
    """
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, Sequence):
        raise AnsibleFilterError(f"outcomes: the input is {type(hosts).__name__}, not a list of hosts")
    wanted = {} if fields is None else fields
    if not isinstance(variables, Mapping) or not isinstance(wanted, Mapping):
        raise AnsibleFilterError("outcomes: hostvars and fields are dictionaries")
    found = [(str(host), _result(str(host), variables, register)) for host in hosts]
    if each is None:
        return [_row(host, result, wanted) for host, result in found]
    return [
        {"host": host, **_fields(member, wanted)}
        for host, result in found
        for member in _taken(result, each) or []
    ]


def _result(host: str, variables: Mapping[str, Any], register: str) -> Mapping[str, Any] | None:
    known = variables.get(host)
    result = known.get(register) if isinstance(known, Mapping) else None
    return result if isinstance(result, Mapping) else None


def _row(host: str, result: Mapping[str, Any] | None, fields: Mapping[str, str]) -> dict[str, Any]:
    outcome = _outcome(result)
    why = None if outcome == "ok" or result is None else str(result.get("msg") or "no message")
    return {"host": host, "outcome": outcome, "why": why, **_fields(result, fields)}


def _fields(value: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    return {name: _taken(value, path) for name, path in fields.items()}


def _outcome(result: Mapping[str, Any] | None) -> str:
    if result is None or result.get("skipped"):
        return "not run"
    if result.get("unreachable"):
        return "unreachable"
    return "failed" if result.get("failed") else "ok"


def _taken(value: Any, path: str) -> Any:
    part, _dot, rest = path.partition(".")
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_taken(member, path) for member in value]
    if not isinstance(value, Mapping) or part not in value:
        return None
    return _taken(value[part], rest) if rest else value[part]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"outcomes": outcomes}
