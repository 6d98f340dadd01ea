# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module release, judged by tar, readlink, sha256sum and by what the simulated station runs."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import good, module, sha256sum, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.releasing import NEW, OLD, Site, running, site
from tests.integration.stations import KNOWN, state_of


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        made.station.faults(pipeline="frozen")
        yield made


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as made:
        yield made


def files_of(ours: Site) -> dict[str, str]:
    """Every file of a node but the lock's."""
    return {name: said for name, said in tree(ours.root).items() if name != "runtime/runbook.lock"}


def shelf_of(ours: Site) -> dict[str, str]:
    """Every file of the releases; beside them the station writes."""
    return tree(ours.root / "releases")


def owed(ours: Site) -> bool:
    return (ours.root / "runtime/runbook.restart.json").exists()


def test_check_unpack_unpack_check(ours: Site, tmp_path: Path) -> None:
    before, archive = files_of(ours), ours.archive(OLD)
    foretold = good(ours.present(OLD, check=True))
    assert (foretold["changed"], len(foretold["actions"]), files_of(ours)) == (True, 1, before)

    done = good(ours.present(OLD))
    where = ours.root / "releases" / OLD
    assert (done["changed"], len(done["actions"])) == (True, 1)
    assert done["release"] == {
        "id": OLD,
        "sha256": sha256sum(archive),
        "path": str(where),
        "current": False,
        "previous": None,
        "restarted": False,
    }
    stock = tmp_path / "stock"
    stock.mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", stock, "--no-same-owner"], check=True)
    assert tree(where) == tree(stock)
    assert ours.link() is None

    after = files_of(ours)
    assert set(after) - set(before) == {f"releases/{OLD}.json", *(f"releases/{OLD}/{n}" for n in tree(stock))}
    for check in (False, True):
        again = good(ours.present(OLD, check=check))
        assert (again["changed"], again["actions"], again["release"]) == (False, [], done["release"])
        assert files_of(ours) == after


def test_check_current_current_check(runs: Site) -> None:
    good(runs.present(NEW))
    before = shelf_of(runs)
    pid = runs.station.pid
    foretold = good(runs.current(NEW, check=True))
    assert (foretold["changed"], len(foretold["actions"]), runs.link()) == (True, 2, f"releases/{OLD}")
    assert (foretold["release"]["restarted"], runs.station.pid) == (True, pid)

    done = good(runs.current(NEW))
    assert (done["changed"], len(done["actions"])) == (True, 2)
    assert (done["release"]["current"], done["release"]["previous"]) == (True, OLD)
    assert (
        done["diff"]
        == foretold["diff"]
        == [{"before": f"current release: {OLD}\n", "after": f"current release: {NEW}\n"}]
    )
    assert (runs.link(), runs.runs(), owed(runs)) == (f"releases/{NEW}", NEW, False)
    pid, after = runs.station.pid, set(shelf_of(runs))
    assert after == set(before)
    for check in (False, True):
        again = good(runs.current(NEW, check=check))
        assert (again["changed"], again["actions"]) == (False, [])
        assert again["release"] == {**done["release"], "restarted": False}
        assert (runs.station.pid, runs.link()) == (pid, f"releases/{NEW}")


def test_there_and_back(runs: Site) -> None:
    good(runs.present(NEW))
    for version, previous in ((NEW, OLD), (OLD, NEW), (NEW, OLD)):
        done = good(runs.current(version))
        assert (done["release"]["previous"], runs.runs()) == (previous, version)
        assert good(runs.current(version))["release"]["previous"] == previous


@pytest.mark.thorough
def test_on_the_oldest_python_of_a_node(ours: Site) -> None:
    params = {"root": ours.root, "api_url": ours.station.url, **KNOWN}
    archive = ours.archive(OLD)
    given = {**params, "id": OLD, "src": archive, "sha256": sha256sum(archive)}
    assert on_a_node("release", **given)["changed"]
    assert not on_a_node("release", **given)["changed"]
    now = {**params, "id": OLD, "state": "current", "restart": ours.restart}
    assert on_a_node("release", **now)["release"]["restarted"]
    assert (ours.runs(), on_a_node("release", **now)["changed"]) == (OLD, False)


