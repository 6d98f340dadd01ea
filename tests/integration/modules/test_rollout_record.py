# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rollout's plan, record and gates, as playbooks use them: several hosts, forks, runs that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import good, module, tree
from tests.integration.modules.on_a_node import on_a_node
from tests.integration.modules.rollout_bastion import ID, LOST, Bastion

PASS = {"verdict": {"result": "PASS", "reasons": []}, "soak_sha256": "12" * 32}
WELL = {"healthy": True, "state": "RUNNING", "findings": []}


@pytest.fixture
def bastion(tmp_path: Path) -> Bastion:
    """A controller of three hosts, the first of them the canary."""
    return Bastion(tmp_path, ["a", "b", "c"])


def everything(bastion: Bastion) -> dict[str, str]:
    """Every file of the store and the nodes but the locks'."""
    found = {**tree(bastion.store), **tree(bastion.base / "nodes")}
    return {name: said for name, said in found.items() if not name.endswith((".lock", "lease.json"))}


def summarise(bastion: Bastion, host: str) -> None:
    """Write the soak's summary as a sampler does that this test has none of."""
    folder = bastion.node_folder(host) / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.txt").write_text("soak\nverdict=PASS\nsamples=60\n")


# --- four steps ---


def test_check_freeze_freeze_check(bastion: Bastion) -> None:
    foretold = good(bastion.play(bastion.plan(), check=True)["a"][0])
    assert (foretold["changed"], foretold["new"], bastion.store.exists()) == (True, True, False)
    done = good(bastion.play(bastion.plan())["a"][0])
    assert (done["changed"], done["new"]) == (True, True)
    said = json.loads((bastion.store / ID / "plan.json").read_text())
    assert said["candidate"]["release_sha256"] == bastion.digest
    assert (said["hosts"], said["waves"]) == (["a", "b", "c"], [["b", "c"]])
    before = everything(bastion)
    for check in (False, True):
        again = good(bastion.play(bastion.plan(), check=check)["a"][0])
        assert (again["changed"], again["new"], again["plan"]) == (False, False, done["plan"])
        assert everything(bastion) == before


def test_check_record_record_check(bastion: Bastion) -> None:
    bastion.play(bastion.plan())
    before = everything(bastion)
    for host, results in bastion.play(bastion.record("IN_PROGRESS"), check=True).items():
        foretold = good(results[0])
        assert (foretold["changed"], foretold["record"]["state"]) == (True, "IN_PROGRESS"), host
    assert everything(bastion) == before
    for host, results in bastion.play(bastion.record("IN_PROGRESS")).items():
        done = good(results[0])
        assert (done["changed"], done["record"]["state"], done["record"]["begun"]) == (
            True,
            "IN_PROGRESS",
            True,
        )
        assert bastion.states(host) == bastion.node_states(host) == ["IN_PROGRESS"]
        assert bastion.lines("hosts", f"{host}.jsonl")[0]["facts"]["release_sha256"] == bastion.digest
        kept = bastion.node_folder(host) / "before/owner_card.yaml"
        assert kept.read_text() == "a: former card\n"
        copy = (bastion.store / ID / "nodes" / f"{host}.jsonl").read_bytes()
        assert copy == (bastion.node_folder(host) / "record.jsonl").read_bytes()
    before = everything(bastion)
    for check in (False, True):
        for results in bastion.play(bastion.record("IN_PROGRESS"), bastion.record(), check=check).values():
            for again in results:
                assert (good(again)["changed"], again["actions"]) == (False, [])
        assert everything(bastion) == before


def test_check_close_close_check(bastion: Bastion) -> None:
    bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"))
    before = everything(bastion)
    foretold = good(bastion.play(bastion.close(["a"]), check=True)["a"][0])
    assert (foretold["changed"], everything(bastion)) == (True, before)
    done = good(bastion.play(bastion.close(["a"]))["a"][0])
    assert [row["state"] for row in done["rollout"]["hosts"]] == ["IN_PROGRESS", "UNKNOWN", "UNKNOWN"]
    assert (done["rollout"]["state"], done["rollout"]["ok"]) == ("failed", False)
    before = everything(bastion)
    for check in (False, True):
        again, told = bastion.play(bastion.close(["a"]), bastion.info(), check=check)["a"]
        assert (good(again)["changed"], everything(bastion)) == (False, before)
        assert good(told)["rollout"]["hosts"] == again["rollout"]["hosts"]


