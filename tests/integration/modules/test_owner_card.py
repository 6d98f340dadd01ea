# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module owner_card, judged by sha256sum and by what the simulated station has in force."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import locks, node
from tests.integration.helpers import CHECKOUT, MODULES, good, module, sha256sum, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.stations import KNOWN, SECRET, TOKEN, call, files_with, said_with_vvv, started
from tests.simulator import fleet
from tests.simulator.owner_card import SAMPLE

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

RELOAD = "/v1/control/reload-owner-card"
BETTER = SAMPLE.replace("720", "1080")
# Four rules broken in four sections.
BAD = (
    BETTER.replace("schema_version: 1", "schema_version: 0")
    .replace("    - trailer\n", "    - 7\n")
    .replace("buffer_critical_minutes: 20", "buffer_critical_minutes: 200")
    .replace("max_daily_adjustment_pct: 5.0", "max_daily_adjustment_pct: 21")
)
ERRORS = [
    "schema_version: must be a whole number, 1 or more",
    "search_policy.blocked_keywords: must be a list of texts",
    "autotune_policy.max_daily_adjustment_pct: must be at most 20",
    "schedule_policy.buffer_critical_minutes: must be below buffer_target_minutes",
]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[fleet.Node]:
    with started(tmp_path / "node") as running:
        running.faults(pipeline="frozen")
        yield running


@pytest.fixture
def better(tmp_path: Path) -> Path:
    """A file with another valid card."""
    path = tmp_path / "better.yaml"
    path.write_text(BETTER)
    return path


def in_force(station: fleet.Node) -> str:
    """The hash of the card that the station obeys."""
    return station.state.owner_card_sha256


def files_of(station: fleet.Node) -> dict[str, str]:
    """Every file of a node but the lock's."""
    return {name: said for name, said in tree(station.root).items() if name != "runtime/runbook.lock"}


def history(station: fleet.Node) -> list[str]:
    """The hashes of the former cards, newest first."""
    folder = station.owner_card.with_name("owner_card.sample.history")
    made = sorted(folder.glob("2*Z*.yaml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [sha256sum(path) for path in made]


@pytest.mark.parametrize("given", ["src", "content"])
def test_check_install_install_check(station: fleet.Node, better: Path, given: str) -> None:
    params = {"src": better} if given == "src" else {"content": BETTER}
    before, old = files_of(station), sha256sum(station.owner_card)
    assert in_force(station) == old
    foretold = good(call(station, "owner_card", check=True, **params))
    assert (foretold["changed"], foretold["previous"], len(foretold["actions"])) == (True, None, 3)
    assert (files_of(station), in_force(station)) == (before, old)

    done = good(call(station, "owner_card", **params))
    assert sha256sum(station.owner_card) == sha256sum(better) == in_force(station) == done["sha256"]
    assert sha256sum(Path(done["previous"])) == old == done["sha256_before"]
    assert history(station) == [old]
    assert (done["changed"], done["reloaded"], len(done["actions"])) == (True, True, 3)
    assert (done["diff"][0]["before"], done["diff"][0]["after"]) == (SAMPLE, BETTER)
    assert done["diff"] == foretold["diff"]

    after = files_of(station)
    for check in (False, True):
        again = good(call(station, "owner_card", check=check, **params))
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], [])
        assert (files_of(station), in_force(station)) == (after, done["sha256"])
    assert set(after) - set(before) == {os.path.relpath(done["previous"], station.root)}


def test_back_to_the_one_before(station: fleet.Node, better: Path) -> None:
    old = sha256sum(station.owner_card)
    previous = good(call(station, "owner_card", src=better))["previous"]
    good(call(station, "owner_card", src=previous))
    assert sha256sum(station.owner_card) == in_force(station) == old
    assert history(station) == [sha256sum(better), old]


@pytest.mark.thorough
def test_on_the_oldest_python_of_a_node(station: fleet.Node, better: Path) -> None:
    params = {"root": station.root, "api_url": station.url, "src": better, **KNOWN}
    assert on_a_node("owner_card", check=True, **params)["changed"]
    assert on_a_node("owner_card", **params)["reloaded"]
    assert in_force(station) == sha256sum(better)
    assert not on_a_node("owner_card", **params)["changed"]
    better.write_text(BAD)
    assert on_a_node("owner_card", **params)["error"]["errors"] == ERRORS


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("validate_only", [False, True])
def test_an_invalid_card_is_refused_with_every_error_and_the_old_one_stays_in_force(
    station: fleet.Node, better: Path, check: bool, validate_only: bool
) -> None:
    before, old = files_of(station), in_force(station)
    better.write_text(BAD)
    result = call(station, "owner_card", src=better, check=check, validate_only=validate_only)
    assert (result["error"]["code"], result["error"]["errors"]) == ("damaged", ERRORS)
    assert result["msg"].startswith(f"{better}: is no valid OwnerCard: schema_version: must be")
    assert (files_of(station), in_force(station)) == (before, old)


