# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record store: plans, leases of runs that live or are dead, copies of the nodes' records, evidence."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import times
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Busy,
    Damaged,
    NotFound,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout import plan, record, runs, store
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store
from tests.unit.core.rollout.bases import (
    ID,
    OTHER_ID,
    dead_run,
    here,
    lead,
    lead_node,
    make_folder,
    make_plan,
    make_store,
)


def stranger() -> Run:
    """A run that is alive and is not this one."""
    return Run.of(os.getppid())


def test_a_plan_is_kept_for_those_who_run_it(tmp_path: Path) -> None:
    at = Store.of(tmp_path / "store", ID)
    assert at.find_plan() is None
    with pytest.raises(NotFound, match=f"no plan of rollout {ID}; check record_dir"):
        at.require_plan()
    assert not (tmp_path / "store").exists(), "looking makes nothing"
    made = make_store(tmp_path / "store")
    assert made.require_plan().hosts == make_plan().hosts
    assert store.rollouts(tmp_path / "store") == (ID,)
    assert store.rollouts(tmp_path / "none") == ()
    lead(made, "a", "PASSED")
    made.keep_evidence("a", {"result.env": b"x", "soak/summary.txt": b"y", "other": b"z"})
    modes = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {mode for path, mode in modes.items() if (tmp_path / path).is_dir()} == {0o750}
    assert not any(mode & 0o022 for mode in modes.values())
    assert made.evidence("a") == {"result.env": b"x", "soak/summary.txt": b"y"}


def test_the_plan_of_another_rollout_is_not_taken_for_this_one(tmp_path: Path) -> None:
    made = make_store(tmp_path)
    made.plan_file.write_bytes(plan.to_bytes(make_plan(rollout=OTHER_ID)))
    with pytest.raises(Damaged, match="is the plan of rollout"):
        made.find_plan()


def test_a_store_and_its_hosts_have_sound_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="record_dir must be an absolute path"):
        Store.of("store", ID)
    with pytest.raises(BadInput, match="is no rollout id"):
        Store.of(tmp_path, "../up")
    at = Store.of(tmp_path, ID)
    for path in (at.host_file, at.node_file, at.evidence_dir):
        with pytest.raises(BadInput, match="cannot be a host"):
            path("../../etc/passwd")


# --- the lease ---


def test_one_live_run_has_the_rollout(tmp_path: Path) -> None:
    at = make_store(tmp_path)
    assert at.keep_lease(here(), 3600)
    assert not at.keep_lease(stranger(), 3600)
    with at.lock(), pytest.raises(Busy, match="has it until"):
        at.take_lease(stranger(), 3600)
    other = at.other_run(stranger())
    assert other is not None
    assert other.holder == here().holder
    assert at.other_run(here()) is None
    assert not at.give_lease_back(stranger())
    assert at.give_lease_back(here())
    with at.lock():
        assert at.take_lease(stranger(), 3600).broken is None


def test_it_can_be_taken_with_a_reason(tmp_path: Path) -> None:
    at = make_store(tmp_path)
    with at.lock():
        assert at.take_lease(stranger(), 3600, "the other one hangs").broken == "the other one hangs"
    assert not at.keep_lease(here(), 3600)


def test_a_dead_run_of_this_machine_has_nothing(tmp_path: Path) -> None:
    at, gone = make_store(tmp_path), dead_run()
    at.give_lease_back(here())
    with at.lock():
        at.take_lease(gone, 3600)
    assert at.other_run(here()) is None
    with at.lock():
        assert at.take_lease(here(), 3600).holder == here().holder
    with at.lock():
        at.take_lease(gone, 3600, "again")
    assert at.give_lease_back(here()), "what is dead gives back what it had"


def test_a_lease_is_prolonged_when_half_of_it_is_over_and_never_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = make_store(tmp_path)
    with at.lock():
        first = at.take_lease(here(), 3600)
    before = at.lease_file.read_bytes()
    assert at.keep_lease(here(), 60)
    assert at.lease_file.read_bytes() == before
    later = first.expires_at - (first.expires_at - first.since) / 4
    monkeypatch.setattr(times, "now", lambda: later)
    assert at.keep_lease(here(), 3600)
    assert at.lease_file.read_bytes() != before
    monkeypatch.setattr(times, "now", lambda: first.expires_at + (first.expires_at - first.since) * 2)
    assert not at.keep_lease(here(), 3600), "one that is over is nobody's"


