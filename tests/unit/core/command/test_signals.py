# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals: the exit code says which, nothing is half done, and what is ignored stays ignored."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import catalogue
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.simulator import database

from ..nodes import new_key, tree
from . import exposition
from .installed import Installed

ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def nothing_ignored() -> Iterator[None]:
    """A test run in the background, or under nohup, passes on what it ignores itself."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def locked(node: Node) -> Iterator[None]:
    """Hold the node's lock."""
    node.lock_file.touch()
    with node.lock_file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def started(installed: Installed, *words: str, shield: bool = False) -> subprocess.Popen[str]:
    """Start the command and wait until it waits for the node's lock."""
    command = [str(installed.program), *words]
    running = subprocess.Popen(
        (["nohup", *command] if shield else command),
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not any(name.endswith("runbook.lock") for name in open_files(running.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return running


def open_files(pid: int) -> Iterator[str]:
    """The files that a process has open."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            yield os.readlink(entry)


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_signal_ends_it_with_its_own_code(
    installed: Installed, config: Path, node: Node, number: signal.Signals, as_json: bool
) -> None:
    before = tree(node.root)
    more = ["--json"] if as_json else []
    with locked(node):
        running = started(
            installed, "backup", "--plain", "--lock-timeout", "60", "--config", str(config), *more
        )
        running.send_signal(number)
        out, err = running.communicate(timeout=20)
    assert running.returncode == ENDS[number]
    assert f"ended by {number.name}" in (json.loads(out)["error"]["msg"] if as_json else err)
    assert "Traceback" not in err
    assert tree(node.root) == before
    metrics = exposition.parse((config.with_name("metrics") / "vvtv_runbook_backup.prom").read_text())
    assert metrics.samples['vvtv_runbook_last_run_success{verb="backup"}'] == 0


def test_a_hangup_that_the_caller_ignores_is_ignored(installed: Installed, config: Path, node: Node) -> None:
    with locked(node):
        running = started(
            installed,
            "backup",
            "--plain",
            "--lock-timeout",
            "60",
            "--config",
            str(config),
            "--json",
            shield=True,
        )
        running.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert running.poll() is None
    out, _err = running.communicate(timeout=20)
    assert running.returncode == 0
    assert json.loads(out)["changed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backup_that_is_ended_leaves_nothing_half_made(
    installed: Installed, config: Path, node: Node, number: signal.Signals
) -> None:
    """At several instants of a backup: either it was too late, or nothing is left of it."""
    node.state_db.unlink()
    database.create_database(node.state_db, 24_000_000, "delete", 1)
    new_key(node)
    ended = 0
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4):
        known = len(catalogue.list_backups(node.backup_dir))
        running = subprocess.Popen(
            [
                str(installed.program),
                "backup",
                "--force",
                "--compression",
                "gzip",
                "--config",
                str(config),
                "--json",
            ],
            env={},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while running.poll() is None and not list(node.backup_dir.glob(".staging-*")):
            time.sleep(0.005)
        time.sleep(delay)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        assert running.returncode in (0, ENDS[number], -number), err
        if running.returncode == ENDS[number]:
            ended += 1
            assert json.loads(out)["error"]["code"] == "interrupted"
            assert [path.name for path in node.backup_dir.glob(".*")] == []
            assert len(catalogue.list_backups(node.backup_dir)) in (known, known + 1)
    assert ended
    assert installed("verify", "all", "--config", config).code in (0, 1)
    assert all(one.problem is None for one in catalogue.list_backups(node.backup_dir))
