# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command as the role installs it: a copy of the engine, and the launcher with its paths set to that."""

from __future__ import annotations

import compileall
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils import _core
from tests import forked

CHECKOUT = Path(__file__).resolve().parents[4]
LAUNCHER = CHECKOUT / "roles/node/files/vvtv-runbook"
LIB = "/usr/local/lib/vvtv-runbook"
PYTHON = "/usr/bin/python3"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MAIN = f"{_core.__name__}.command.main"

forked.preload(MAIN)


@dataclass(frozen=True)
class Done:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return the one object on standard output, which must hold nothing that is not JSON."""
        assert self.out.count("\n") == 1, self.out
        found: dict[str, Any] = json.loads(self.out, parse_constant=_no_json)
        return found


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is Python's, not JSON")


@dataclass(frozen=True)
class Installed:
    """Where a copy of the command is."""

    folder: Path

    @property
    def program(self) -> Path:
        """What a person runs."""
        return self.folder / "bin/vvtv-runbook"

    @property
    def lib(self) -> Path:
        """The folder of the package."""
        return self.folder / "lib"

    def __call__(
        self,
        *words: Any,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Done:
        """Run it with nothing in its environment but ``env``."""
        done = subprocess.run(
            [str(self.program), *map(str, words)],
            env=dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or "/",
        )
        return _done(done)


@dataclass(frozen=True)
class Command:
    """The command without its launcher, in a process that need not read the engine first.

    What it says and does is the same; that it is started as it should be is tested with :class:`Installed`.
    """

    def __call__(
        self,
        *words: Any,
        env: Mapping[str, str] | None = None,
        given: str = "",
        cwd: Path | None = None,
    ) -> Done:
        """Run it with nothing in its environment but ``env``, and the path that the launcher sets."""
        known = {**(env or {}), "PATH": PATH}
        return _done(forked.run(MAIN, "run", [*map(str, words)], known, str(cwd or "/"), given))


def _done(done: subprocess.CompletedProcess[str]) -> Done:
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def install(folder: Path) -> Installed:
    """Install the command below ``folder``."""
    target = folder / "lib/vvtv_runbook"
    shutil.copytree(next(iter(_core.__path__)), target, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=1)  # a third of the time of a run
    text = LAUNCHER.read_text()
    assert text.count(LIB) == 1
    assert text.count(PYTHON) == 1
    assert f"PATH={PATH}\n" in text
    program = folder / "bin/vvtv-runbook"
    program.parent.mkdir()
    program.write_text(text.replace(LIB, str(folder / "lib")).replace(PYTHON, sys.executable))
    program.chmod(0o755)
    return Installed(folder)
