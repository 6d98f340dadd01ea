# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.rollout_record``: the store, the node, then what the node knew."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._core.errors import RunbookError
from ..module_utils._core.rollout import learning, record, states, turn
from ..module_utils._core.rollout.store import Store
from ..modules.rollout_record import SPEC, turn_of
from ..plugin_utils._controller import this_run, who

MODULE = "vvtv.runbook.rollout_record"


class ActionModule(ActionBase):
    """Notes a transition in the store and on the node, and lets the store learn from the node."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Note it; what is no good news is in the store by the time that a host cannot be reached."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _checked, given = self.validate_argument_spec(argument_spec=SPEC)
        host = given["host"] or str(variables["inventory_hostname"])
        try:
            if not given["record_dir"]:
                return self._ask(given, given["state"], variables)
            store = Store.of(given["record_dir"], given["rollout"])
            return self._note(store, host, given, variables)
        except RunbookError as exc:
            result.update(failed=True, changed=False, msg=str(exc), error=exc.result(), **exc.facts)
            return result

    def _note(
        self, store: Store, host: str, given: dict[str, Any], variables: dict[str, Any]
    ) -> dict[str, Any]:
        state, check, by = given["state"] or None, self._task.check_mode, given["by"] or who(variables)
        before = record.last(store.entries(host))
        noted, wanted = False, turn_of(given)
        if state is not None:
            if not given["break_glass"]:
                learning.require_free(store, this_run())
            if not check:
                noted = learning.announce(store, host, state, turn.facts_of(wanted), by)
        alone = state in learning.STORE_ONLY
        if state == states.UNKNOWN:
            told: dict[str, Any] = {"changed": False, "actions": [], "diff": [], "record": None}
        else:
            told = self._ask({**given, "by": by}, None if alone else state, variables)
        learned = learning.Learned()
        if not check and isinstance(told.get("record"), dict):
            learned = learning.learn(store, host, told["record"])
        if alone and not told.get("failed"):
            noted = learning.note_alone(store, host, str(state), given["facts"], by, check)
        return _merge(store, host, state if check else None, before, told, learned, noted)

    def _ask(self, given: dict[str, Any], state: str | None, variables: dict[str, Any]) -> dict[str, Any]:
        """Run the module on the node."""
        mine = ("record_dir", "host", "state", "by")
        arguments = {name: value for name, value in self._task.args.items() if name not in mine}
        asked = {"state": state, "by": given["by"]}
        arguments.update({name: value for name, value in asked.items() if value is not None})
        told: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=variables
        )
        return told


def _merge(
    store: Store,
    host: str,
    foretold: str | None,
    before: str | None,
    told: dict[str, Any],
    learned: learning.Learned,
    noted: bool,
) -> dict[str, Any]:
    """Return the node's answer with what the store makes of it."""
    entries = store.entries(host)
    found = dict(told.get("record") or {"rollout": store.rollout, "begun": None, "entries": [], "facts": {}})
    found.pop("evidence", None)
    facts = dict(found.get("facts") or {})
    for entry in entries:
        facts.update(entry.facts)
    state = foretold or record.last(entries)
    found.update(
        host=host,
        node_state=found.get("state"),
        state=state,
        before=before,
        facts=facts,
        verdict=facts.get("verdict"),
        reason=record.fact(record.present(entries), "reason"),
    )
    actions = [*told.get("actions", []), *learned.actions]
    if noted:
        actions.append(f"noted in the store that {host} is {record.last(entries)}")
    changed = bool(told.get("changed")) or noted or bool(learned.actions)
    merged = {**told, "record": found, "actions": actions, "changed": changed}
    merged["warnings"] = [*told.get("warnings", []), *learned.warnings]
    return merged