@pytest.mark.parametrize("check", [False, True])
def test_another_archive_than_the_plans_is_refused(ours: Site, check: bool) -> None:
    before = files_of(ours)
    ours.archive(OLD).write_bytes(ours.archive(NEW).read_bytes())
    given = {"id": OLD, "src": ours.archive(OLD), "sha256": "0" * 64, "check": check}
    result = ours.call("release", **given)
    assert result["error"]["code"] == "damaged"
    assert "bring it there again" in result["msg"]
    assert files_of(ours) == before


def test_an_id_means_one_release_for_good(ours: Site) -> None:
    good(ours.present(OLD))
    before = files_of(ours)
    result = ours.call("release", id=OLD, src=ours.archive(NEW), sha256=sha256sum(ours.archive(NEW)))
    assert result["error"]["code"] == "bad_input"
    assert "give the new one another id" in result["msg"]
    assert files_of(ours) == before


def test_a_folder_that_somebody_put_there_by_hand_is_left_alone(ours: Site) -> None:
    (ours.root / "releases" / OLD).mkdir(parents=True)
    assert ours.present(OLD)["error"]["code"] == "unsafe"
    assert list((ours.root / "releases").iterdir()) == [ours.root / "releases" / OLD]


def test_a_release_that_was_changed_on_the_node_is_not_put_in_force(runs: Site) -> None:
    good(runs.present(NEW))
    changed = runs.root / "releases" / NEW / "bin/vvtv-station"
    changed.write_text(changed.read_text() + "# and more\n")
    for result in (runs.current(NEW), runs.present(NEW), runs.current(NEW, check=True)):
        assert result["error"]["code"] == "damaged"
        assert "somebody has changed the release" in result["msg"]
    assert (runs.link(), runs.runs(), owed(runs)) == (f"releases/{OLD}", OLD, False)
    # The one in force is only warned of: a station may write where it should not.
    (runs.root / "releases" / OLD / "cache").write_text("")
    again = good(runs.present(OLD))
    assert (again["changed"], len(again["warnings"])) == (False, 1)


def test_a_station_in_emergency_is_not_restarted(runs: Site) -> None:
    good(runs.present(NEW))
    good(runs.call("emergency_mode", state="on"))
    for check in (False, True):
        assert runs.current(NEW, check=check)["error"]["code"] == "emergency"
    assert (runs.link(), runs.runs(), state_of(runs.station)) == (f"releases/{OLD}", OLD, "on")
    # Where nothing is to be done there is nothing to refuse.
    assert not good(runs.current(OLD))["changed"]


def test_nobody_who_answers_is_no_leave_to_go_on(runs: Site) -> None:
    good(runs.present(NEW))
    runs.station.faults(http_500="/v1/status")
    assert runs.current(NEW)["error"]["code"] == "api"
    assert (runs.link(), owed(runs)) == (f"releases/{OLD}", False)


def test_a_restart_that_fails_stays_owed(runs: Site) -> None:
    good(runs.present(NEW))
    result = runs.current(NEW, restart={"command": ["/bin/sh", "-c", "echo no such unit; exit 5"]})
    assert result["error"]["code"] == "not_restarted"
    assert "no such unit" in result["msg"]
    assert (runs.link(), runs.runs(), owed(runs)) == (f"releases/{NEW}", OLD, True)
    slow = runs.current(NEW, restart={"command": ["/bin/sleep", "60"]}, restart_timeout=0.2)
    assert "not over after 0.2 s" in slow["msg"]
    foretold = good(runs.current(NEW, check=True))
    assert (foretold["changed"], runs.runs()) == (True, OLD)
    done = good(runs.current(NEW))
    assert done["actions"][-1].endswith("which a run that broke off still owes")
    assert (runs.runs(), owed(runs)) == (NEW, False)
    assert not good(runs.current(NEW))["changed"]


def test_without_a_way_to_restart_it_says_so(runs: Site) -> None:
    good(runs.present(NEW))
    done = good(runs.current(NEW, restart={}))
    assert (done["release"]["restarted"], len(done["warnings"]), runs.runs()) == (False, 1, OLD)
    assert not good(runs.current(NEW, restart={}))["changed"]


