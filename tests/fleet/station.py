# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator as the station's service."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from .host import FleetError
from .layout import CHECKOUT
from .machine import Machine

UNIT = "vvtv-station.service"
USER = "vvtv"
ROOT = "/srv/vvtv"
API = "http://127.0.0.1:7070"
SOURCE_IN_NODE = "/opt/vvtv-station/src"
#: A commit five times a second and a metric sample every two seconds: alive, and not busy.
OPTIONS = ("--commit-interval", "0.2", "--sample-every", "10")
READY_SECONDS = 30.0


def copy_source(target: Path) -> None:
    """The simulator of the checkout, as it is now."""
    (target / "tests").mkdir(parents=True)
    shutil.copy(CHECKOUT / "tests" / "__init__.py", target / "tests")
    shutil.copytree(
        CHECKOUT / "tests" / "simulator",
        target / "tests" / "simulator",
        ignore=shutil.ignore_patterns("__pycache__"),
    )


def environment_file(token: str, secret: str, options: Sequence[str]) -> str:
    return (
        "VVTV_ENV=production\n"
        f"VVTV_CONTROL_TOKEN={token}\n"
        f"VVTV_CONTROL_SECRET={secret}\n"
        f"STATION_OPTIONS={' '.join(options)}\n"
    )


def start(node: Machine, unit: str = UNIT, wait: bool = True) -> None:
    node.exec("systemctl", "start", unit)
    if wait:
        wait_answers(node)


def stop(node: Machine, unit: str = UNIT) -> None:
    node.exec("systemctl", "stop", unit)


def is_active(node: Machine, unit: str = UNIT) -> bool:
    return node.exec("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0


def answers(node: Machine) -> bool:
    """Does the API answer a caller on the node?"""
    done = node.exec("curl", "-sfo", "/dev/null", "--max-time", "2", f"{API}/v1/status", check=False)
    return done.returncode == 0


def wait_answers(node: Machine, timeout: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + timeout
    while not answers(node):
        if time.monotonic() > deadline:
            log = node.exec("journalctl", "--no-pager", "-u", UNIT, "-n", "20", check=False).stdout
            raise FleetError(f"{node.name}: the station does not answer after {timeout:g} s\n{log}")
        time.sleep(0.1)


def fault(node: Machine, *pairs: str) -> None:
    """Set exactly these faults of the simulator, like ``buffer=5``; none makes the station healthy."""
    node.exec("/opt/vvtv-station/bin/vvtv-simulator", "fault", "--root", ROOT, *pairs, user=USER)
