# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rollout's actions take is what their documentation says; no module's argument spec checks it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import yaml

from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import planning
from ansible_collections.vvtv.runbook.plugins.plugin_utils import _controller

PLUGINS = "ansible_collections.vvtv.runbook.plugins"
NAMES = ["rollout_close", "rollout_gate", "rollout_info", "rollout_plan"]


def spec(name: str) -> dict[str, Any]:
    """The options that an action takes."""
    found: dict[str, Any] = import_module(f"{PLUGINS}.action.{name}").ActionModule.SPEC
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_says_what_the_action_takes(name: str) -> None:
    told = yaml.safe_load(import_module(f"{PLUGINS}.modules.{name}").DOCUMENTATION)["options"]
    for option in told.values():
        option.pop("description")
        assert option.get("required", False) is not False or "required" not in option
    assert told == spec(name)


def test_the_plan_takes_all_that_can_be_wanted() -> None:
    assert set(planning.Wanted.__dataclass_fields__) - {"existing"} < set(spec("rollout_plan"))


@pytest.mark.parametrize(
    ("variables", "who"),
    [
        ({"awx_job_id": 17, "awx_user_name": "anna"}, "anna@bastion (job 17)"),
        ({"awx_job_id": 18}, "awx@bastion (job 18)"),
        ({}, "me@bastion"),
    ],
)
def test_who_runs_it(monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any], who: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "bastion")
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert _controller.who(variables) == who