def test_older_releases_go_but_for_those_that_are_needed(runs: Site) -> None:
    runs.begin()  # names OLD and NEW, and is not settled
    for version in (NEW, "3", "4", "5", "6"):
        good(runs.present(version, keep=2))
    held = sorted(path.name for path in (runs.root / "releases").iterdir() if path.is_dir())
    assert held == [OLD, NEW, "5", "6"]
    runs.note("FAILED")
    runs.note("ROLLED_BACK")
    good(runs.current("5"))  # OLD is the one before now
    foretold = good(runs.present("7", keep=2, check=True))
    done = good(runs.present("7", keep=2))
    assert len(foretold["actions"]) == len(done["actions"]) == 2
    held = sorted(path.name for path in (runs.root / "releases").iterdir() if path.is_dir())
    assert held == [OLD, "5", "6", "7"]
    assert sorted(path.stem for path in (runs.root / "releases").glob("*.json")) == held


def test_a_rollout_that_cannot_be_read_keeps_everything(runs: Site) -> None:
    runs.begin()
    runs.folder.begun.write_text("{")
    for version in (NEW, "3", "4"):
        done = good(runs.present(version, keep=1))
    assert "no release was removed" in done["warnings"][0]
    assert len([path for path in (runs.root / "releases").iterdir() if path.is_dir()]) == 4


def test_current_must_be_a_link_into_the_folder(ours: Site, tmp_path: Path) -> None:
    good(ours.present(OLD))
    (ours.root / "current").mkdir()
    assert ours.current(OLD)["error"]["code"] == "unsafe"
    (ours.root / "current").rmdir()
    (ours.root / "current").symlink_to(tmp_path)
    assert ours.current(OLD)["error"]["code"] == "damaged"
    assert os.readlink(ours.root / "current") == str(tmp_path)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"id": "../up"}, "no release id"),
        ({"id": ".hidden"}, "no release id"),
        ({"id": "x", "sha256": "z" * 64}, "must be a SHA-256"),
        ({"id": "x", "src": "here.tar"}, "must be an absolute path"),
        ({"id": "x", "keep": 0}, "keep must be 1 or more"),
        ({"id": "x", "restart": {"units": ["x.service"], "command": ["/bin/true"]}}, "not by both"),
        ({"id": "x", "restart": {"units": ["../x"]}}, "is no unit's name"),
        ({"id": "x", "restart": {"command": ["true"]}}, "absolute path"),
        ({"id": "x", "restart_timeout": 0}, "a restart may take"),
        ({"id": "x", "src": "/nowhere.tar"}, "No such file"),
    ],
)
def test_a_bad_option_is_named(tmp_path: Path, params: dict[str, object], words: str) -> None:
    given = {"sha256": "0" * 64, "src": "/x.tar", **params}
    result = module("release", root=tmp_path, **given)
    assert (result["failed"], words in result["msg"]) == (True, True), result["msg"]
    assert not (tmp_path / "releases").exists()


def test_a_release_needs_its_archive_and_its_digest(tmp_path: Path) -> None:
    assert "whose sha256 must be given" in module("release", root=tmp_path, id="x", src="/x.tar")["msg"]


def test_an_archive_with_a_bad_name_leaves_nothing(ours: Site, tmp_path: Path) -> None:
    before = files_of(ours)
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w") as archive:
        for name in ("fine", "../../escaped"):
            archive.addfile(tarfile.TarInfo(name))
    result = ours.call("release", id="bad", src=bad, sha256=sha256sum(bad))
    assert result["error"]["code"] == "damaged"
    assert "'../../escaped'" in result["msg"]
    assert files_of(ours) == before
    assert json.dumps(result).count("make the release again") >= 1


def test_what_root_makes_belongs_to_the_nodes_owner(runs: Site) -> None:
    if os.geteuid() == 0:
        os.chown(runs.root, 12345, 12345)
    owner = runs.root.stat().st_uid
    good(runs.present(NEW))
    good(runs.current(NEW))
    made = [runs.root / "current", runs.root / "releases" / f"{NEW}.json", runs.root / "releases" / NEW]
    made += (runs.root / "releases" / NEW).rglob("*")
    assert {path.lstat().st_uid for path in made} == {owner}