@pytest.mark.thorough
def test_on_the_oldest_python_of_a_node(bastion: Bastion) -> None:
    candidate = {"release_id": "vvtv-1.4.0", "release_sha256": bastion.digest}
    params: dict[str, Any] = {"root": bastion.root("a"), "rollout": ID, "candidate": candidate}
    assert on_a_node("rollout_record", check=True, state="IN_PROGRESS", **params)["changed"]
    assert on_a_node("rollout_record", state="IN_PROGRESS", **params)["changed"]
    assert not on_a_node("rollout_record", state="IN_PROGRESS", **params)["changed"]
    assert bastion.node_states("a") == ["IN_PROGRESS"]
    assert not bastion.store.exists()


# --- a whole rollout ---


def test_a_rollout_checks_its_gates_from_the_canary_to_the_last_wave(bastion: Bastion) -> None:
    canary = "inventory_hostname == 'a'"
    found = bastion.play(
        bastion.plan(),
        {**bastion.gate(), "when": canary},
        {**bastion.record("IN_PROGRESS"), "when": canary},
        {**bastion.record("SOAKING"), "when": canary},
    )["a"]
    assert found[1]["gate"]["proceed"] is True
    summarise(bastion, "a")
    wave = "inventory_hostname != 'a'"
    found = bastion.play(
        bastion.plan(state="existing"),
        {**bastion.gate(), "when": wave},
        {**bastion.record("PASSED", facts=PASS), "when": canary},
        {**bastion.gate(gate="promotion", health={"a": WELL}), "run_once": True},
        {**bastion.record("PROMOTED", alerts=0), "when": canary},
        {**bastion.gate(), "when": wave},
        {**bastion.record("IN_PROGRESS"), "when": wave},
        {**bastion.record("SOAKING"), "when": wave},
        {**bastion.record("PASSED", facts=PASS), "when": wave},
        {**bastion.record("PROMOTED"), "when": wave},
        bastion.close(["a", "b", "c"], playbook="wave"),
    )
    assert [reason["code"] for reason in found["b"][1]["gate"]["reasons"]] == ["bad_host", "not_promoted"]
    assert found["b"][1]["error"]["code"] == "gate_closed"
    assert bastion.states("a") == ["IN_PROGRESS", "SOAKING", "UNKNOWN", "PASSED", "PROMOTED"]
    assert found["a"][3]["promotion"]["status"] == "PROMOTED"
    assert [line["status"] for line in bastion.lines("promotions.jsonl")] == ["PROMOTED"]
    for host in "abc":
        env = (bastion.node_folder(host) / "result.env").read_text()
        assert "status=PASS\n" in env
        assert "promotion_status=PROMOTED\n" in env
        assert (bastion.store / ID / "evidence" / host / "result.env").read_text() == env
        assert not (bastion.root(host) / "runtime/runbook.rollout.json").exists()
    assert (found["a"][10]["rollout"]["state"], found["a"][10]["rollout"]["ok"]) == ("done", True)
    assert not (bastion.store / ID / "lease.json").exists()


def test_a_promotion_checks_its_evidence(bastion: Bastion) -> None:
    canary = "inventory_hostname == 'a'"
    steps = [("IN_PROGRESS", {}), ("SOAKING", {}), ("PASSED", {"facts": PASS})]
    bastion.play(
        bastion.plan(), *({**bastion.record(state, **more), "when": canary} for state, more in steps)
    )
    summarise(bastion, "a")
    bastion.play({**bastion.record(), "when": canary})
    path = bastion.store / ID / "evidence/a/result.env"
    path.write_text(path.read_text().replace("PASS", "PASS "))
    ask = {**bastion.gate(gate="promotion", health={"a": WELL}, strict=False), "run_once": True}
    told = good(bastion.play(bastion.plan(), ask)["a"][1])
    assert told["gate"]["proceed"] is False
    assert told["promotion"]["status"] == "BLOCKED"
    assert {reason["code"] for reason in told["gate"]["reasons"]} == {"evidence_changed", "not_pass"}
    assert [line["status"] for line in bastion.lines("promotions.jsonl")] == ["BLOCKED"]


@pytest.mark.thorough
def test_many_hosts_at_once(tmp_path: Path) -> None:
    bastion = Bastion(tmp_path, [f"h{number}" for number in range(12)])
    found = bastion.play(
        bastion.plan(canaries=[f"h{number}" for number in range(12)]),
        bastion.gate(),
        bastion.record("IN_PROGRESS"),
        bastion.record("FAILED", facts={"reason": "x"}),
        bastion.gate(),
        bastion.close([f"h{number}" for number in range(12)]),
    )
    for host, results in found.items():
        assert good(results[1])["gate"]["proceed"] is True
        assert bastion.states(host) == bastion.node_states(host) == ["IN_PROGRESS", "FAILED"]
        assert len(results[4]["gate"]["reasons"]) == 11
    assert found["h0"][5]["rollout"]["state"] == "failed"


