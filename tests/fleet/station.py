# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator as the station's service."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.simulator import releases
from tests.simulator.release import Release

from .host import FleetError
from .layout import CHECKOUT, Layout
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
    # However often it was started before: that it is refused then is what systemd's limit is about, not this.
    node.exec("systemctl", "reset-failed", unit, check=False)
    node.exec("systemctl", "start", unit)
    if wait:
        wait_answers(node)


def stop(node: Machine, unit: str = UNIT) -> None:
    node.exec("systemctl", "stop", unit)


def restart(node: Machine, unit: str = UNIT) -> None:
    """Returns when the process runs; when its API answers is the affair of its release."""
    node.exec("systemctl", "reset-failed", unit)  # a release that crashes uses up the unit's starts
    node.exec("systemctl", "restart", unit)


def put_release(where: Layout, release: Release) -> Path:
    """Make the archive of a release on this side of the network, beside the fleet's other files."""
    return releases.make(where.folder / "releases" / f"{release.version}.tar.gz", release)


def install_release(node: Machine, archive: Path) -> None:
    """What an operator would do by hand: unpack it, lead ``current`` there, restart the station."""
    name = archive.name.removesuffix(".tar.gz")
    folder = f"{ROOT}/releases/{name}"
    # Through a shell's heredoc no bytes would survive; the node's disk is this machine's too.
    shutil.copy(archive, node.disk / f"{name}.tar.gz")
    node.sh(
        f"install -d -o {USER} -g {USER} {ROOT}/releases {folder}\n"
        f"tar xz -C {folder} --no-same-owner -f /srv/{name}.tar.gz && rm /srv/{name}.tar.gz\n"
        f"chown -R {USER}:{USER} {folder}\n"
        f"ln -sfn releases/{name} {ROOT}/current && chown -h {USER}:{USER} {ROOT}/current"
    )
    restart(node)


def told(node: Machine) -> dict[str, Any]:
    """What the station tells of itself, like ``release`` and ``phase``; nothing while it starts."""
    said = node.exec("cat", f"{ROOT}/runtime/sim/state.json", check=False).stdout
    found: dict[str, Any] = json.loads(said or "{}")
    return found


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
