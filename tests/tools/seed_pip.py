# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give ansible-test its pip without its download of get-pip.py.

ansible-test makes its virtual environments without pip and fetches get-pip.py from a host that many
networks do not reach. It looks into its cache under HOME first; so put a script of that name there which
installs the very version that ansible-test asks for, from a wheel out of the package index.

Usage: seed_pip.py HOME, with the Python that has the ansible-core in question.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

STAND_IN = '''\
"""Install pip from the wheel beside this file: a stand-in for get-pip.py, made by seed_pip.py."""

import glob
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
wheel = glob.glob(os.path.join(here, "pip-{version}-*.whl"))[0]
options = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.path.insert(0, wheel)

from pip._internal.cli.main import main

sys.exit(main(["install", "-q", "--no-index", "--find-links", here] + options))
'''


def wanted_version() -> str:
    """The pip version that this interpreter's ansible-test installs."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"error: {sys.executable} has no ansible-test; is ansible-core installed there?")
    source = Path(spec.submodule_search_locations[0], "_internal/python_requirements.py")
    found = re.search(r"default_packages = dict\(\s*pip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"error: no pip version in {source}: this ansible-core keeps it elsewhere")
    return found.group(1)


def main() -> int:
    cache = Path(sys.argv[1], ".ansible/test/cache")
    cache.mkdir(parents=True, exist_ok=True)
    version = wanted_version()
    if not list(cache.glob(f"pip-{version}-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache)]
        subprocess.run([*command, f"pip=={version}"], check=True)
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    script.write_text(STAND_IN.format(version=version), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