# --- what goes wrong ---


@pytest.mark.thorough
def test_a_host_that_cannot_be_reached_is_in_the_store_and_is_planned_again(bastion: Bastion) -> None:
    bastion.variables["b"] = LOST
    found = bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"), bastion.close(["a", "c"]))
    assert "UNREACHABLE" in bastion.said
    assert (bastion.states("b"), bastion.node_states("b")) == (["IN_PROGRESS", "UNKNOWN"], [])
    assert [row["state"] for row in found["a"][2]["rollout"]["hosts"]] == [
        "IN_PROGRESS",
        "UNKNOWN",
        "IN_PROGRESS",
    ]
    assert "vvtv.runbook.reconcile" in found["a"][2]["rollout"]["next"]
    del bastion.variables["b"]
    told = good(bastion.play(bastion.record())["b"][0])
    assert (told["record"]["state"], told["record"]["begun"]) == ("PLANNED", False)


@pytest.mark.thorough
def test_good_news_of_a_host_that_cannot_be_told_are_not_in_the_store(bastion: Bastion) -> None:
    bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"), bastion.record("SOAKING"))
    bastion.variables["b"] = LOST
    bastion.play(bastion.plan(), bastion.record("PASSED", facts=PASS))
    assert bastion.states("b") == ["IN_PROGRESS", "SOAKING"]
    bastion.play(bastion.plan(), bastion.record("FAILED", facts={"reason": "x"}))
    assert bastion.states("b")[-1] == "FAILED"


@pytest.mark.thorough
def test_the_store_learns_what_a_node_did_alone(bastion: Bastion) -> None:
    bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"), bastion.record("SOAKING"))
    alone: dict[str, Any] = {"root": bastion.root("a"), "rollout": ID, "facts": {"reason": "guard"}}
    for state in ("FAILED", "ROLLED_BACK"):
        good(module("rollout_record", state=state, **alone))
    found = bastion.play(bastion.plan(), bastion.record("PASSED", facts=PASS), bastion.record())["a"]
    assert (found[1]["error"]["code"], found[1]["record"]["state"]) == ("out_of_turn", "ROLLED_BACK")
    assert bastion.states("a") == ["IN_PROGRESS", "SOAKING", "FAILED", "ROLLED_BACK"]
    assert (found[2]["record"]["state"], found[2]["record"]["reason"]) == ("ROLLED_BACK", "guard")
    evidence = bastion.store / ID / "evidence/a/result.env"
    assert "status=FAIL_ROLLBACK_APPLIED\n" in evidence.read_text()


@pytest.mark.thorough
def test_a_lost_store_learns_everything_again(bastion: Bastion) -> None:
    bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"), bastion.record("SOAKING"))
    subprocess.run(["rm", "-r", str(bastion.store)], check=True)
    for host, results in bastion.play(bastion.plan(), bastion.record()).items():
        assert good(results[1])["record"]["state"] == "SOAKING"
        assert bastion.states(host) == ["IN_PROGRESS", "SOAKING"]


@pytest.mark.thorough
def test_a_node_that_lost_its_disk_is_unknown(bastion: Bastion) -> None:
    bastion.play(bastion.plan(), bastion.record("IN_PROGRESS"), bastion.record("SOAKING"))
    subprocess.run(["rm", "-r", str(bastion.root("a") / "runtime")], check=True)
    told = good(bastion.play(bastion.record())["a"][0])
    assert (told["record"]["state"], told["record"]["begun"]) == ("UNKNOWN", False)
    assert "has lost its record" in str(told["warnings"])


@pytest.mark.thorough
def test_a_limit_that_contradicts_the_plan_is_refused(tmp_path: Path) -> None:
    bastion = Bastion(tmp_path, ["a", "b", "c"])
    found = bastion.play(bastion.plan(canaries=["a", "b"]), bastion.gate(), limit="a")["a"]
    assert "the play's hosts contradict the plan, which also has b" in found[1]["msg"]


@pytest.mark.thorough
def test_another_plan_is_refused_with_every_difference(bastion: Bastion) -> None:
    bastion.play(bastion.plan())
    bastion.archive.write_bytes(b"another release")
    before = everything(bastion)
    refused = bastion.play(bastion.plan(hosts=["a", "b"], settings={"soak_hours": 2}))["a"][0]
    assert refused["error"]["code"] == "plan_differs"
    assert len(refused["error"]["differences"]) == 3
    assert "the artifact changed after the plan" in refused["msg"]
    assert everything(bastion) == before


