# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action soak_info: waiting for soaks of several hosts, progress, lost connections, ends of waiting."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import CHECKOUT, USUAL_PYTHON, Play
from tests.integration.modules.soaking import ROLLOUT, lines, samplers, until
from tests.simulator import fleet

# A connection to this machine that is lost as long as a file is there.
_FLAKY = '''
DOCUMENTATION = """
name: flaky
short_description: a connection that can be lost
description: a connection that can be lost
author: us
version_added: historical
extends_documentation_fragment: [connection_pipelining]
"""
import os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    transport = "flaky"

    def exec_command(self, *args, **kwargs):
        if os.path.exists(os.environ["LOST"]):
            with open(os.environ["LOST"] + ".asked", "a") as told:
                told.write("x")
            raise AnsibleConnectionFailure("the line is dead")
        return super().exec_command(*args, **kwargs)
'''


@dataclass(frozen=True)
class Stage:
    """Nodes by their names, and where their playbook is."""

    nodes: dict[str, fleet.Node]
    place: Path

    @property
    def lost(self) -> Path:
        return self.place / "lost"

    @property
    def stop_file(self) -> Path:
        return self.place / "stop"

    def write(self, hours: float, **wait: Any) -> list[str]:
        """Write a playbook that starts a soak and waits for it; return the command that runs it."""
        shared = {"root": "{{ root }}", "rollout": ROLLOUT}
        start = {**shared, "api_url": "{{ url }}", "hours": hours, "interval": 0.5, "min_coverage": 0.5}
        told = "RESULT {{ inventory_hostname }} {{ {'soak': seen.soak, 'verdict': seen.verdict} | to_json }}"
        tasks = [
            {"vvtv.runbook.soak": start},
            {"vvtv.runbook.soak_info": {**shared, "wait": True, "poll": 0.5, **wait}, "register": "seen"},
            {"ansible.builtin.debug": {"msg": told}},
        ]
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
        (self.place / "book.yml").write_text(json.dumps([play]))
        hosts = {name: {"root": str(node.root), "url": node.url} for name, node in self.nodes.items()}
        shared_vars = {"ansible_connection": "flaky", "ansible_python_interpreter": USUAL_PYTHON}
        inventory = {"all": {"hosts": hosts, "vars": shared_vars}}
        (self.place / "hosts.json").write_text(json.dumps(inventory))
        plugins = self.place / "connection_plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "flaky.py").write_text(_FLAKY)
        return ["ansible-playbook", "-i", "hosts.json", "book.yml"]

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build/collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "LOST": str(self.lost),
        }

    def start(self, hours: float, *options: str, **wait: Any) -> subprocess.Popen[str]:
        command = self.write(hours, **wait)
        return subprocess.Popen(
            [*command, *options],
            env=self.env(),
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, hours: float, *options: str, **wait: Any) -> Play:
        running = self.start(hours, *options, **wait)
        output, _none = running.communicate()
        return Play(running.returncode, output)


def shown(output: str, host: str) -> list[str]:
    """The progress of a host."""
    return re.findall(rf"^ +{host} +\[.*", output.replace("\r", ""), re.MULTILINE)


