# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs soak and soak-status of the node's command: the same soaks as the modules'."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.helpers import good
from tests.integration.modules.soaking import ROLLOUT, folder, info, lines, over, samplers, soak, until
from tests.simulator import fleet
from tests.unit.core.command.installed import Done, Installed, install

# In one journal mode: how a busy database is read in either is what the tests of health are about.
JOURNALS = ["wal"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The command as the role installs it, with a configuration that sets nothing."""
    installed = install(tmp_path_factory.mktemp("installed"))
    empty = installed.folder / "empty.yml"
    empty.write_text("")
    empty.chmod(0o644)
    return installed


@pytest.fixture(autouse=True)
def ended(quiet: fleet.Node) -> Iterator[None]:
    """No sampler outlives its test."""
    yield
    for pid in samplers(quiet):
        os.kill(pid, signal.SIGKILL)


def run(command: Installed, node: fleet.Node, verb: str, *words: Any, **env: str) -> Done:
    given = ("--rollout", ROLLOUT, "--root", node.root, "--config", command.folder / "empty.yml")
    return command(verb, *given, *words, env={"VVTV_API_URL": node.url, **env})


def test_a_soak_from_beginning_to_end(command: Installed, quiet: fleet.Node) -> None:
    none = run(command, quiet, "soak-status")
    assert (none.code, "no soak of this rollout" in none.out) == (0, True)
    env = {"VVTV_CANARY_SOAK_HOURS": "0.002", "VVTV_CANARY_SOAK_INTERVAL_SECS": "0.5"}
    told = run(command, quiet, "soak", "--check", "--no-cycle", "pass", **env)
    assert "would be done:\n  start a soak of 0.002 hours, a sample every 0.5 s" in told.out
    assert samplers(quiet) == []
    done = run(command, quiet, "soak", "--no-cycle", "pass", "--min-coverage", "0.3", **env)
    assert (done.code, len(samplers(quiet))) == (0, 1), done
    assert f"next: vvtv-runbook soak-status --rollout {ROLLOUT}" in done.out
    again = run(command, quiet, "soak", "--json", "--no-cycle", "pass", "--min-coverage", "0.3", **env)
    assert (again.json()["changed"], again.json()["warnings"]) == (False, [])
    over(quiet)
    told = run(command, quiet, "soak-status", "--enforce")
    assert (told.code, "verdict: PASS" in told.out) == (0, True), told
    strict = run(command, quiet, "soak-status", "--enforce", "--no-cycle", "fail")
    assert strict.code == 4
    assert "FAIL" in strict.out
    assert "cycle_not_seen" in strict.err
    asked = run(command, quiet, "soak-status", "--json").json()
    found = good(info(quiet))
    assert (asked["soak"], asked["verdict"]) == (found["soak"], found["verdict"])


def test_it_ends_a_soak_of_the_modules(command: Installed, quiet: fleet.Node) -> None:
    good(soak(quiet, hours=0.5))
    until(lambda: lines(quiet) >= 2)
    done = run(command, quiet, "soak", "--stop", "--reason", "wrong card", "--json").json()
    assert (done["changed"], done["soak"]["detail"]) == (True, "wrong card")
    until(lambda: not samplers(quiet))  # it has written its last word, and its process ends
    assert not run(command, quiet, "soak", "--stop", "--json").json()["changed"]
    assert (folder(quiet) / "summary.txt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("soak", "--hours", "0"), "could never pass"),
        (("soak", "--max-errors", "-1"), "max_errors"),
        (("soak-status", "--min-samples", "0"), "min_samples"),
    ],
)
def test_what_cannot_be_ends_with_2(
    command: Installed, quiet: fleet.Node, words: tuple[str, ...], message: str
) -> None:
    good(soak(quiet, hours=0.5))
    done = run(command, quiet, *words, "--json")
    assert (done.code, message in done.json()["error"]["msg"]) == (2, True), done


def test_a_rollout_must_be_named(command: Installed, quiet: fleet.Node) -> None:
    empty = command.folder / "empty.yml"
    done = command("soak-status", "--root", quiet.root, "--config", empty, "--json")
    assert (done.code, "--rollout" in done.json()["error"]["hint"]) == (2, True)
