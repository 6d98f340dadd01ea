# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that a fleet is operated from: each has an Ansible home and shared SSH connections of its own."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tests.fleet.fleet import Fleet
from tests.fleet.host import run
from tests.fleet.layout import CHECKOUT
from tests.integration.controllers import Playing, started
from tests.integration.helpers import Play

CORES = {"newest": CHECKOUT / ".venv", "oldest": CHECKOUT / "build" / "venv-oldest"}


class Bastion:
    """Where ansible-playbook is started. ``log`` has the instant of each line of its output."""

    def __init__(self, home: Path, inventories: tuple[Path, ...], core: str) -> None:
        self.log = home / "ansible.log"
        self._home = home
        self._place = CORES[core] / "bin"
        self._connections = home / "cp"
        self._options = [part for path in inventories for part in ("-i", str(path))]
        # Ansible takes the inventory's place for connections before that of its settings.
        self._options += ["-e", f"ansible_control_path_dir={self._connections}"]
        self._runs = 0

    @contextlib.contextmanager
    def playing(self, name: str, *options: str) -> Iterator[Playing]:
        """Run a playbook of the collection beside the block; at the block's end it is over."""
        with self._running("ansible-playbook", f"vvtv.runbook.{name}", *options) as running:
            yield running

    def play(self, name: str, *options: str) -> Play:
        """Run a playbook of the collection to its end."""
        with self.playing(name, *options) as running:
            return running.finish()

    def module(self, hosts: str, name: str, arguments: str) -> Play:
        """Run one module of the collection, as an operator does by hand."""
        return self.run("ansible", hosts, "-m", f"vvtv.runbook.{name}", "-a", arguments)

    def run(self, program: str, *words: str) -> Play:
        """Run one of Ansible's programs to its end."""
        with self._running(program, *words) as running:
            return running.finish()

    def hang_up(self) -> None:
        """End the shared connections."""
        for socket in self._connections.glob("*"):
            run("ssh", "-O", "exit", "-o", f"ControlPath={socket}", "anybody", check=False)

    @contextlib.contextmanager
    def _running(self, program: str, *words: str) -> Iterator[Playing]:
        self._runs += 1
        output = self._home / f"output-{self._runs}"
        settings = {"ANSIBLE_HOME": str(self._home), "ANSIBLE_LOG_PATH": str(self.log)}
        with started([program, *self._options, *words], output, self._place, settings) as running:
            yield running

    def ended(self, host: str, task: str) -> datetime:
        """When a host's result of the newest task whose name holds ``task`` arrived."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        begin = max(number for number, line in enumerate(lines) if "TASK [" in line and task in line)
        for line in lines[begin:]:
            if re.search(rf"\b(ok|changed|fatal): \[{host}\]", line):
                return datetime.fromisoformat(line[:23].replace(",", "."))  # noqa: DTZ007 (compared only)
        raise AssertionError(f"no result of {host} for {task}")


@contextlib.contextmanager
def bastion(fleet: Fleet, *inventories: Path, core: str = "newest") -> Iterator[Bastion]:
    """A bastion for the length of a block. ``inventories`` take the place of the one that becomes root."""
    # The paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="vvtv-bastion-", dir="/tmp") as home:  # noqa: S108
        machine = Bastion(Path(home), inventories or (fleet.inventory,), core)
        try:
            yield machine
        finally:
            machine.hang_up()
