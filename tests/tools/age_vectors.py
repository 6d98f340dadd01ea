# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch the official test vectors of the age format and lay them out, a file each, in FOLDER/age.

age_vectors.py FOLDER      quick when they are there already

They come from npm (cctv-age, whose one module holds them as base64) and are not kept in the repository.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "cctv-age@0.2.0"
MODULE_SHA256 = "3b795b89c8500746cdb23abf7176511683d31b5a50129676267aab2346bf161c"
COUNT = 143
VECTOR = re.compile(r'^// \.\./testdata/(\w+)\nvar \w+ = __toBinary\("([A-Za-z0-9+/=]+)"\);$', re.MULTILINE)


def fetch(folder: Path) -> str:
    """Install the package below FOLDER and return the text of its module."""
    if not shutil.which("npm"):
        raise SystemExit("error: npm, which brings the age test vectors, is missing: apt-get install npm")
    quietly = ["--ignore-scripts", "--no-audit", "--no-fund"]
    command = ["npm", "install", "--prefix", str(folder), *quietly, PACKAGE]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"error: npm cannot install {PACKAGE}: is the registry reachable?\n{run.stdout}")
    module = (folder / "node_modules/cctv-age/index.js").read_bytes()
    if hashlib.sha256(module).hexdigest() != MODULE_SHA256:
        raise SystemExit(f"error: {PACKAGE} is not what it was: its module has another SHA-256")
    return module.decode("utf-8")


def lay_out(module: str, target: Path) -> None:
    """Write every vector of the module, then move the folder into place, so that it is whole or absent."""
    vectors = dict(VECTOR.findall(module))
    if len(vectors) != COUNT:
        raise SystemExit(f"error: found {len(vectors)} age test vectors, not {COUNT}")
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in vectors.items():
        (fresh / name).write_bytes(base64.b64decode(data))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def main() -> int:
    folder = Path(sys.argv[1])
    target = folder / "age"
    if not target.is_dir() or len(list(target.iterdir())) != COUNT:
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(fetch(folder), target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
