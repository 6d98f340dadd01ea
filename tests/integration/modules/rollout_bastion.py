# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks made of tasks, run against hosts that are folders here; what each task came to comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.helpers import CHECKOUT

ID = "20260131T235959Z"
NODE_PYTHON = os.environ.get("VVTV_TEST_NODE_PYTHON", sys.executable)
# A host that refuses to be reached, at once.
LOST = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

Task = dict[str, Any]


@dataclass
class Bastion:
    """A controller: its store, an archive to roll out, and the nodes' folders, all below ``base``."""

    base: Path
    hosts: list[str]
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make it."""
        for host in self.hosts:
            (self.root(host) / "config").mkdir(parents=True)
            (self.root(host) / "config/owner_card.sample.yaml").write_text("a: former card\n")
        self.archive.write_bytes(b"a release")

    @property
    def store(self) -> Path:
        """The store of records."""
        return self.base / "store"

    @property
    def archive(self) -> Path:
        """The release's archive."""
        return self.base / "vvtv-1.4.0.tar.gz"

    def root(self, host: str) -> Path:
        """The folder of a node."""
        return self.base / "nodes" / host

    def node_folder(self, host: str) -> Path:
        """Where a node keeps what it knows of the rollout."""
        return self.root(host) / "runtime/canary" / ID

    # --- tasks ---

    def plan(self, **more: Any) -> Task:
        """Freeze the plan; its first host is the canary."""
        given = {
            "hosts": self.hosts,
            "canaries": self.hosts[:1],
            "waves": ["100%"],
            "release": str(self.archive),
            "settings": {"soak_hours": 1.0},
        }
        return {"rollout_plan": {**self._which(), **given, **more}, "run_once": True}

    def gate(self, **more: Any) -> Task:
        """Ask whether it is the host's turn."""
        return {"rollout_gate": {**self._which(), "play_hosts": "{{ ansible_play_hosts_all }}", **more}}

    def record(self, state: str | None = None, **more: Any) -> Task:
        """Note a state, or read it."""
        given = {**self._which(), "root": "{{ root }}", **more}
        if state is not None:
            given["state"] = state
        if state == "IN_PROGRESS":
            given.setdefault("candidate", {"release_id": "vvtv-1.4.0", "release_sha256": self.digest})
        return {"rollout_record": given}

    def close(self, answered: list[str] | None = None, **more: Any) -> Task:
        """End the run."""
        return {"rollout_close": {**self._which(), "answered": answered or [], **more}, "run_once": True}

    def info(self) -> Task:
        """Tell what it has come to."""
        return {"rollout_info": self._which(), "run_once": True}

    def _which(self) -> dict[str, Any]:
        return {"record_dir": str(self.store), "rollout": ID}

    @property
    def digest(self) -> str:
        """The archive's SHA-256, by coreutils."""
        done = subprocess.run(["sha256sum", self.archive], capture_output=True, text=True, check=True)
        return done.stdout.split()[0]

    # --- running them ---

    def play(self, *tasks: Task, check: bool = False, limit: str | None = None) -> dict[str, list[Any]]:
        """Run tasks one after the other; return what they came to, by host. A failure does not end it.

        A host that cannot be reached has what came before that.
        """
        with self.start(*tasks, check=check, limit=limit) as running:
            said, _none = running.communicate()
        found: dict[str, list[Any]] = {host: [] for host in self.hosts}
        for line in self._results.read_text().splitlines():
            host, task, result = json.loads(line)
            for one in self.hosts if tasks[int(task)].get("run_once") else [host]:
                found[one] += [None] * (int(task) - len(found[one])) + [result]
        assert any(found.values()) or "UNREACHABLE" in said, said
        assert "Traceback" not in said, said
        self.said = said
        return found

    @property
    def _results(self) -> Path:
        return self.base / "results.jsonl"

    def start(self, *tasks: Task, check: bool = False, limit: str | None = None) -> subprocess.Popen[str]:
        """Begin to run tasks."""
        self._results.write_text("")
        named = []
        for number, task in enumerate(tasks):
            ((name, given), *more) = task.items()
            full = name if "." in name else f"vvtv.runbook.{name}"
            named.append({"name": str(number), full: given, **dict(more), "ignore_errors": True})
        (self.base / "book.yml").write_text(
            json.dumps([{"hosts": "fleet", "gather_facts": False, "tasks": named}])
        )
        told = {
            host: {
                "root": str(self.root(host)),
                "ansible_connection": "local",
                "ansible_python_interpreter": NODE_PYTHON,
                **self.variables.get(host, {}),
            }
            for host in self.hosts
        }
        (self.base / "hosts.json").write_text(json.dumps({"fleet": {"hosts": told}}))
        command = ["ansible-playbook", "-i", "hosts.json", "book.yml", *(["--check"] if check else [])]
        return subprocess.Popen(
            command + (["--limit", limit] if limit else []),
            cwd=self.base,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_CALLBACK_PLUGINS": str(CHECKOUT / "tests/integration/callbacks"),
                "ANSIBLE_CALLBACKS_ENABLED": "kept_results",
                "KEPT_RESULTS": str(self._results),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    # --- readers that are not our code ---

    def lines(self, *parts: str) -> list[dict[str, Any]]:
        """The lines of a file of the store."""
        path = self.store.joinpath(ID, *parts)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self, host: str) -> list[str]:
        """The states of a host in the store, each once in a row."""
        found: list[str] = []
        for line in self.lines("hosts", f"{host}.jsonl"):
            if not found or found[-1] != line["state"]:
                found.append(line["state"])
        return found

    def node_states(self, host: str) -> list[str]:
        """The states in a node's own record."""
        path = self.node_folder(host) / "record.jsonl"
        return [json.loads(line)["state"] for line in path.read_text().splitlines()] if path.exists() else []
