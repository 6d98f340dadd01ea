# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module rollback, judged by sqlite3, sha256sum, readlink and by what the simulated station runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import good, sha256sum, sqlite3
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.releasing import BETTER, NEW, OLD, ROLLOUT, WHOLE, Site, running
from tests.integration.stations import KNOWN, state_of


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def better(tmp_path: Path) -> Path:
    path = tmp_path / "better.yaml"
    path.write_text(BETTER)
    return path


def env_of(ours: Site) -> dict[str, str]:
    """What result.env says to the runbook's own tools."""
    return dict(line.split("=", 1) for line in ours.folder.result.read_text().splitlines())


def states(ours: Site) -> list[str]:
    """The states of the record, each once."""
    return list(dict.fromkeys(line["state"] for line in ours.record()))


def assert_back(ours: Site, result: dict[str, Any], card: str, plans: int) -> None:
    """The node is what it was: release, card, state, and somebody wrote down where the rest is."""
    assert (ours.link(), ours.runs()) == (f"releases/{OLD}", OLD)
    assert sha256sum(ours.station.owner_card) == ours.station.state.owner_card_sha256 == card
    told = result["rollback"]
    assert (told["release"], told["card_sha256"], told["healthy"]) == (OLD, card, True)
    lost = ours.root / "runtime/backups" / told["discarded"]["backup"] / "state.db"
    assert int(sqlite3(lost, "SELECT count(*) FROM plans")) > plans
    assert sqlite3(ours.station.state_db, WHOLE) == "1"
    assert result["record"] == {"state": "ROLLED_BACK"}
    assert (env_of(ours)["status"], env_of(ours)["rollback_applied"]) == ("FAIL_ROLLBACK_APPLIED", "1")
    assert not (ours.root / "runtime/runbook.restart.json").exists()


def backup_plans(ours: Site) -> int:
    """How many plans the rollout's backup has."""
    (made,) = (ours.root / "runtime/backups").glob("2*/state.db")
    return int(sqlite3(made, "SELECT count(*) FROM plans"))


def test_check_back_back_check(ours: Site, better: Path) -> None:
    card = sha256sum(ours.station.owner_card)
    ours.begin(better)
    plans = backup_plans(ours)
    ours.change(better)
    ours.station.wait_commits(20)
    assert (ours.runs(), ours.station.state.owner_card_sha256) == (NEW, sha256sum(better))
    written, pid = ours.folder.record.read_bytes(), ours.station.pid

    foretold = good(ours.back(check=True))
    assert (foretold["changed"], foretold["rollback"]) == (True, None)
    assert (ours.folder.record.read_bytes(), ours.station.pid, ours.link()) == (
        written,
        pid,
        f"releases/{NEW}",
    )
    assert any("vvtv.db" in action for action in foretold["actions"])

    done = good(ours.back())
    assert done["changed"]
    assert_back(ours, done, card, plans)
    assert done["rollback"]["reason"] == "a test"
    assert states(ours) == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]
    backup = next(path.parent.name for path in (ours.root / "runtime/backups").glob("2*/state.db"))
    assert done["rollback"]["backup"] == min(backup, done["rollback"]["backup"])
    assert done["rollback"]["discarded"]["since"] < done["rollback"]["discarded"]["until"]

    written, pid = ours.folder.record.read_bytes(), ours.station.pid
    for check in (False, True):
        again = good(ours.back(check=check))
        assert (again["changed"], again["actions"]) == (False, [])
        assert (again["rollback"], again["record"]) == (done["rollback"], done["record"])
        assert (ours.folder.record.read_bytes(), ours.station.pid) == (written, pid)


@pytest.mark.thorough
def test_on_the_oldest_python_of_a_node(ours: Site, better: Path) -> None:
    card = sha256sum(ours.station.owner_card)
    ours.begin(better)
    plans = backup_plans(ours)
    ours.change(better)
    ours.station.wait_commits(20)
    params = {"root": ours.root, "api_url": ours.station.url, "rollout": ROLLOUT, **KNOWN}
    assert on_a_node("rollback", check=True, **params)["changed"]
    assert_back(ours, on_a_node("rollback", **params), card, plans)
    assert not on_a_node("rollback", **params)["changed"]


def test_the_state_stays_when_the_rollout_said_so(ours: Site) -> None:
    ours.begin(policy="keep")
    ours.change()
    plans = ours.station.wait_commits(20) and ours.plans()
    done = good(ours.back())
    assert (done["rollback"]["backup"], done["rollback"]["discarded"]) == (None, None)
    assert ours.plans() >= plans
    assert (ours.runs(), done["record"]["state"]) == (OLD, "ROLLED_BACK")


def test_a_card_alone_is_read_again_without_a_restart(ours: Site, better: Path) -> None:
    card, pid = sha256sum(ours.station.owner_card), ours.station.pid
    ours.begin(better, release=None)
    ours.change(better, release=None)
    assert ours.station.state.owner_card_sha256 == sha256sum(better)
    done = good(ours.back())
    assert done["rollback"]["card_sha256"] == ours.station.state.owner_card_sha256 == card
    assert (ours.station.pid, ours.link()) == (pid, f"releases/{OLD}")
    kept = [sha256sum(path) for path in (ours.root / "config/owner_card.sample.history").glob("*.yaml")]
    assert sha256sum(better) in kept