def test_validate_only_needs_no_station(station: fleet.Node, better: Path) -> None:
    before = tree(station.root)
    done = good(module("owner_card", root=station.root, src=better, validate_only=True))
    assert (done["changed"], done["sha256"], tree(station.root)) == (False, sha256sum(better), before)


def test_an_invalid_or_missing_card_is_replaced(station: fleet.Node, better: Path) -> None:
    station.owner_card.write_text("a: [")
    broken, old = sha256sum(station.owner_card), in_force(station)
    assert broken != old
    good(call(station, "owner_card", src=better))
    assert (in_force(station), history(station)) == (sha256sum(better), [broken])
    station.owner_card.unlink()
    done = good(call(station, "owner_card", content=SAMPLE))
    assert (in_force(station), done["previous"], done["sha256_before"]) == (done["sha256"], None, None)


def test_reload_never_waits_for_the_station_and_always_asks_it(station: fleet.Node, better: Path) -> None:
    old = in_force(station)
    done = good(module("owner_card", root=station.root, src=better, reload="never"))
    assert (done["changed"], done["reloaded"], in_force(station)) == (True, False, old)
    assert not good(call(station, "owner_card", src=better))["changed"]
    assert in_force(station) == old
    for _turn in range(2):
        done = good(call(station, "owner_card", src=better, reload="always"))
        assert (done["changed"], done["actions"]) == (True, ["let the station read its card"])
        assert in_force(station) == sha256sum(better)


def test_mode_and_owner_stay_and_copies_have_them(station: fleet.Node, better: Path) -> None:
    station.owner_card.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(station.owner_card, 12345, 12345)
    wanted = station.owner_card.stat()
    copy = Path(good(call(station, "owner_card", src=better))["previous"])
    for path in (station.owner_card, copy):
        found = path.stat()
        assert (found.st_mode, found.st_uid, found.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid)


def test_only_so_many_former_cards_are_kept(station: fleet.Node) -> None:
    hashes = [sha256sum(station.owner_card)]
    for height in range(1000, 1006):
        card = SAMPLE.replace("720", str(height))
        hashes.insert(0, good(call(station, "owner_card", content=card, keep=3))["sha256"])
    assert in_force(station) == hashes[0]
    assert history(station) == hashes[1:4]


def test_two_operators_at_once_leave_one_card_whole_and_in_force(station: fleet.Node) -> None:
    cards = [SAMPLE.replace("720", str(height)) for height in (1080, 1440)]
    with ThreadPoolExecutor(2) as together:
        for _turn in range(5):
            runs = [together.submit(call, station, "owner_card", content=card) for card in cards]
            done = [good(run.result()) for run in runs]
            assert sha256sum(station.owner_card) == in_force(station)
            assert in_force(station) in {result["sha256"] for result in done}


# --- a station that does not answer ---


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"hang": f"60@{RELOAD}"}, f"{RELOAD}: gave no whole answer within 0.5 s); the former one was put"),
        ({"http_500": RELOAD}, f"{RELOAD}: answered 500); the former one was put back"),
        ({"html": RELOAD}, f"{RELOAD}: answered no JSON); the former one was put back"),
        ({"clock": "4000"}, "s behind the API's); the former one was put back; mend the clock"),
    ],
)
def test_a_reload_that_fails_puts_the_old_card_back(
    station: fleet.Node, better: Path, faults: dict[str, str], message: str
) -> None:
    old = in_force(station)
    station.faults(pipeline="frozen", **faults)
    result = call(station, "owner_card", src=better, api_timeout=0.5)
    assert (result["error"]["code"], result["error"]["put_back"]) == ("not_reloaded", True)
    assert message in result["msg"]
    assert sha256sum(station.owner_card) == in_force(station) == old

    station.faults(pipeline="frozen")
    good(call(station, "owner_card", src=better))
    assert (in_force(station), history(station)) == (sha256sum(better), [old])


