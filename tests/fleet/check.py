# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can this machine run a fleet? Everything that is missing, at once, each with what to do about it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import python39
from .host import FleetError, run
from .layout import CHECKOUT

PACKAGES = CHECKOUT / "tests" / "tools" / "debian-packages-fleet.txt"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Two releases' images, a build's scratch, and some nodes.
ROOM = 4 << 30

#: What has to work in a network namespace of its own: commands, and what it means when one fails.
_NETWORK = (
    ("ip link add fleet0 type bridge", "the kernel has no bridges"),
    ("ip link add fleet1 type veth peer name fleet2", "the kernel has no veth devices"),
    ("ip link set fleet1 up", "devices cannot be switched on"),
    ("iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j RETURN", "iptables cannot change addresses"),
    ("iptables -A INPUT -p tcp -j REJECT --reject-with tcp-reset", "iptables cannot refuse connections"),
    ("iptables -A INPUT -m comment --comment x -j DROP", "iptables has no comments"),
    ("tc qdisc add dev fleet1 root tbf rate 1mbit burst 16kb latency 500ms", "the kernel lacks sch_tbf"),
)  # fmt: skip


def problems() -> list[str]:
    """What is missing; an empty list where a fleet can run."""
    if os.geteuid() != 0:
        return ["the fleet needs root (its nodes are containers with systemd and a network); run it as root"]
    missing = sorted(set(_packages()))
    if missing:
        return [f"Debian packages are missing: apt-get update && apt-get install -y {' '.join(missing)}"]
    return [*_kernel(), *_podman(), *_keyring()]


def require() -> None:
    """FleetError with every problem."""
    found = problems()
    if found:
        raise FleetError("this machine cannot run a fleet:\n" + "\n".join(f"  - {line}" for line in found))


def notes() -> list[str]:
    """What a fleet on this machine lacks without being the worse for its other tests."""
    if python39.available():
        return []
    return ["NOT TESTED: nodes with Python 3.9 (no build/venv-py39 here with a Python that can be lent)"]


def _packages() -> Iterator[str]:
    for line in PACKAGES.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            command, package = line.split()
            if shutil.which(command) is None:
                yield package


def _kernel() -> Iterator[str]:
    try:
        run("unshare", "--mount", "--net", "--pid", "--fork", "true")
    except FleetError as error:
        yield f"namespaces cannot be made here (a container without the right to?): {_last(error)}"
        return
    script = "\n".join(f"{command} || {{ echo '{meaning}'; exit 1; }}" for command, meaning in _NETWORK)
    done = run("unshare", "--net", "sh", "-c", script, check=False)
    if done.returncode != 0:
        yield f"{done.stdout.strip() or 'the network cannot be made'}: {_last(done.stderr)}"
    if not Path("/dev/loop-control").exists():
        yield "there are no loop devices (/dev/loop-control), which the nodes' disks need: modprobe loop"
    elif run("losetup", "--find", check=False).returncode != 0:
        yield "no loop device is free, and every node's disk needs one: losetup -a shows who has them"
    if not Path("/sys/fs/cgroup").is_dir():
        yield "/sys/fs/cgroup is not mounted, which systemd in a container needs"


def _podman() -> Iterator[str]:
    try:
        info = json.loads(run("podman", "info", "--format", "json").stdout)
    except (FleetError, ValueError) as error:
        yield f"podman does not run: {_last(error)}"
        return
    backend = info["host"].get("networkBackend")
    if backend != "netavark":
        wanted = 'set network_backend = "netavark" in containers.conf and run podman system reset'
        yield f"podman's network backend is {backend}, not netavark: {wanted}"
    driver = info["store"]["graphDriverName"]
    if driver != "overlay":
        yield f"podman stores images with {driver}: every node would copy its image whole; overlay is needed"
    store = Path(info["store"]["graphRoot"])
    for folder in sorted({store, CHECKOUT}):
        free = shutil.disk_usage(folder).free
        if free < ROOM:
            yield f"{folder}: {free >> 20} MiB are free, {ROOM >> 20} are needed"


def _keyring() -> Iterator[str]:
    if not KEYRING.exists():
        yield f"{KEYRING} is missing: apt-get install -y debian-archive-keyring"


def _last(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else "it says nothing"
