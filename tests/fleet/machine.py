# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node as a machine: commands inside, commands over SSH, power."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .host import FleetError, run
from .layout import Layout

START_SECONDS = 60.0
#: Where the node's own disk is mounted; the station's root is below.
DISK = "/srv"
_POLL_SECONDS = 0.1
#: FS_IOC_SHUTDOWN of linux/fs.h, and its flag: stop at once, write nothing more, not even the journal.
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


@dataclass(frozen=True)
class Facts:
    """What a node is, as kept in ``fleet.json``."""

    name: str
    release: int
    virgin: bool
    port: int
    address: str
    mac: str
    #: An interpreter of Python 3.9 inside the node, None where it has none.
    python39: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Machine:
    """A node that can be entered, switched off and on."""

    def __init__(self, facts: Facts, where: Layout) -> None:
        self.facts = facts
        self.where = where
        self.name = facts.name
        self.release = facts.release
        self.port = facts.port
        self.container = f"{where.id}-{facts.name}"
        self._first: tuple[int, str | None] = (0, None)

    def __repr__(self) -> str:
        return f"<{self.name}: Debian {self.release}, 127.0.0.1:{self.port}>"

    # Inside and over SSH

    def exec(
        self,
        *argv: str,
        user: str = "root",
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, past the network: works while the node is cut off, not while it is off.

        Into its namespaces without asking podman, which takes thirty times as long: tests look very often.
        """
        enter = ("nsenter", "--target", str(self.pid), "--all", "--")
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", "--")
        return run(*enter, *become, *argv, stdin=stdin, check=check, timeout=timeout)

    def sh(self, script: str, check: bool = True, timeout: float = 60) -> str:
        """Run a shell script inside as root; what it printed."""
        return self.exec("sh", "-euc", script, check=check, timeout=timeout).stdout.strip()

    def ssh(
        self, command: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command over SSH, as the user ``ops``."""
        return run(*self.ssh_command(command), stdin=stdin, check=check, timeout=timeout)

    def ssh_command(self, command: str) -> list[str]:
        return ["ssh", "-F", str(self.where.ssh_config), self.name, "--", command]

    def nsenter(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of the machine's commands in the node's network."""
        return run("nsenter", "--target", str(self.pid), "--net", *argv, check=check)

    # What it is doing

    def inspect(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(run("podman", "inspect", self.container).stdout)[0]["State"]
        return state

    @property
    def state(self) -> str:
        """``running``, ``paused`` or ``exited``."""
        return str(self.inspect()["Status"])

    @property
    def pid(self) -> int:
        """The node's first process, as the machine numbers it. FleetError where the node is off."""
        pid, born = self._first
        if born is None or _born(pid) != born:
            pid = int(self.inspect()["Pid"])
            self._first = pid, _born(pid)
        if pid == 0:
            raise FleetError(f"{self.name} does not run; start it first")
        return pid

    @cached_property
    def disk(self) -> Path:
        """Where the machine sees the node's disk: look at what a node wrote without asking the node."""
        answer = run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", self.container)
        return Path(answer.stdout.strip())

    def wait_ready(self, timeout: float = START_SECONDS) -> None:
        """Until systemd has started everything and sshd answers. FleetError where a unit failed."""
        deadline = time.monotonic() + timeout
        said = self.exec(
            "systemctl", "is-system-running", "--wait", check=False, timeout=timeout
        ).stdout.strip()
        # Right after a start the way to systemd may not be there yet.
        while said in ("", "offline", "unknown", "initializing", "starting") and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            said = self.exec(
                "systemctl", "is-system-running", "--wait", check=False, timeout=timeout
            ).stdout.strip()
        if said != "running":
            failed = self.exec("systemctl", "--failed", "--no-legend", "--plain", check=False).stdout.strip()
            journal = self.exec("journalctl", "--no-pager", "-p", "warning", "-n", "20", check=False).stdout
            raise FleetError(f"{self.name}: systemd is {said or 'silent'}: {failed}\n{journal}")
        while not self.answers():
            if time.monotonic() > deadline:
                raise FleetError(f"{self.name}: sshd does not answer on 127.0.0.1:{self.port}")
            time.sleep(_POLL_SECONDS)

    def answers(self, timeout: float = 2) -> bool:
        """Does sshd greet a caller on the node's port?"""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
                connection.settimeout(timeout)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    # Power

    def kill(self) -> None:
        """Every process dies at once, as when the machine is switched off, but the disk loses nothing."""
        run("podman", "kill", self.container)
        self._wait_status("exited")

    def power_cut(self) -> None:
        """As :meth:`kill`, and what was not yet synced to the node's disk is lost."""
        # The file system stops without writing anything more; its journal is replayed at the next start.
        program = (
            "import fcntl, os, struct, sys\n"
            "folder = os.open(sys.argv[1], os.O_RDONLY)\n"
            f"fcntl.ioctl(folder, {FS_IOC_SHUTDOWN}, struct.pack('I', {NO_LOG_FLUSH}))\n"
        )
        run("python3", "-c", program, str(self.disk))
        self.kill()
        self._wait_let_go()

    def start(self, wait: bool = True) -> None:
        run("podman", "start", self.container)
        if wait:
            self.wait_ready()

    def reboot(self, wait: bool = True) -> None:
        """An orderly reboot, begun from inside."""
        before = self.inspect()["StartedAt"]
        self.exec("systemctl", "reboot", check=False)
        deadline = time.monotonic() + START_SECONDS
        while True:
            state = self.inspect()
            if state["StartedAt"] != before and state["Status"] == "running":
                break
            if time.monotonic() > deadline:
                raise FleetError(f"{self.name}: has not come back from its reboot")
            time.sleep(_POLL_SECONDS)
        if wait:
            self.wait_ready()

    def pause(self) -> None:
        """Every process stands still; connections stay open and nobody answers."""
        run("podman", "pause", self.container)

    def unpause(self) -> None:
        run("podman", "unpause", self.container)

    def _wait_let_go(self) -> None:
        """Until nobody has the disk any more: mounted again before, it would be the file system that stopped.

        A container that is being started has every mount of the machine for a moment.
        """
        image = self.where.disk_image(self.name)
        deadline = time.monotonic() + START_SECONDS
        while users := run("losetup", "--associated", str(image)).stdout.strip():
            if time.monotonic() > deadline:
                raise FleetError(f"{self.name}: its disk is still in use: {users}")
            time.sleep(_POLL_SECONDS)

    def _wait_status(self, wanted: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.state != wanted:
            if time.monotonic() > deadline:
                raise FleetError(f"{self.name}: is {self.state}, not {wanted}")
            time.sleep(_POLL_SECONDS)


def _born(pid: int) -> str | None:
    """When a process began, as proc(5) has it, since its number may be given again; None where it is over."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None
