# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a module as ansible does, with the oldest Python of a node, which has no Ansible of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.helpers import CHECKOUT


def on_a_node(called: str, /, check: bool = False, **params: Any) -> dict[str, Any]:
    """Run a module with the Python that VVTV_TEST_NODE_PYTHON names, else this one; return its result."""
    params = {key: str(value) if isinstance(value, Path) else value for key, value in params.items()}
    python = os.environ.get("VVTV_TEST_NODE_PYTHON", sys.executable)
    options = ["-i", "node,", "-c", "local", "-e", f"ansible_python_interpreter={python}"]
    done = subprocess.run(
        ["ansible", *options, "-m", f"vvtv.runbook.{called}", "-a", json.dumps(params), "node"]
        + (["--check"] if check else []),
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build/collections"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    _head, arrow, told = done.stdout.partition("=> ")
    assert arrow, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(told)
    return result
