# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the tests run modules and playbooks, and the readers that are not our code."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import forked

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTIONS = CHECKOUT / "build/collections"
MODULES = "ansible_collections.vvtv.runbook.plugins.modules"
#: What most simulated nodes run their modules on.
USUAL_PYTHON = os.environ.get("VVTV_TEST_USUAL_PYTHON", sys.executable)

forked.preload("tests.integration.preloaded")


def module(called: str, /, check: bool = False, python: str | None = None, **params: Any) -> dict[str, Any]:
    """Run a module as Ansible does on a node, in a process of its own, and return its result.

    With ``python`` another interpreter than the test's runs it. A result with ``failed`` is returned like any
    other; the caller says what it expects.
    """
    params = {key: str(value) if isinstance(value, Path) else value for key, value in params.items()}
    arguments = {"ANSIBLE_MODULE_ARGS": {**params, "_ansible_check_mode": check, "_ansible_diff": True}}
    done = _with(python, called, json.dumps(arguments)) if python else _forked(called, json.dumps(arguments))
    assert done.stdout.strip(), f"{called} printed nothing: {done.stderr}"
    result: dict[str, Any] = json.loads(done.stdout)
    assert bool(result.get("failed")) == bool(done.returncode), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    # From ansible-core 2.19 on a module's own output holds its warnings as objects, before that as texts.
    result["warnings"] = [str(warning) for warning in result.get("warnings", [])]
    return result


def _forked(called: str, arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(f"{MODULES}.{called}", "main", [arguments], os.environ)


def _with(python: str, called: str, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", f"{MODULES}.{called}", arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    )


def good(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result after making sure that it is no failure."""
    assert not result.get("failed"), result
    return result


def sqlite3(database: Path, statement: str) -> str:
    """Ask Debian's sqlite3, which is not our code; a database of a backup is opened as immutable."""
    target = f"file:{database}?immutable=1" if "backups" in database.parts else str(database)
    done = subprocess.run(
        ["sqlite3", "-cmd", ".timeout 5000", target, statement], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def sha256sum(path: Path) -> str:
    """Ask coreutils."""
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def tree(root: Path) -> dict[str, str]:
    """Return every file below ``root`` with mode and hash, but for what the simulator itself writes."""
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if "sim" in relative.parts or path.is_dir():
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "special"
        found[str(relative)] = f"{path.lstat().st_mode:o} {digest}"
    return found


@dataclass(frozen=True)
class Play:
    """What a run of ansible-playbook came to."""

    code: int
    output: str

    def count(self, host: str, key: str) -> int:
        """Return one number of the recap."""
        found = re.search(rf"^{host}\s+:.*\b{key}=(\d+)", self.output, re.MULTILINE)
        assert found, self.output
        return int(found[1])


def playbook(name: str, inventory: Path, *options: str) -> Play:
    """Run a playbook of the collection by its FQCN, away from the checkout."""
    plain = {
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    }
    command = ["ansible-playbook", "-i", str(inventory), f"vvtv.runbook.{name}", *options]
    done = subprocess.run(
        command,
        env={**os.environ, **plain},
        cwd=inventory.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return Play(done.returncode, done.stdout + done.stderr)
