# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python 3.9 in Debian 12 nodes, where this machine has one: the oldest Python of a node.

Lent read-only from the virtual environment of the engine's tests (``build/venv-py39``) and the Python it was
made from. Debian 13 nodes have none: what was built for Debian 12 need not run there.
"""

from __future__ import annotations

import re
from pathlib import Path

from .layout import CHECKOUT, Layout

PREFIX = "/opt/python3.9"
ENVIRONMENT = "/opt/node-python3.9"
_VENV = CHECKOUT / "build" / "venv-py39"
_PACKAGES = "lib/python3.9/site-packages"
#: Where a program of any place finds it, and no package of Debian puts one.
_LIBRARY = "libpython3.9.so.1.0"


def place(where: Layout) -> str | None:
    """Prepare the environment that nodes mount; the interpreter's path in a node, None without Python 3.9."""
    prefix = _prefix()
    if prefix is None:
        return None
    folder = where.python39
    if not folder.exists():
        (folder / "bin").mkdir(parents=True)
        (folder / _PACKAGES).mkdir(parents=True)
        for name in ("python3", "python3.9"):
            (folder / "bin" / name).symlink_to(f"{PREFIX}/bin/python3.9")
        (folder / "pyvenv.cfg").write_text(f"home = {PREFIX}/bin\ninclude-system-site-packages = false\n")
    return f"{ENVIRONMENT}/bin/python3"


def mounts(where: Layout) -> list[str]:
    """Values of ``--volume``."""
    prefix = _prefix()
    if prefix is None:
        return []
    library = prefix / "lib" / _LIBRARY
    return [
        f"{prefix}:{PREFIX}:ro",
        f"{where.python39}:{ENVIRONMENT}:ro",
        f"{_VENV / _PACKAGES}:{ENVIRONMENT}/{_PACKAGES}:ro",
        *([f"{library}:/usr/lib/{_LIBRARY}:ro"] if library.exists() else []),
    ]


def _prefix() -> Path | None:
    """The Python that the environment was made from."""
    try:
        home = re.search(r"^home = (.*)$", (_VENV / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    except FileNotFoundError:
        return None
    if home is None or not (Path(home[1]) / "python3.9").exists() or Path(home[1]) == Path("/usr/bin"):
        return None
    return Path(home[1]).parent


def available() -> bool:
    return _prefix() is not None
