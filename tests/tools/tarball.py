# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the tarball holds what an operator needs and nothing else. Usage: tarball.py TARBALL"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

NEEDED = {
    "CHANGELOG.md": "made by: .venv/bin/antsibull-changelog release",
    "LICENSE": "the text of the licence",
    "MANIFEST.json": "made by the build",
    "FILES.json": "made by the build",
    "README.md": "named in galaxy.yml",
    "changelogs/changelog.yaml": "made by: .venv/bin/antsibull-changelog release",
    "meta/runtime.yml": "Galaxy refuses a collection without it",
    "tests/config.yml": "tells ansible-test the oldest Python of a node",
}
TOP = {
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "SECURITY.md",
    "ansible.cfg",
    "changelogs",
    "docs",
    "extensions",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "roles",
    "tests",
}
LARGEST = 20 * 1024 * 1024


def faults(tarball: Path) -> list[str]:
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    names = {member.name for member in members if not member.isdir()}
    found = [f"misses {name} ({NEEDED[name]})" for name in sorted(NEEDED.keys() - names)]
    for name in sorted(names):
        if name.split("/")[0] not in TOP:
            found.append(f"holds {name}: add it to build_ignore in galaxy.yml")
        elif name.startswith("tests/") and name != "tests/config.yml":
            found.append(f"holds {name}: tests stay out, add it to build_ignore in galaxy.yml")
        elif "__pycache__" in name or name.endswith((".pyc", ".swp")):
            found.append(f"holds {name}, which is made by a run")
    found += [
        f"holds {member.name}, a link or a device"
        for member in members
        if not (member.isfile() or member.isdir())
    ]
    if tarball.stat().st_size > LARGEST:
        found.append(f"is {tarball.stat().st_size} bytes; Galaxy takes {LARGEST}")
    return found


def main() -> int:
    tarball = Path(sys.argv[1])
    found = faults(tarball)
    for fault in found:
        print(f"{tarball.name} {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
