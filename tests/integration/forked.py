# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules in processes of their own that need not read Ansible and the engine first.

A server process of the standard library's has read them and forks for each call, which takes a third of what
a new Python does. It knows nothing of the test: what a module is given it gets anew, environment and
working folder too.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTIONS = CHECKOUT / "build/collections"
MODULES = "ansible_collections.vvtv.runbook.plugins.modules"

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.integration.preloaded"])


def run(called: str, arguments: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a module with these arguments to its end, as ``python -m`` would in the root folder."""
    with tempfile.TemporaryDirectory() as folder:
        child = _FORKS.Process(target=_run, args=(called, json.dumps(arguments), dict(os.environ), folder))
        child.start()
        child.join()
        out, errors = ((Path(folder) / name).read_text() for name in ("out", "errors"))
    assert child.exitcode is not None
    return subprocess.CompletedProcess(called, child.exitcode, out, errors)


def _run(called: str, arguments: str, env: dict[str, str], folder: str) -> None:
    for descriptor, name in ((1, "out"), (2, "errors")):
        file = os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir("/")
    sys.argv = [called, arguments]
    importlib.import_module(f"{MODULES}.{called}").main()
