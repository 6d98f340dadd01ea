# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of the node's command: packed on the controller, put in place on the node as one.

engine.py digest FOLDER             one SHA-256 over all its Python files
engine.py pack FOLDER               the Python files as a zip archive in base64
engine.py installed LIBRARY         on the node: the digest of LIBRARY/vvtv_runbook; "none" where there is
                                    nothing that root would trust
engine.py install LIBRARY DIGEST    on the node, as root: such an archive from standard input becomes
                                    LIBRARY/vvtv_runbook if it has this digest

LIBRARY/vvtv_runbook is a link to a folder beside it, so that switching from one engine to the next is one
step. The former one stays for processes that still run, and goes with the next installation.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "vvtv_runbook"
_LONGEST = 16 << 20


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below a folder in an order that is the same everywhere."""
    found = (path for path in folder.rglob("*.py") if path.is_file())
    yield from sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def digest(folder: Path) -> str:
    """Return one digest over names and content."""
    known = hashlib.sha256()
    for path in python_files(folder):
        content = path.read_bytes()
        known.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        known.update(content)
    return known.hexdigest()


def installed(library: Path) -> str:
    """Return the digest of the engine that is in place; "none" where others could have changed it."""
    here = (library / PACKAGE).resolve()
    if not here.is_dir():
        return "none"
    for path in (library, here.parent, here, *here.rglob("*")):
        found = path.lstat()
        if found.st_uid != 0 or (not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o022):
            return "none"
    return digest(here)


def pack(folder: Path) -> str:
    """Return the files as text that survives every channel; the same files give the same text."""
    space = io.BytesIO()
    with zipfile.ZipFile(space, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in python_files(folder):
            known = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            archive.writestr(known, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return base64.b64encode(space.getvalue()).decode()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unpack(packed: bytes, target: Path) -> None:
    """Write the files, durably; the archive is of our making, and is checked all the same."""
    target.mkdir()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed, validate=True))) as archive:
        if sum(member.file_size for member in archive.infolist()) > _LONGEST:
            raise SystemExit("the engine is larger than it can be")
        for member in archive.infolist():
            path = target / member.filename
            if not path.resolve().is_relative_to(target.resolve()) or path.suffix != ".py":
                raise SystemExit("the archive holds what is no part of the engine")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))
            _sync(path)
    for folder in {path.parent for path in target.rglob("*")} | {target}:
        _sync(folder)


def _switch(link: Path, target: str) -> None:
    """Let the link lead to another folder, in one step."""
    if link.is_dir() and not link.is_symlink():
        link.rename(link.with_name("made-by-hand"))
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    _sync(link.parent)


def install(library: Path, wanted: str, packed: bytes) -> None:
    """Put an engine in place; an error leaves the one before in force."""
    os.umask(0o022)
    library.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(library, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # until this process ends
    link = library / PACKAGE
    former = link.resolve().parent.name if link.is_symlink() else ""
    fresh = Path(tempfile.mkdtemp(prefix=f"{wanted[:12]}-", dir=library))
    try:
        fresh.chmod(0o755)
        _unpack(packed, fresh / PACKAGE)
        if digest(fresh / PACKAGE) != wanted:
            raise SystemExit("what arrived is not what was sent")
    except BaseException:
        shutil.rmtree(fresh)
        raise
    _switch(link, f"{fresh.name}/{PACKAGE}")
    for path in library.iterdir():
        if path.name not in (link.name, fresh.name, former):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def main(words: list[str]) -> None:
    verb, place = words[0], Path(words[1])
    if verb == "install":
        install(place, words[2], sys.stdin.buffer.read(2 * _LONGEST))
    else:
        tell = {"digest": digest, "pack": pack, "installed": installed}
        sys.stdout.write(tell[verb](place))


if __name__ == "__main__":
    main(sys.argv[1:])
