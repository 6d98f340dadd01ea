# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full disk."""

from __future__ import annotations

import shlex

from .host import FleetError
from .machine import DISK, Machine

_BALLAST = f"{DISK}/.fleet-ballast"
#: Marks a file system that was mounted to be full; ``findmnt`` shows it.
_SOURCE = "fleet-full"
_PAGE = 4096


#: A shell script that prints a line for each file system that is full.
STATUS = (
    f"[ ! -e {_BALLAST} ] || echo full {DISK}\n"
    f"findmnt --noheadings --raw --output TARGET --source {_SOURCE} | sed 's/^/full /'\n"
)


def fill(node: Machine, path: str = DISK, free: int = 0) -> None:
    """Leave ``free`` bytes on the file system of ``path``.

    On the node's own disk (everything below ``/srv``) by a file that takes the room, so the whole disk is
    full for everybody. A folder elsewhere gets a file system of its own, with the folder's files and ``free``
    bytes more; what is written there meanwhile is gone after :func:`unfill`, and with a start or a reboot.
    """
    if free < 0:
        raise FleetError("a disk cannot have less than no room")
    if path == DISK or path.startswith(f"{DISK}/"):
        _ballast(node, free)
    elif node.exec("findmnt", "--mountpoint", path, check=False).returncode == 0:
        raise FleetError(
            f"{node.name}: something is mounted on {path}; unfill first, or take a folder below it"
        )
    else:
        _mount(node, path, free)


def unfill(node: Machine) -> None:
    """Give all the room back. Does nothing where none was taken."""
    node.sh(
        f"""
        rm -f {_BALLAST}
        findmnt --noheadings --raw --output TARGET --source {_SOURCE} | while read -r target; do
          umount --lazy "$target"
        done
        """
    )


def _ballast(node: Machine, free: int) -> None:
    node.exec("rm", "-f", _BALLAST)
    # The file system needs blocks of its own for a file of this size, and the station writes meanwhile.
    node.sh(
        f"""
        for round in 1 2 3 4 5; do
          room=$(($(stat --file-system --format '%a * %S' {DISK}) - {free}))
          [ "$room" -gt 0 ] || break
          had=$(stat --format %s {_BALLAST} 2>/dev/null || echo 0)
          fallocate --offset "$had" --length "$room" {_BALLAST} 2>/dev/null || true
        done
        """
    )


def _mount(node: Machine, path: str, free: int) -> None:
    folder = shlex.quote(path)
    node.sh(
        f"""
        cd {folder}
        pages=$(find . -type f -printf '%s\\n' |
          awk '{{ pages += int(($1 + {_PAGE - 1}) / {_PAGE}) }} END {{ print pages + 0 }}')
        size=$(((pages + ({free} + {_PAGE - 1}) / {_PAGE}) * {_PAGE}))
        # A size of 0 would mean no limit.
        [ "$size" -gt 0 ] || size={_PAGE}
        owner=$(stat --format 'mode=%a,uid=%u,gid=%g' .)
        mount -t tmpfs -o "size=$size,$owner" {_SOURCE} {folder}
        # The shell still stands in the folder below.
        cp -a . {folder}/
        """
    )
