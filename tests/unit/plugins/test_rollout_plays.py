# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play of a rollout must not contain: Ansible would let a bad release through then, or lose a host.

The numbers are those of the table of pitfalls in docs/rollout.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
PLAYBOOKS = ("plan", "canary", "promote", "rollout", "collect", "rollback", "reconcile")
TASKS = sorted((CHECKOUT / "roles/rollout/tasks").glob("*.yml"))
NESTED = ("block", "rescue", "always")


def load(path: Path) -> list[dict[str, Any]]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, list)
    return content


def plays() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}: {play['name']}", play)
        for name in PLAYBOOKS
        for play in load(CHECKOUT / f"playbooks/{name}.yml")
        if "hosts" in play
    ]


def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every task and block, those inside others too."""
    for task in tasks:
        yield task
        for part in NESTED:
            yield from flat(task.get(part, []))


def entry_points(play: dict[str, Any]) -> list[str]:
    return [task["ansible.builtin.import_role"]["tasks_from"] for task in play["tasks"]]


def turn() -> list[dict[str, Any]]:
    return load(CHECKOUT / "roles/rollout/tasks/turn.yml")


every_play = pytest.mark.parametrize(
    "play", [play for _name, play in plays()], ids=[name for name, _play in plays()]
)
every_file = pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)


def test_the_turn_of_a_node_is_one_flat_block_whose_rescue_ends_in_fail() -> None:
    """Pitfalls 1 and 2."""
    blocks = [task for task in flat(turn()) if "block" in task]
    assert len(blocks) == 1
    (block,) = blocks
    assert block in turn()
    assert "ansible.builtin.fail" in block["rescue"][-1]
    assert "when" not in block["rescue"][-1]
    assert "always" not in block


@every_play
def test_errors_are_fatal_to_all_only_where_nothing_is_rescued(play: dict[str, Any]) -> None:
    """Pitfall 3."""
    if play.get("any_errors_fatal"):
        for entry in entry_points(play):
            tasks = load(CHECKOUT / f"roles/rollout/tasks/{entry}")
            assert not [task for task in flat(tasks) if "rescue" in task]


@every_play
def test_a_play_that_changes_hosts_asks_the_gate_first(play: dict[str, Any]) -> None:
    """Pitfalls 4 to 6: batches and budgets are the record's, Ansible's are the second net."""
    if "turn.yml" in entry_points(play):
        assert "vvtv.runbook.rollout_gate" in turn()[0]
        assert play.get("max_fail_percentage", 0) == 0
        assert play["strategy"] == "linear"  # pitfall 21


@every_play
def test_a_play_decides_nothing_by_facts_and_names_no_hosts(play: dict[str, Any]) -> None:
    """Pitfalls 15 and 24."""
    assert play["gather_facts"] is False
    parts = set(play["hosts"].replace("!", "").replace("&", "").split(":"))
    assert parts <= {"vvtv", "vvtv_canary", "vvtv_baseline", "vvtv_rollout", "vvtv_rollout_waves"}
    assert not {"vars_prompt", "handlers", "pre_tasks", "post_tasks"} & set(play)  # pitfalls 16 and 23


@every_play
def test_unreachable_hosts_are_not_ignored_by_a_whole_play(play: dict[str, Any]) -> None:
    """Pitfalls 7 and 9."""
    assert "ignore_unreachable" not in play


@every_file
def test_tasks_hold_no_trap(path: Path) -> None:
    for task in flat(load(path)):
        said = str(task)
        assert not {"notify", "async", "poll", "throttle", "until", "retries", "ignore_errors"} & set(task)
        assert "clear_host_errors" not in said  # pitfall 10
        assert "ansible.builtin.pause" not in task  # pitfall 23
        assert task.get("delegate_to", "localhost") == "localhost"  # pitfall 11
        assert "ansible_facts" not in said
        if task.get("ignore_unreachable"):  # pitfall 9: a single probe, and the next task tests or shows it
            asked = task.get("vvtv.runbook.rollback_guard", {}).get("state") == "possible"
            assert "ansible.builtin.ping" in task or asked


def test_nothing_runs_once_inside_a_batch() -> None:
    """Pitfall 12: it would run once for each batch, on its first host that is alive."""
    assert not [task for task in flat(turn()) if "run_once" in task]


def test_there_are_no_handlers() -> None:
    """Pitfall 16."""
    assert not (CHECKOUT / "roles/rollout/handlers").exists()


def test_a_failed_rollback_is_only_put_off_until_it_is_recorded() -> None:
    """Pitfall 26: its record gets into the store first, and a ``fail`` follows in any case."""
    put_off = [task for path in TASKS for task in flat(load(path)) if "failed_when" in task]
    assert {task["failed_when"] for task in put_off} == {
        "__rollout_back is failed and __rollout_back.error.code | default('') != 'needs_operator'"
    }