def test_a_run_checks_that_no_other_one_is_alive(bastion: Bastion) -> None:
    argv = ["sh", "-c", "touch holds; exec cat fifo"]
    hold = {"ansible.builtin.command": {"argv": argv, "chdir": str(bastion.base)}}
    os.mkfifo(bastion.base / "fifo")
    first = bastion.start(bastion.plan(), {**hold, "run_once": True})
    assert first.stdout
    try:
        while not (bastion.base / "holds").exists():
            assert first.poll() is None, first.stdout.read()
        found = bastion.play(
            bastion.plan(), bastion.record("IN_PROGRESS"), bastion.record(), bastion.close([])
        )["a"]
        assert [result.get("error", {}).get("code") for result in found] == ["busy", "busy", None, None]
        assert "has it until" in found[0]["msg"]
        assert "goes on with it" in str(found[3]["warnings"])
        assert bastion.node_states("a") == []
        taken = bastion.play(bastion.plan(break_glass="it hangs"))["a"][0]
        assert "took the rollout from another run: it hangs" in good(taken)["actions"]
    finally:
        os.kill(first.pid, signal.SIGKILL)
        (bastion.base / "fifo").open("w").close()
        first.wait()
        first.stdout.close()
    assert good(bastion.play(bastion.plan(), bastion.gate())["a"][1])["gate"]["proceed"] is True


@pytest.mark.thorough
def test_runs_that_are_killed_at_any_moment_are_gone_on_with(bastion: Bastion) -> None:
    turn = [bastion.record(), bastion.record("IN_PROGRESS"), bastion.record("SOAKING")]
    tasks = [bastion.plan(), *turn, bastion.record("PASSED", facts=PASS)]
    chance = random.Random(5)  # noqa: S311
    for _turn in range(6):
        with bastion.start(*tasks) as running:
            time.sleep(chance.uniform(1.5, 6))
            running.kill()
            # Its workers outlive it for a task, as they do in life: nobody waits for them.
            assert running.stdout
            running.stdout.close()
    found = bastion.play(*tasks, bastion.gate(host="a"), bastion.close(["a", "b", "c"]))
    assert good(found["a"][5])["gate"]["proceed"] is True
    for host in "abc":
        assert bastion.node_states(host) == ["IN_PROGRESS", "SOAKING", "PASSED"]
        assert bastion.states(host)[-1] == "PASSED"
        numbers = [line["n"] for line in bastion.lines("hosts", f"{host}.jsonl")]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.thorough
def test_a_stopped_line_stops_everybody(bastion: Bastion) -> None:
    bastion.store.mkdir()
    (bastion.store / "STOP").write_text("prime time\n")
    for results in bastion.play(bastion.plan(), bastion.gate(host="a")).values():
        assert "the line is stopped" in results[1]["msg"]
        assert "prime time" in results[1]["msg"]


@pytest.mark.thorough
def test_bad_options_are_said_and_make_nothing(bastion: Bastion) -> None:
    of = {"record_dir": "/store", "rollout": ID}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"rollout_plan": {"record_dir": "store"}}, "record_dir must be an absolute path"),
        ({"rollout_plan": {"record_dir": "/store", "rollout": "../x"}}, "is no rollout id"),
        ({"rollout_plan": {"record_dir": "/store", "rollout": ""}}, "a new one needs hosts"),
        ({"rollout_plan": {"record_dir": "/store", "nonsense": 1}}, "Unsupported parameters for"),
        ({"rollout_gate": {"rollout": ID}}, "missing required arguments: play_hosts, record_dir"),
        ({"rollout_gate": {**of, "play_hosts": [], "budget": -1}}, "budget must be 0 or more"),
        ({"rollout_gate": {**of, "play_hosts": []}}, "has no plan of rollout"),
        ({"rollout_close": {**of, "answered": []}}, "has no plan of rollout"),
        ({"rollout_info": of}, "has no plan of rollout"),
        ({"rollout_record": {**of, "root": "/", "rollout": "x"}}, "is no rollout id"),
        ({"rollout_record": {"root": "/", "rollout": ID, "state": "DONE"}}, "value of state must be one of"),
        ({"rollout_record": {**of, "root": "/nowhere"}}, "the node's root is no folder"),
    ]
    bastion.hosts = ["a"]
    found = bastion.play(*(task for task, _message in bad))["a"]
    for (task, message), refused in zip(bad, found):
        assert refused["failed"], task
        assert message in refused["msg"]
    assert not Path("/store").exists()
    assert not bastion.node_folder("a").exists()