def test_whether_a_run_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, gone = here(), dead_run()
    assert not runs.dead(mine.holder)
    assert runs.dead(gone.holder)
    reborn = Run(mine.who, mine.space, mine.pid, "1")
    assert runs.dead(reborn.holder), "a pid comes again"
    for elsewhere in (
        Run("root@another", gone.space, gone.pid, gone.started),
        Run(gone.who, "pid:[1]", gone.pid, gone.started),
    ):
        assert not runs.dead(elsewhere.holder), "nobody can tell from here"
    assert runs.dead(Run("somebody else@" + gone.who.rpartition("@")[2], gone.space, gone.pid, "").holder)
    for text in ("", "root@here", "root@here pid x (a b)", "a b c d e", f"{gone.who} pid {'9' * 40} (- -)"):
        assert runs.dead(text) in (False, runs.dead(text))


def test_two_runs_at_once_one_gets_it(tmp_path: Path) -> None:
    at = make_store(tmp_path)
    at.give_lease_back(here())
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import Busy\n"
        "from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.runs import Run\n"
        "from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.store import Store\n"
        "at = Store.of(sys.argv[1], sys.argv[2])\n"
        "try:\n"
        "    with at.lock():\n"
        "        at.take_lease(Run.of(os.getpid()), 60)\n"
        "    print('got it', flush=True)\n"
        "except Busy:\n"
        "    print('refused', flush=True)\n"
        "sys.stdin.read()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path), ID]
    together = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        for _number in range(3)
    ]
    said = [process.stdout.readline() for process in together if process.stdout]
    for process in together:
        process.communicate()
    assert sorted(said) == ["got it\n", "refused\n", "refused\n"]


def test_many_forks_write_one_store(tmp_path: Path) -> None:
    at = make_store(tmp_path, make_plan([f"h{number}" for number in range(20)], waves=["100%"]))

    def turn(host: str) -> None:
        for number in range(5):
            at.append(host, "IN_PROGRESS", {"number": number})
            assert at.keep_lease(here(), 3600)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, [*at.require_plan().hosts, *at.require_plan().hosts]))
    for host in at.require_plan().hosts:
        found = at.entries(host)
        assert [entry.number for entry in found] == list(range(1, len(found) + 1))
        assert {entry.facts["number"] for entry in found} == set(range(5))


# --- the rest ---


def test_the_line_can_be_stopped_here_or_for_all(tmp_path: Path) -> None:
    at = make_store(tmp_path)
    assert at.stopped() is None
    (tmp_path / "STOP").write_text("the plant is on fire\nreally\n")
    assert at.stopped() == f"{tmp_path}/STOP: the plant is on fire really"
    (at.path / "STOP").touch()
    assert at.stopped() == f"{at.path}/STOP: no reason given"
    (at.path / "STOP").unlink()
    (tmp_path / "STOP").unlink()
    (at.path / "STOP").symlink_to("/nowhere")
    assert at.stopped() is not None, "whatever it is, it is there"


def test_a_copy_of_a_nodes_record_is_the_same_file(tmp_path: Path) -> None:
    at, folder = make_store(tmp_path / "store"), make_folder(tmp_path / "node")
    lead_node(folder, "PASSED", {"a": 1})
    entries = record.read(folder.record)
    assert at.keep_mirror("a", entries)
    assert not at.keep_mirror("a", entries)
    assert at.mirror("a") == entries
    assert at.node_file("a").read_bytes() == folder.record.read_bytes()
    aside = at.put_mirror_aside("a")
    assert (at.mirror("a"), aside.read_bytes()) == ((), folder.record.read_bytes())


def test_evidence_is_bounded_and_no_link(tmp_path: Path) -> None:
    at = make_store(tmp_path)
    at.keep_evidence("a", {"result.env": b"x"})
    assert not at.keep_evidence("a", {"result.env": b"x"})
    assert at.keep_evidence("a", {"result.env": b"y"})
    path = at.evidence_dir("a") / "result.env"
    path.write_bytes(b"x" * (store.MAX_EVIDENCE + 1))
    with pytest.raises(Damaged, match="larger than"):
        at.evidence("a")
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(Damaged, match="symbolic link"):
        at.evidence("a")