def test_a_card_alone_without_a_token_needs_a_restart(ours: Site, better: Path) -> None:
    card, pid = sha256sum(ours.station.owner_card), ours.station.pid
    ours.begin(better, release=None)
    ours.change(better, release=None)
    done = good(ours.back(control_token=None, control_secret=None))
    assert ours.station.state.owner_card_sha256 == card
    assert ours.station.pid != pid
    assert any("can be given no command" in warning for warning in done["warnings"])


def test_where_nothing_was_changed_nothing_is_restored(ours: Site) -> None:
    pid = ours.station.pid
    ours.begin()
    ours.station.wait_commits(5)
    plans = ours.plans()
    done = good(ours.back())
    assert (done["rollback"]["backup"], done["rollback"]["discarded"]) == (None, None)
    assert ours.plans() >= plans
    assert (ours.station.pid, states(ours)) == (pid, ["IN_PROGRESS", "FAILED", "ROLLED_BACK"])


def test_the_first_release_of_a_node_is_taken_away_again(ours: Site) -> None:
    (ours.root / "current").unlink()
    ours.begin()
    ours.change()
    done = good(ours.back())
    assert (ours.link(), done["rollback"]["release"], ours.runs()) == (None, None, "")


@pytest.mark.parametrize("sickness", ["never_ready", "does_not_start", "crash", "api_hangs"])
def test_a_release_that_cannot_be_asked_any_more(ours: Site, sickness: str, tmp_path: Path) -> None:
    from tests.simulator import releases

    path = ours.archives / f"vvtv-{NEW}.tar.gz"
    if sickness in ("never_ready", "does_not_start"):
        getattr(releases, sickness)(path, NEW)
    else:
        releases.sick(path, NEW, sickness)
    ours.begin()
    good(ours.present(NEW))
    ours.current(NEW)  # may fail, as the station does
    assert ours.link() == f"releases/{NEW}"
    done = good(ours.back(api_timeout=1))
    assert (ours.link(), ours.runs(), done["rollback"]["healthy"]) == (f"releases/{OLD}", OLD, True)
    assert states(ours) == ["IN_PROGRESS", "FAILED", "ROLLED_BACK"]


def test_emergency_mode_outlives_the_restart(ours: Site) -> None:
    ours.begin()
    ours.change()
    good(ours.call("emergency_mode", state="on"))
    done = good(ours.back())
    assert (state_of(ours.station), done["rollback"]["emergency"], ours.runs()) == ("on", True, OLD)


def test_emergency_mode_without_a_token_is_an_operators_affair(ours: Site) -> None:
    ours.begin()
    ours.change()
    good(ours.call("emergency_mode", state="on"))
    result = ours.back(control_token=None, control_secret=None)
    assert result["error"]["code"] == "needs_operator"
    assert "cannot put emergency mode on again" in result["msg"]
    assert (ours.runs(), states(ours)[-1]) == (OLD, "NEEDS_OPERATOR")
    # The operator switched it on himself, or it is over: the next attempt does not ask for it.
    assert good(ours.back())["record"]["state"] == "ROLLED_BACK"


def test_a_node_that_does_not_get_well_needs_an_operator(ours: Site) -> None:
    ours.begin()
    ours.change()
    ours.station.faults(failing_domain="3@example.com")  # in the audit trail, and restored away
    good(ours.call("node_health", fail_on="never"))
    ours.station.faults(http_500="/metrics")  # the simulator's faults outlive a restart
    result = ours.back(wait_timeout=2)
    assert result["error"]["code"] == "needs_operator"
    assert "CONTROL_API_BAD_ANSWER" in result["msg"]
    assert (result["rollback"]["healthy"], result["record"]["state"]) == (False, "NEEDS_OPERATOR")
    assert env_of(ours)["status"] == "FAIL_ROLLBACK_SKIPPED"
    discarded = result["rollback"]["discarded"]
    ours.station.faults()
    pid, plans = ours.station.pid, ours.plans()
    done = good(ours.back())
    # What was restored is not restored once more: the station has worked since.
    assert (done["rollback"]["discarded"], ours.station.pid != pid, ours.plans() >= plans) == (
        discarded,
        True,
        True,
    )
    assert states(ours) == ["IN_PROGRESS", "FAILED", "NEEDS_OPERATOR", "ROLLED_BACK"]


def test_a_damaged_backup_does_not_keep_the_release_in_force(ours: Site) -> None:
    ours.begin()
    ours.change()
    (backup,) = (ours.root / "runtime/backups").glob("2*/state.db")
    data = bytearray(backup.read_bytes())
    data[5000:5100] = os.urandom(100)
    backup.write_bytes(data)
    assert ours.back(check=True)["error"]["code"] == "damaged"
    result = ours.back()
    assert result["error"]["code"] == "needs_operator"
    assert "cannot restore the former state" in result["msg"]
    assert (ours.link(), ours.runs()) == (f"releases/{OLD}", OLD)
    # The operator says that the state may stay.
    frozen = ours.folder.begun.read_text()
    ours.folder.begun.write_text(frozen.replace('"with_release"', '"keep"'))
    assert good(ours.back())["record"]["state"] == "ROLLED_BACK"