def test_a_station_that_is_down_gets_no_card_unless_told_never(station: fleet.Node, better: Path) -> None:
    old = sha256sum(station.owner_card)
    station.stop()
    result = call(station, "owner_card", src=better)
    assert f"({station.url}{RELOAD}: nobody listens there); the former one was put back; " in result["msg"]
    assert sha256sum(station.owner_card) == old
    good(call(station, "owner_card", src=better, reload="never"))
    assert sha256sum(station.owner_card) == sha256sum(better)


def kill_once_replaced(station: fleet.Node, better: Path) -> None:
    """Run the module against a station that hangs and kill -9 it when the card is replaced."""
    where = {"root": str(station.root), "api_url": station.url, "src": str(better)}
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**where, **KNOWN, "api_timeout": 60}})
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "build/collections")}
    with subprocess.Popen([sys.executable, "-m", f"{MODULES}.owner_card", arguments], env=env) as running:
        while sha256sum(station.owner_card) != sha256sum(better):
            assert running.poll() is None
        running.kill()


def test_a_run_that_died_after_the_replacement_is_made_good_by_the_next(
    station: fleet.Node, better: Path
) -> None:
    station.faults(pipeline="frozen", hang=f"60@{RELOAD}")
    old = in_force(station)
    kill_once_replaced(station, better)
    assert (sha256sum(station.owner_card), in_force(station)) == (sha256sum(better), old)
    station.faults(pipeline="frozen")
    foretold = good(call(station, "owner_card", src=better, check=True))
    done = good(call(station, "owner_card", src=better))
    assert done["actions"] == ["let the station read its card, which a run that broke off still owes"]
    assert foretold["actions"] == done["actions"]
    assert in_force(station) == sha256sum(better)
    assert not good(call(station, "owner_card", src=better))["changed"]


# --- errors ---


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({}, "bad_input", "give exactly one of src and content"),
        ({"src": "/card.yaml", "content": "a"}, "bad_input", "give exactly one of src and content"),
        ({"src": "card.yaml"}, "bad_input", "src must be an absolute path, not 'card.yaml'"),
        ({"src": "/nowhere/card.yaml"}, "not_found", "/nowhere/card.yaml: cannot read: No such file"),
        ({"src": "/dev/zero"}, "damaged", "/dev/zero: is not a regular file"),
        (
            {"content": ""},
            "damaged",
            "the option content: is no valid OwnerCard: it must be a map",
        ),
        ({"content": "a: [\n"}, "damaged", "the option content: is no valid OwnerCard: it is no YAML"),
        ({"content": SAMPLE, "keep": 0}, "bad_input", "keep must be 1 or more: the card that is replaced"),
        (
            {"content": BETTER, "control_secret": "wrong"},
            "not_reloaded",
            "refused the call: invalid sig",
        ),
        ({"content": BETTER, "control_token": None}, "bad_input", "the control API needs control_token"),
        ({"content": BETTER, "api_url": "http://[::1"}, "bad_input", "api_url is no URL"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    station: fleet.Node, params: dict[str, Any], code: str, message: str
) -> None:
    before, old = sha256sum(station.owner_card), in_force(station)
    result = call(station, "owner_card", **params)
    assert result["error"]["code"] == code, result
    assert message in result["msg"]
    assert not result.get("changed")
    assert (sha256sum(station.owner_card), in_force(station)) == (before, old)
    assert TOKEN not in str(result)
    assert SECRET not in str(result)


def test_a_locked_node_is_said_to_be_locked_by_whom(station: fleet.Node, better: Path) -> None:
    with locks.node_lock(node.Node.at(station.root), "restore 20260131T235959Z", 1):
        result = call(station, "owner_card", src=better, lock_timeout=0.2)
    assert result["error"]["code"] == "busy"
    assert "for 'restore 20260131T235959Z' since" in result["msg"]


def test_nothing_that_ansible_prints_or_leaves_holds_a_secret(
    station: fleet.Node, better: Path, tmp_path: Path
) -> None:
    env_file = tmp_path / "control.env"
    env_file.write_text(f"VVTV_CONTROL_TOKEN={TOKEN}\nVVTV_CONTROL_SECRET='{SECRET}'\n")
    env_file.chmod(0o600)
    where = {"root": str(station.root), "api_url": station.url, "src": str(better)}
    by_file = {**where, "control_env_file": str(env_file), "reload": "always"}
    said = said_with_vvv("owner_card", {**where, **KNOWN}, tmp_path, keep_files=False)
    said += said_with_vvv("owner_card", by_file, tmp_path, keep_files=True)
    assert in_force(station) == sha256sum(better)
    assert [secret for secret in (TOKEN, SECRET) if secret in said] == []
    assert files_with({TOKEN, SECRET}, station.root, tmp_path / "ansible") == []
