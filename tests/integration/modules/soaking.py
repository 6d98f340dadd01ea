# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the modules soak and soak_info on simulated nodes, and looking at a soak without our code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration import helpers
from tests.simulator import fleet

ROLLOUT = "20261124T090000Z"
# 11 samples in 5 s; on a busy machine some are late, and a late one is a missing one.
FAST: dict[str, Any] = {"hours": 0.0015, "interval": 0.5, "min_coverage": 0.3}


def folder(node: fleet.Node) -> Path:
    """Where the soak's files are."""
    return node.root / "runtime/canary" / ROLLOUT / "soak"


def soak(node: fleet.Node, check: bool = False, **params: Any) -> dict[str, Any]:
    """Run the module soak."""
    wishes = {"api_url": node.url, "rollout": ROLLOUT, **FAST, **params}
    return helpers.module("soak", check=check, root=node.root, **wishes)


def info(node: fleet.Node, check: bool = False, **params: Any) -> dict[str, Any]:
    """Run the module soak_info."""
    return helpers.module("soak_info", check=check, root=node.root, rollout=ROLLOUT, **params)


def samplers(node: fleet.Node) -> list[int]:
    """The processes that sample this node, by the kernel's word."""
    engine = str(folder(node) / "engine.zip")
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if engine in words and state != "Z":
            found.append(int(place.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition and return what it came to."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found


def lines(node: fleet.Node) -> int:
    """How many samples there are, by wc."""
    path = folder(node) / "samples.jsonl"
    if not path.exists():
        return 0
    counted = subprocess.run(["wc", "-l", path], capture_output=True, text=True, check=True)
    return int(counted.stdout.split()[0])


def over(node: fleet.Node) -> dict[str, Any]:
    """Wait for the end, by the file that says so, and return what it says."""
    path = folder(node) / "ended.json"
    until(path.exists, 60)
    found: dict[str, Any] = json.loads(path.read_text())
    until(lambda: not samplers(node))
    return found


def kill(node: fleet.Node) -> None:
    """Kill the sampler as a power cut would."""
    (pid,) = samplers(node)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not samplers(node))


def codes(result: dict[str, Any]) -> list[str]:
    """Why the verdict is no PASS."""
    return [one["code"] for one in result["verdict"]["reasons"]]
