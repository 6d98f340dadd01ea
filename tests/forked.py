# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of ours in processes of their own that need not start Python and read the program first.

A server process of the standard library's has read them and forks for each call, which takes a third of what
a new Python does, or less. It knows nothing of the test: what a program is given it gets anew, environment,
working folder and standard input too.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_PRELOADED: list[str] = []


def preload(module: str) -> None:
    """Name what the server process reads, beside what was named before, when it starts: at the first run."""
    _PRELOADED.append(module)
    _FORKS.set_forkserver_preload(_PRELOADED)


def run(
    module: str, function: str, words: Sequence[str], env: Mapping[str, str], cwd: str = "/", given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a function without arguments as a program with these words behind its name.

    What it returns is the exit code, as if the program ended with ``sys.exit(function())``; ``given`` is what
    it finds on its standard input.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("given", "out", "errors")]
        for stream in streams:
            stream.write_text(given if stream.name == "given" else "")
        paths = [str(stream) for stream in streams]
        child = _FORKS.Process(target=_run, args=(module, function, list(words), dict(env), cwd, paths))
        child.start()
        child.join()
        out, errors = (stream.read_text() for stream in streams[1:])
    assert child.exitcode is not None
    return subprocess.CompletedProcess([module, *words], child.exitcode, out, errors)


def _run(
    module: str, function: str, words: list[str], env: dict[str, str], cwd: str, streams: list[str]
) -> None:
    for descriptor, path in enumerate(streams):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (multiprocessing has put another there)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.argv = [module, *words]
    sys.exit(getattr(importlib.import_module(module), function)())
