# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's image is made of. Its digest names the image, so another recipe is another image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).resolve().parent / "image"
REPOSITORY = "localhost/vvtv-fleet-node"
LABEL = "vvtv-fleet-image"

#: Release number: code name, and the Python it comes with.
RELEASES = {12: ("bookworm", "3.11"), 13: ("trixie", "3.13")}

#: In every node, as on a server that somebody set up and Ansible can reach.
PACKAGES = (
    "acl", "ca-certificates", "curl", "dbus", "iproute2", "libfaketime", "libpam-systemd", "openssh-server",
    "procps", "python3", "python3-apt", "sqlite3", "sudo", "systemd-sysv",
)  # fmt: skip

#: What the modules need on a node: the role ``node`` installs it on a virgin one.
READY = ("python3-cryptography", "python3-yaml", "python3-zstandard")

#: In the repository inside a node, with all they need.
OFFERED = (*READY, "age", "zstd")

#: Nobody reads these on a node.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")


@dataclass(frozen=True)
class Image:
    """One image: a virgin node, or one with a station and all that the modules need."""

    release: int
    virgin: bool

    @property
    def tag(self) -> str:
        return f"{REPOSITORY}:{self.release}-{'virgin' if self.virgin else 'ready'}-{digest()}"


def digest() -> str:
    """Of everything that decides what is in an image. Debian's own updates do not change it."""
    known = hashlib.sha256()
    known.update(json.dumps([RELEASES, PACKAGES, READY, OFFERED, LEFT_OUT]).encode())
    for path in sorted(path for path in FILES.rglob("*") if path.is_file()):
        known.update(f"\0{path.relative_to(FILES)}\0{path.stat().st_mode & 0o100:o}\0".encode())
        known.update(path.read_bytes())
    # How they are put together is part of the recipe too.
    known.update(Path(__file__).with_name("images.py").read_bytes())
    return known.hexdigest()[:12]