def result(output: str, host: str) -> dict[str, Any]:
    """What the play registered of a host."""
    found = re.search(rf'"msg": "RESULT {host} (.*)"$', output, re.MULTILINE)
    assert found, output
    told: dict[str, Any] = json.loads(json.loads(f'"{found[1]}"'))
    return told


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Two nodes."""
    with ExitStack() as running:
        nodes = {
            name: running.enter_context(fleet.start_node(tmp_path / name, size="256K"))
            for name in ("node1", "second")
        }
        yield Stage(nodes, tmp_path)
        for node in nodes.values():
            for pid in samplers(node):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.thorough
def test_it_waits_until_every_host_has_a_verdict(stage: Stage) -> None:
    done = stage.run(0.004)
    assert done.code == 0, done.output
    for host in stage.nodes:
        told = result(done.output, host)
        assert (told["verdict"]["result"], told["soak"]["waiting"]) == ("PASS", True), told
        seen = shown(done.output, host)
        assert len(seen) <= 2, "more than once a minute, and the last word"
        assert "[####################] 100%" in seen[-1]
        assert seen[-1].endswith("PASS")


@pytest.mark.thorough
def test_it_does_not_wait_in_check_mode_and_where_there_is_none(stage: Stage) -> None:
    done = stage.run(0.01, "--check")
    assert done.code == 0, done.output
    told = result(done.output, "node1")
    assert (told["soak"]["state"], told["verdict"]["result"]) == ("none", "INCONCLUSIVE")


@pytest.mark.thorough
def test_progress_is_live_on_a_terminal(stage: Stage) -> None:
    command = stage.write(0.5, stop_file=str(stage.stop_file))
    ours, theirs = pty.openpty()
    output: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                output.append(data)
        except OSError:  # the other side is closed
            return

    def seen(host: str) -> list[str]:
        return shown(b"".join(output).decode(errors="replace"), host)

    reader = threading.Thread(target=read)
    reader.start()
    with subprocess.Popen(
        command, env=stage.env(), cwd=stage.place, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        until(lambda: all(len(seen(host)) >= 3 for host in stage.nodes), 180)
        stage.stop_file.touch()
        assert running.wait(120) == 0, output
    reader.join(10)
    os.close(ours)
    for host in stage.nodes:
        assert re.search(r"buffer \d+ min +QA 0\.\d\d +fallback 0\.\d\d +ok$", seen(host)[1]), seen(host)
    assert len({line.index("[") for host in stage.nodes for line in seen(host)}) == 1


@pytest.mark.thorough
def test_silence_is_silence(stage: Stage) -> None:
    done = stage.run(0.0005, progress="none", limits={"min_coverage": 0})
    assert done.code == 0
    assert shown(done.output, "node1") == []


@pytest.mark.thorough
def test_one_failure_ends_the_wait_of_all(stage: Stage) -> None:
    running = stage.start(0.5, stop_file=str(stage.stop_file))
    until(lambda: all(lines(node) >= 3 for node in stage.nodes.values()), 120)
    stage.nodes["second"].faults(buffer=3)
    output, _none = running.communicate(timeout=180)
    assert running.returncode == 0, output
    sick, well = result(output, "second"), result(output, "node1")
    assert (sick["verdict"]["result"], sick["soak"]["waiting"], sick["soak"]["state"]) == (
        "FAIL",
        True,
        "ended",
    )
    assert (well["verdict"]["result"], well["soak"]["waiting"], well["soak"]["state"]) == (
        "INCONCLUSIVE",
        False,
        "running",
    )
    assert stage.stop_file.read_text().startswith("second: BUFFER_CRITICAL")
    assert samplers(stage.nodes["node1"]), "its soak goes on"


@pytest.mark.thorough
def test_waiting_has_an_end(stage: Stage) -> None:
    done = stage.run(0.5, wait_timeout=2)
    told = result(done.output, "node1")
    assert (told["soak"]["waiting"], told["soak"]["state"]) == (False, "running")


@pytest.mark.thorough
def test_a_lost_connection_is_waited_for(stage: Stage) -> None:
    running = stage.start(0.003, unreachable_grace=60)
    until(lambda: lines(stage.nodes["node1"]) >= 2, 120)
    asked = Path(f"{stage.lost}.asked")
    stage.lost.touch()
    until(lambda: asked.exists() and len(asked.read_text()) >= 4)
    stage.lost.unlink()
    output, _none = running.communicate(timeout=180)
    assert running.returncode == 0, output
    assert output.count("cannot be reached, asking again: the line is dead") == 2
    for host in stage.nodes:
        assert result(output, host)["verdict"]["result"] == "PASS"


@pytest.mark.thorough
def test_a_host_that_stays_away_is_unreachable_and_its_soak_goes_on(stage: Stage) -> None:
    running = stage.start(0.5, unreachable_grace=1)
    until(lambda: all(lines(node) >= 2 for node in stage.nodes.values()), 120)
    stage.lost.touch()
    output, _none = running.communicate(timeout=180)
    assert running.returncode == 4, output
    assert Play(4, output).count("node1", "unreachable") == 1
    have = lines(stage.nodes["node1"])
    until(lambda: lines(stage.nodes["node1"]) >= have + 2)


@pytest.mark.thorough
def test_a_sampler_that_dies_ends_the_wait(stage: Stage) -> None:
    running = stage.start(0.5)
    until(lambda: all(lines(node) >= 2 for node in stage.nodes.values()), 120)
    for node in stage.nodes.values():
        for pid in samplers(node):
            os.kill(pid, signal.SIGKILL)
    output, _none = running.communicate(timeout=180)
    told = result(output, "node1")
    assert (told["soak"]["state"], told["verdict"]["result"]) == ("died", "INCONCLUSIVE")
    assert "died" in shown(output, "node1")[-1]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("wait", "message"),
    [
        ({"poll": 0.1}, "poll must be"),
        ({"poll": "often"}, "poll"),
        ({"unreachable_grace": -1}, "unreachable_grace"),
        ({"progress": "loud"}, "progress"),
        ({"limits": {"min_sample": 1}}, "min_sample"),
        ({"thresholds": {"qa": 1}}, "thresholds"),
        ({"baselines": [{"host": "a", "observed": {"qa": 1}}]}, "entry 1"),
        ({"what": 1}, "what"),
    ],
)
def test_a_bad_option_is_named(stage: Stage, wait: dict[str, Any], message: str) -> None:
    done = stage.run(0.001, **wait)
    assert done.code == 2
    assert message in done.output
    assert "Traceback" not in done.output
