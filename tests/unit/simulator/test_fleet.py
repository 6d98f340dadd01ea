# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping nodes, and the command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.simulator import auth, cli, database, fleet, process
from tests.simulator.control import read_state, wait_for
from tests.simulator.layout import layout

from .http_helper import call, post


def command(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulator", *map(str, args)],
        cwd=fleet.CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("mode", database.JOURNAL_MODES)
def test_stop_is_clean_and_quick(tmp_path: Path, mode: str) -> None:
    with fleet.start_node(tmp_path, size="256K", journal_mode=mode, commit_interval=0.01) as node:
        begin = time.monotonic()
        assert fleet.stop_node(tmp_path)
        assert time.monotonic() - begin < 1
        assert node._child.wait(2) == 0
    database.check_invariant(node.state_db)
    assert [one.name for one in node.state_db.parent.iterdir()] == ["vvtv.db"]
    state = read_state(tmp_path)
    assert state is not None
    assert not state.running
    assert not fleet.stop_node(tmp_path)


def test_stop_does_not_wait_for_a_hanging_caller_or_a_lock(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K") as node:
        node.faults(hang="60@/v1/status")
        with socket.create_connection(("127.0.0.1", node.port)) as caller:
            caller.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
            conn = database.connect(node.state_db)
            conn.execute("BEGIN EXCLUSIVE")
            begin = time.monotonic()
            node.stop()
            assert time.monotonic() - begin < 1.5
            conn.close()
        assert node._child.returncode == 0


def test_a_frozen_process_is_killed(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K") as node:
        os.kill(node.pid, signal.SIGSTOP)
        assert fleet.stop_node(tmp_path, grace=0.2)
        assert node._child.wait(2) == -signal.SIGKILL


LOOKALIKE = [sys.executable, "-c", "import time; time.sleep(60)", "tests.simulator", "run"]


@pytest.mark.parametrize("args", [["sleep", "60"], LOOKALIKE], ids=["other", "lookalike"])
def test_a_foreign_process_is_not_killed(tmp_path: Path, args: list[str]) -> None:
    where = layout(tmp_path)
    where.make_folders()
    with subprocess.Popen(args) as foreign:
        where.pidfile.write_text(f"{foreign.pid}\n")
        try:
            assert not fleet.stop_node(tmp_path)
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_locked_pidfile_of_something_else_is_not_enough(tmp_path: Path) -> None:
    layout(tmp_path).make_folders()
    file = process.claim_pidfile(tmp_path)  # our own pid, and pytest is no simulator
    assert process.node_pid(tmp_path) is None
    process.release_pidfile(file)
    assert layout(tmp_path).pidfile.read_text() == ""


@pytest.mark.parametrize("text", ["", "0", "1", "-5", "x", "99999999999999999999999999999999999", "\u0661"])
def test_hostile_pidfile(tmp_path: Path, text: str) -> None:
    layout(tmp_path).make_folders()
    layout(tmp_path).pidfile.write_text(text, encoding="utf-8")
    assert process.node_pid(tmp_path) is None
    assert not fleet.stop_node(tmp_path)


def test_one_node_for_each_root(node: fleet.Node) -> None:
    with pytest.raises(fleet.StartError, match="already"):
        fleet.start_node(node.root)
    answer = command("run", "--root", node.root)
    assert answer.returncode == 1
    assert "another node runs here" in answer.stderr
    assert process.node_pid(node.root) == node.pid


def test_a_killed_node_starts_again(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K", commit_interval=0) as node:
        node.wait_commits(10)
        commits = node.state.commits
        post(node, "/v1/control/emergency-mode")
        assert call(node, "/v1/status").json["state"] == "EMERGENCY"
        node.kill()
    with fleet.start_node(tmp_path) as node:
        database.check_invariant(node.state_db)
        assert call(node, "/v1/status").json["state"] == "RUNNING"  # a restart clears it
        assert commits >= 10


def test_a_taken_port_is_told_with_the_log(node: fleet.Node, tmp_path: Path) -> None:
    with pytest.raises(fleet.StartError, match="in use"):
        fleet.start_node(tmp_path, port=node.port, size="256K")


def test_own_credentials(tmp_path: Path) -> None:
    own = auth.Credentials("a token", "a secret")
    with fleet.start_node(tmp_path, size="256K", credentials=own) as node:
        assert post(node, "/v1/control/curator-mode").status == 200
        node.credentials = auth.Credentials()
        assert post(node, "/v1/control/curator-mode").status == 401
        assert "a secret" not in " ".join(process.command_line(node.pid))
    assert "secret" not in repr(own)


def test_default_credentials_are_for_dev_only(tmp_path: Path) -> None:
    answer = command("run", "--root", tmp_path, VVTV_ENV="production")
    assert answer.returncode == 1
    assert "refused" in answer.stderr


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    up = command("up", one, two, "--size", "256K", "--journal-mode", "wal")  # both outlive this command
    try:
        assert up.returncode == 0, up.stderr
        assert cli.main(["status", one, two]) == 0
        assert capsys.readouterr().out.count(": up, pid") == 2
        assert cli.main(["fault", "--root", one, "pipeline=frozen", "slow=1@/metrics"]) == 0
        assert wait_for(one, lambda state: state.faults_seen == 2).journal_mode == "wal"
        assert cli.main(["fault", "--root", one, "pipelin=frozen"]) == 1
        assert "pipelin" in capsys.readouterr().err
        assert cli.main(["check", str(layout(one).state_db)]) == 0
    finally:
        down = cli.main(["down", one, two])
    assert down == 0
    assert capsys.readouterr().out.count("stopped") == 2
    assert cli.main(["status", one, two]) == 1
    assert cli.main(["check", str(tmp_path / "none.db")]) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["fault", "--root", "x", "nonsense"],
        ["run", "--root", "x", "--port", "65536"],
        ["run", "--root", "x", "--journal-mode", "off"],
        ["run", "--root", "x", "--commit-interval", "nan"],
        ["make-db", "x", "--size", "1T"],
        ["make-db", "x", "--size", "65G"],
        [],
    ],
)
def test_bad_arguments(args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    assert caught.value.code == 2


def test_make_db_command(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert cli.main(["make-db", str(path), "--size", "1M", "--journal-mode", "wal", "--seed", "7"]) == 0
    database.check_invariant(path)
