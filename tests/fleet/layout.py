# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a fleet keeps its files, and what its containers are called."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .host import FleetError

CHECKOUT = Path(__file__).resolve().parents[2]
FLEETS = CHECKOUT / "build" / "fleet"
SCRATCH = FLEETS / ".images"

#: Label of every container, volume and network; its value is the fleet's folder.
LABEL = "vvtv-fleet"
#: Label of a container: the loopback port of its sshd.
PORT_LABEL = "vvtv-fleet-port"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Layout:
    """The paths of one fleet."""

    folder: Path

    @property
    def id(self) -> str:
        """Begins the names of all that the fleet makes on the machine; short, for a socket's path."""
        return f"vvtv-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"

    @property
    def state(self) -> Path:
        return self.folder / "fleet.json"

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def inventory(self) -> Path:
        """Becomes root."""
        return self.folder / "inventory.yml"

    @property
    def inventory_vvtv(self) -> Path:
        """Becomes the station's user."""
        return self.folder / "inventory-vvtv.yml"

    @property
    def station(self) -> Path:
        """A copy of the simulator: an edit in the checkout does not reach into a running fleet."""
        return self.folder / "station"

    @property
    def python39(self) -> Path:
        return self.folder / "python3.9"

    @property
    def control_path(self) -> Path:
        """Sockets of shared SSH connections: their paths must be short, the checkout's may not be."""
        return Path("/tmp") / f"{self.id}-cp"  # noqa: S108 (made with 0700, and refused when it exists)

    def node(self, name: str) -> Path:
        return self.folder / "nodes" / name

    def disk_image(self, name: str) -> Path:
        """What the node's own disk is stored in."""
        return self.node(name) / "disk.img"


def layout(name: str) -> Layout:
    if not _NAME.fullmatch(name):
        raise FleetError(
            f"a fleet's name is lower-case letters, digits and dashes, 20 at most: {name[:40]!r}"
        )
    return Layout(FLEETS / name)


@contextlib.contextmanager
def owned(where: Layout) -> Iterator[bool]:
    """Hold the fleet's lock, which dies with its process; False when somebody else holds it."""
    # Beside the folder, which comes and goes. A checkout that is gone has no owners.
    path = where.folder.with_name(f".{where.folder.name}.lock")
    if not path.parent.is_dir():
        yield True
        return
    file = path.open("w")  # noqa: SIM115 (closed below, when the caller's block has ended)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = True
    except BlockingIOError:
        mine = False
    try:
        yield mine
    finally:
        file.close()
