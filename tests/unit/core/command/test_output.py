# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is printed reaches whoever reads it, or it is said that it did not; bugs are said as such."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import catalogue
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import main, streams
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from .installed import Installed

HUSH = "hush-hush-4711"


def shell(installed: Installed, script: str, config: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell with the command as $C."""
    known = {"C": str(installed.program), "CONFIG": str(config), "PATH": os.environ["PATH"]}
    return subprocess.run(["bash", "-c", script], env=known, capture_output=True, text=True, check=False)


def test_a_reader_who_goes_away_changes_nothing(installed: Installed, config: Path) -> None:
    for words in ("--help", "backups --help", "backup --plain --config $CONFIG --force --json"):
        done = shell(installed, f"$C {words} | true; echo ${{PIPESTATUS[0]}}", config)
        assert (done.stdout, done.stderr) == ("0\n", "")
    failed = shell(
        installed, "$C verify --config $CONFIG 20200101T000000Z --json | true; echo ${PIPESTATUS[0]}", config
    )
    assert (failed.stdout, failed.stderr) == ("1\n", "")


def test_a_result_that_cannot_be_written_is_a_failure(installed: Installed, config: Path) -> None:
    done = shell(installed, "$C backups --json --config $CONFIG > /dev/full", config)
    assert (done.returncode, done.stderr) == (1, "error: cannot write the result: No space left on device\n")


def test_closed_descriptors_are_no_place_for_files_of_the_node(
    installed: Installed, config: Path, node: Node
) -> None:
    done = shell(installed, "$C backup --plain --config $CONFIG <&- >&- 2>&-", config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (made,) = catalogue.list_backups(node.backup_dir)
    assert made.problem is None
    assert installed("verify", made.id, "--config", config).code == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "nonsense"])
def test_no_locale_spoils_the_output(installed: Installed, config: Path, node: Node, locale: str) -> None:
    (node.backup_dir / "20260101T000000Z-1").mkdir(parents=True)
    (node.backup_dir / "20260101T000000Z").mkdir(parents=True)
    odd = (
        node.backup_dir
        / "20260101T000000Z"
        / os.fsdecode("ü\x1b[2J\udcff".encode("utf-8", "surrogateescape"))
    )
    odd.write_text("")
    for words in ([], ["--json"]):
        script = f"LC_ALL={locale} $C backups --config $CONFIG {' '.join(words)}"
        done = shell(installed, script, config)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        if words:
            assert json.loads(done.stdout)["backups"]


# --- bugs ---


def test_a_bug_is_said_as_one_without_what_the_values_were(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: Any) -> None:
        raise KeyError(HUSH)

    monkeypatch.setattr(catalogue, "tell", broken)
    assert main.run(["backups", "--config", str(config)], {}) == 1
    told = capsys.readouterr()
    assert "error: a bug of vvtv-runbook: KeyError" in told.err
    assert "in broken" in told.err
    assert main.run(["backups", "--json", "--config", str(config)], {}) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], HUSH in json.dumps(error)) == ("bug", False)


def test_a_bug_in_metrics_leaves_the_result_as_it_is(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main.metrics, "leave", broken)
    assert main.run(["key-ensure", "--json", "--config", str(config)], {}) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["warnings"] == ["no metrics were written: a bug of vvtv-runbook: ZeroDivisionError"]
    assert found["changed"]


def test_handlers_of_signals_are_as_before_after_a_run(config: Path) -> None:
    script = (
        "import signal, sys\n"
        "from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import main\n"
        "before = [signal.getsignal(n) for n in (1, 2, 15)]\n"
        f"code = main.run(['backups', '--quiet', '--config', {str(config)!r}], {{}})\n"
        "sys.exit(code or before != [signal.getsignal(n) for n in (1, 2, 15)])\n"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_json_has_no_number_that_is_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        streams.to_json({"x": float("nan")})
