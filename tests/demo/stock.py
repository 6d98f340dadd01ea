# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The independent readers of the demonstration: programs of the system, not this collection."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def run(*command: str, given: bytes | None = None) -> str:
    """Run a program to its good end and return what it prints."""
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout.decode()


def sqlite3(database: Path, *statements: str) -> str:
    """Ask Debian's sqlite3; return what it prints, errors included."""
    command = ["sqlite3", "-cmd", ".timeout 5000", str(database), ";".join(statements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().replace("\n", "; ")


def sha256sum(path: Path) -> str:
    """Ask coreutils' sha256sum."""
    return run("sha256sum", str(path)).split()[0]


def unpack(archive: Path, identity: Path, into: Path) -> Path:
    """Open an archive with age, zstd (or gzip) and tar; return the folder."""
    into.mkdir()
    squeezed = "zstd" if ".zst." in archive.name else "gzip"
    script = f'age -d -i "$1" "$2" | {squeezed} -d | tar x -C "$3"'
    run("bash", "-o", "pipefail", "-euc", script, "-", str(identity), str(archive), str(into))
    return into


def opens(archive: Path, identity: Path) -> bool:
    """Ask age whether an identity opens an archive."""
    command = ["age", "-d", "-i", str(identity), "-o", "/dev/null", str(archive)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def manifest_agrees(folder: Path) -> str:
    """Return the database's hash that sha256sum and the manifest agree on."""
    wanted = json.loads((folder / "manifest.json").read_text())["state_db_sha256"]
    found = sha256sum(folder / "state.db")
    if wanted != found:
        raise SystemExit(f"the demo expected otherwise: {folder}: sha256sum and manifest disagree")
    return found
