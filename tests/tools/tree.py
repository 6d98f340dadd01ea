# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of the checkout: tracked ones and new ones that git does not ignore.

tree.py list [--shell] ROOT        print them, or only the shell scripts among them
tree.py copy ROOT DESTINATION      make DESTINATION an exact copy of them (what else is there goes away)

Works without git too; then it leaves out what .gitignore would.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

GENERATED = {
    ".git",
    ".venv",
    "build",
    ".ansible",
    "__pycache__",
    ".hypothesis",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
}


def tracked_by_git(root: Path) -> list[str] | None:
    """The names git knows or would add; None where ROOT is no checkout or git is missing."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return None
    command = ["git", "-C", str(root), "-c", f"safe.directory={root}"]
    command += ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return [os.fsdecode(name) for name in listing.split(b"\0") if name]


def found_on_disk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in GENERATED]
        for name in names:
            if not name.endswith((".pyc", ".tar.gz", ".swp")):
                yield str(Path(folder, name).relative_to(root))


def files(root: Path) -> list[str]:
    names = tracked_by_git(root)
    if names is None:
        names = list(found_on_disk(root))
    # A file that was deleted but not yet committed is still in git's list.
    return sorted({name for name in names if os.path.lexists(root / name)})


def is_shell_script(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    if path.suffix or path.is_symlink():
        return False
    with path.open("rb") as stream:
        first = stream.readline(128)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in {b"sh", b"bash"}


def copy(root: Path, destination: Path) -> int:
    """Make it beside and swap, so that a copy is whole or absent."""
    fresh = destination.with_name(destination.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    names = files(root)
    for name in names:
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target, follow_symlinks=False)
    shutil.rmtree(destination, ignore_errors=True)
    fresh.rename(destination)
    return len(names)


def main() -> int:
    parser = argparse.ArgumentParser(description="list or copy the files of the checkout")
    commands = parser.add_subparsers(dest="command", required=True)
    lister = commands.add_parser("list")
    lister.add_argument("--shell", action="store_true")
    lister.add_argument("root", type=Path)
    copier = commands.add_parser("copy")
    copier.add_argument("root", type=Path)
    copier.add_argument("destination", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "copy":
        if not copy(arguments.root, arguments.destination):
            raise SystemExit(f"error: nothing to copy in {arguments.root}")
        return 0
    for name in files(arguments.root):
        if not arguments.shell or is_shell_script(arguments.root / name):
            print(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