def test_a_former_release_that_is_gone_is_told_before_and_after(ours: Site) -> None:
    ours.begin()
    ours.change()
    shutil.rmtree(ours.root / "releases" / OLD)
    assert "former release is not there" in ours.back(check=True)["msg"]
    result = ours.back(wait_timeout=5)
    assert result["error"]["code"] == "needs_operator"
    assert (ours.link(), states(ours)[-1]) == (f"releases/{NEW}", "NEEDS_OPERATOR")


def test_a_damaged_database_is_restored_and_kept(ours: Site) -> None:
    ours.begin()
    ours.change()
    ours.station.faults(pipeline="frozen")
    data = bytearray(ours.station.state_db.read_bytes())
    data[100:4000] = os.urandom(3900)
    ours.station.state_db.write_bytes(data)
    ours.station.faults()
    done = good(ours.back())
    kept = done["rollback"]["discarded"]
    assert kept["backup"] is not None or Path(kept["path"], "vvtv.db").exists()
    assert sqlite3(ours.station.state_db, WHOLE) == "1"


@pytest.mark.parametrize("before", ["SOAKING", "PASSED", "PROMOTED", "HELD", "UNKNOWN"])
def test_from_every_state_that_can_go_back(ours: Site, before: str) -> None:
    ways = {"PROMOTED": ["SOAKING", "PASSED", "PROMOTED"], "PASSED": ["SOAKING", "PASSED"]}
    ours.begin()
    ours.change()
    for state in ways.get(before, ["SOAKING", before]):
        ours.note(state)
    done = good(ours.back())
    assert (done["record"]["state"], ours.runs(), states(ours)[-3:]) == (
        "ROLLED_BACK",
        OLD,
        [before, "FAILED", "ROLLED_BACK"],
    )


def test_a_rollout_that_never_began(ours: Site) -> None:
    result = ours.back()
    assert result["error"]["code"] == "not_found"
    assert "never began on this node" in result["msg"]
    assert ours.runs() == OLD


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"rollout": "../x"}, "no rollout id"),
        ({"reason": " "}, "needs a reason"),
        ({"wait_timeout": -1}, "wait_timeout must be"),
        ({"restart_timeout": 0}, "restart_seconds must be"),
    ],
)
def test_a_bad_option_is_named(ours: Site, params: dict[str, Any], words: str) -> None:
    ours.begin()
    before = ours.folder.record.read_bytes()
    result = ours.back(**params)
    assert (result["error"]["code"], words in result["msg"]) == ("bad_input", True), result["msg"]
    assert ours.folder.record.read_bytes() == before


def test_two_at_once_are_one(ours: Site) -> None:
    ours.begin()
    ours.change()
    with ThreadPoolExecutor() as pool:
        results = [one.result() for one in [pool.submit(ours.back, lock_timeout=60) for _number in range(2)]]
    assert sorted(good(result)["changed"] for result in results) == [False, True]
    assert results[0]["rollback"] == results[1]["rollback"]
    assert sum(line["state"] == "ROLLED_BACK" for line in ours.record()) == 1


def test_the_lease_is_given_back_and_another_ones_is_not(ours: Site) -> None:
    lease = ours.root / "runtime/runbook.rollout.json"
    other = '{"what": "20260201T000000Z", "holder": "x", "since": "2026-02-01T00:00:00Z", '
    other += '"expires_at": "2126-02-01T00:00:00Z", "broken": null}'
    ours.begin()
    lease.write_text(other)
    good(ours.back())
    assert lease.read_text() == other
    lease.write_text(other.replace("20260201T000000Z", ROLLOUT))
    # A run that was killed after ROLLED_BACK left it.
    assert good(ours.back())["actions"] == ["removed the lease of the node"]
    assert not lease.exists()


@pytest.mark.parametrize("how", ["owner", "mode"])
def test_root_runs_no_command_that_somebody_else_could_have_written(
    ours: Site, how: str, tmp_path: Path
) -> None:
    """The file that names the command lies in a folder of the station's user."""
    ours.begin()
    ours.change()
    sign = tmp_path / "run-by-root"
    frozen = json.loads(ours.folder.begun.read_text())
    frozen["restart"]["command"] = ["/bin/touch", str(sign)]
    ours.folder.begun.unlink()
    ours.folder.begun.write_text(json.dumps(frozen))
    if os.geteuid() != 0:  # only root has something to lose
        assert good(ours.back(check=True))["changed"]
        return
    if how == "owner":
        os.chown(ours.folder.begun, 65534, 65534)
    else:
        ours.folder.begun.chmod(0o666)
    for check in (True, False):
        result = ours.back(check=check)
        assert (result["error"]["code"], "root does not follow it" in result["msg"]) == ("unsafe", True)
    assert not sign.exists()
    assert (ours.runs(), states(ours)) == (NEW, ["IN_PROGRESS"])
