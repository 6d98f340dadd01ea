# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A station that wants a token and a secret, and the readers that are not our code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.helpers import CHECKOUT, module
from tests.simulator import auth, fleet

TOKEN, SECRET = "token-marker-5f1c", "secret-marker-9d2e"
KNOWN = {"control_token": TOKEN, "control_secret": SECRET}

# What the shell runbook does, with curl and openssl: read, then toggle, without the node's lock.
_ROGUE = """
while sleep "0.$((RANDOM % 5))"; do
  curl -s "$URL/v1/status" | grep -q RUNNING || continue
  ts=$(date +%s)
  signature=$(printf 'POST\\n/v1/control/emergency-mode\\n%s\\n' "$ts" |
    openssl dgst -sha256 -hmac "$VVTV_CONTROL_SECRET" | sed 's/.*= //')
  curl -s -X POST -H "Authorization: Bearer $VVTV_CONTROL_TOKEN" -H "x-vvtv-ts: $ts" \
    -H "x-vvtv-signature: $signature" "$URL/v1/control/emergency-mode"
  echo
done
"""


@contextmanager
def started(root: Path) -> Iterator[fleet.Node]:
    """A station that is not a dev one."""
    with fleet.start_node(root, size="256K", credentials=auth.Credentials(TOKEN, SECRET)) as node:
        yield node


def call(station: fleet.Node, called: str, /, **params: Any) -> dict[str, Any]:
    """Run a module with what it needs to command the station."""
    return module(called, **{"root": station.root, "api_url": station.url, **KNOWN, **params})


def state_of(station: fleet.Node) -> str:
    """Ask curl."""
    asked = ["curl", "-sf", f"{station.url}/v1/status"]
    answer = subprocess.run(asked, capture_output=True, check=True).stdout
    return {"EMERGENCY": "on", "RUNNING": "off"}[json.loads(answer)["state"]]


@contextmanager
def rogue(station: fleet.Node, log: Path) -> Iterator[None]:
    """Somebody who switches emergency mode on whenever it is off; ``log`` holds what the station answered."""
    env = {**os.environ, "URL": station.url, "VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    with log.open("w") as out, subprocess.Popen(["bash", "-c", _ROGUE], env=env, stdout=out) as running:
        try:
            yield
        finally:
            running.kill()


def said_with_vvv(called: str, params: dict[str, Any], where: Path, keep_files: bool, code: int = 0) -> str:
    """Run a module from a playbook with -vvv, its options in a file of variables; return all that was said.

    With ``keep_files`` what Ansible brought to the node stays there, which holds every option.
    """
    names = {name: f"{{{{ given_{name} }}}}" for name in params}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{f"vvtv.runbook.{called}": names}]}]
    (where / "book.yml").write_text(json.dumps(play))
    (where / "given.json").write_text(json.dumps({f"given_{name}": value for name, value in params.items()}))
    (where / "ansible.log").unlink(missing_ok=True)
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_KEEP_REMOTE_FILES": str(int(keep_files)),
        "ANSIBLE_REMOTE_TMP": str(where / "ansible"),
        "ANSIBLE_LOG_PATH": str(where / "ansible.log"),
        "ANSIBLE_INJECT_INVOCATION": "1",  # what older versions show at -vvv anyway
    }
    command = ["ansible-playbook", "-vvv", "--diff", "-e", "@given.json", "book.yml"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=where)
    assert done.returncode == code, done.stdout + done.stderr
    assert "invocation" in done.stdout
    return done.stdout + done.stderr + (where / "ansible.log").read_text()


def files_with(secrets: set[str], *folders: Path) -> list[Path]:
    """Every file that holds one of the secrets."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]
