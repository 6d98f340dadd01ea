# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a fleet away, whole or in pieces, and find those that nobody owns any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .host import run
from .layout import LABEL, Layout, owned


def remove(where: Layout) -> None:
    """Everything that carries the fleet's label, its files, its shared SSH connections. Safe to repeat."""
    if shutil.which("podman"):
        _remove_labelled(f"label={LABEL}={where.folder}")
    if where.control_path.is_dir():
        for socket in where.control_path.iterdir():
            run("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "fleet", check=False, timeout=10)
        shutil.rmtree(where.control_path, ignore_errors=True)
    if where.folder.exists():
        shutil.rmtree(where.folder)


def _remove_labelled(label: str) -> None:
    containers = run("podman", "ps", "--all", "--quiet", "--filter", label).stdout.split()
    if containers:
        # A paused node cannot be killed.
        paused = run("podman", "ps", "--quiet", "--filter", label, "--filter", "status=paused").stdout.split()
        if paused:
            run("podman", "unpause", *paused, check=False)
        run("podman", "rm", "--force", "--time", "0", *containers, timeout=300)
    volumes = run("podman", "volume", "ls", "--quiet", "--filter", label).stdout.split()
    if volumes:
        run("podman", "volume", "rm", "--force", *volumes, timeout=300)
    for network in run("podman", "network", "ls", "--quiet", "--filter", label).stdout.split():
        run("podman", "network", "rm", "--force", network)


def of_checkout(folder: Path) -> list[Layout]:
    """Every fleet that something is left of and whose folder is below ``folder``."""
    found = {path for path in _folders() if path.parent == folder} if shutil.which("podman") else set()
    if folder.is_dir():
        found |= {path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return [Layout(path) for path in sorted(found)]


def running() -> int:
    """How many nodes run on this machine, of all fleets."""
    return len(run("podman", "ps", "--quiet", "--filter", f"label={LABEL}").stdout.split())


def sweep(starting: Layout) -> None:
    """Remove what stands in the way of ``starting``, and every fleet on this machine that nobody owns.

    A fleet that was started to stay is left alone as long as its folder is there. The caller holds the
    machine's lock.
    """
    remove(starting)
    for folder in _folders():
        where = Layout(folder)
        if _stays(where):
            continue
        with owned(where) as free:
            if free:
                remove(where)


def _folders() -> set[Path]:
    """Of all fleets on this machine, whichever checkout they belong to."""
    form = f'{{{{index .Labels "{LABEL}"}}}}'
    listing = ("--filter", f"label={LABEL}", "--format")
    found = run("podman", "ps", "--all", *listing, form).stdout.splitlines()
    found += run("podman", "volume", "ls", *listing, form).stdout.splitlines()
    networks = run("podman", "network", "ls", "--filter", f"label={LABEL}", "--quiet").stdout.split()
    if networks:
        described = json.loads(run("podman", "network", "inspect", *networks).stdout)
        found += [network["labels"][LABEL] for network in described]
    return {Path(folder) for folder in found if folder.startswith("/")}


def _stays(where: Layout) -> bool:
    try:
        return bool(json.loads(where.state.read_text(encoding="utf-8"))["kept"])
    except (FileNotFoundError, NotADirectoryError):
        return False
