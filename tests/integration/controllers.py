# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controllers that run playbooks, and can be killed while they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable

from tests.integration.helpers import CHECKOUT, Play

#: Longer than any run of these tests takes on a busy machine.
LONGEST = 300.0
#: Exit codes of ansible-playbook.
FAILED, UNREACHABLE = 2, 4


class Playing:
    """A run of ansible-playbook that goes on beside the test."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    @property
    def output(self) -> str:
        return self._output.read_text()

    def until(self, holds: Callable[[], object], what: str, timeout: float = LONGEST) -> None:
        """Wait until something holds; AssertionError when the run is over before."""
        until(holds, what, timeout, self)

    def kill(self) -> None:
        """The controller dies, workers and all. What runs on the nodes goes on, unheard."""
        self._process.send_signal(signal.SIGSTOP)  # no new workers meanwhile
        for pid in _workers(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def finish(self, timeout: float = LONGEST) -> Play:
        """Wait for its end."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over after {timeout:g} s: {self.output}") from None
        return Play(code, self.output)


def until(
    holds: Callable[[], object], what: str, timeout: float = 60.0, running: Playing | None = None
) -> None:
    """Wait until something holds; AssertionError when it does not in time, or not before a run is over."""
    deadline = time.monotonic() + timeout
    while True:
        over = running is not None and running.over  # asked before, so that a run's last act counts
        if holds():
            return
        said = running.output if running else ""
        assert not over, f"the run was over before it held: {what}\n{said}"
        assert time.monotonic() < deadline, f"after {timeout:g} s it does not hold: {what}\n{said}"
        time.sleep(0.05)


def _workers(controller: int) -> list[int]:
    """The forks of a controller, to which newer versions of ansible-core give sessions of their own."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, parent, args in rows if int(parent) == controller and "ansible" in args]


def done(run: Play) -> Play:
    """A run that ended well."""
    assert run.code == 0, run.output
    return run


def refused(run: Play, *words: str, codes: Sequence[int] = (FAILED,)) -> Play:
    """A run that did not end well, and says why."""
    assert run.code in codes, run.output
    for word in words:
        assert word in run.output, run.output
    return run


def variables(**wanted: Any) -> tuple[str, ...]:
    """The options of ansible-playbook that set these variables, each with its own type."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in wanted.items()}
    return ("-e", json.dumps(plain))


@contextmanager
def started(
    words: Sequence[str], output: Path, place: Path | None, settings: Mapping[str, str]
) -> Iterator[Playing]:
    """Run one of Ansible's programs beside the block; at the block's end it is over, by force if need be.

    ``place`` is a folder whose programs come before those of the tests' own path, ``settings`` are variables
    beside those that every run gets. Of the tests' own it keeps only where collections are.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == "ANSIBLE_COLLECTIONS_PATH" or not name.startswith("ANSIBLE_")
    }
    environment |= {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "LC_ALL": "C.UTF-8",
        **settings,
    }
    if place is not None:
        environment["PATH"] = f"{place}:{environment['PATH']}"
    with output.open("wb") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=output.parent,
            start_new_session=True,
        )
    running = Playing(process, output)
    try:
        yield running
    finally:
        if not running.over:
            running.kill()


class Controller:
    """A machine that operates nodes: it has inventories, an Ansible home, and variables for every run."""

    #: Where its ``ansible-playbook`` is, when not where the tests' own is.
    place: Path | None = None

    def __init__(self, home: Path, inventories: Sequence[Path], **given: Any) -> None:
        """``home`` is a folder with a short path where connections are shared."""
        self.home = home
        self.given = given
        self._inventories = [word for path in inventories for word in ("-i", str(path))]
        self._runs = 0

    def play(self, name: str, *options: str, **wanted: Any) -> Play:
        """Run a playbook of the collection to its end; ``wanted`` are extra variables."""
        with self.playing(name, *options, **wanted) as running:
            return running.finish()

    @contextmanager
    def playing(self, name: str, *options: str, **wanted: Any) -> Iterator[Playing]:
        """Run a playbook beside the block; at the block's end it is over, by force if need be."""
        self._runs += 1
        words = [*self._inventories, f"vvtv.runbook.{name}", *variables(**{**self.given, **wanted}), *options]
        with started(
            ["ansible-playbook", *words],
            self.home / f"output-{self._runs}-{name}",
            self.place,
            {"ANSIBLE_HOME": str(self.home / "ansible"), "ANSIBLE_SHOW_CUSTOM_STATS": "1"},
        ) as running:
            yield running
