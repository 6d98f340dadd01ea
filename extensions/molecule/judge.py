# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the verifiers of both scenarios share: the nodes, and who can read a secret."""

from __future__ import annotations

import os
import shlex
from typing import Any

from tests.fleet import fleet as fleets
from tests.fleet.node import Node

FLEET = fleets.load(os.environ["VVTV_FLEET"])
# One connection a node, in the folder that goes with the fleet: each command of a verifier is quick then.
_SSH = FLEET.where.folder / "ssh_config.shared"
_SSH.write_text(
    f"ControlPath {FLEET.where.control_path}/%n\n{FLEET.ssh_config.read_text()}", encoding="utf-8"
)
#: Over SSH as the user ops, with sudo.
HOSTS = [f"ssh://{node.name}?ssh_config={_SSH}&sudo=true" for node in FLEET]

ROOT = "/srv/vvtv"
_SECRETS = f"{FLEET.token}\n{FLEET.secret}\nAGE-SECRET-KEY-1[0-9A-Z]{{40,}}\n"
#: Every place where something of ours, or of the station's, could lie; the rest is Debian's own.
_PLACES = "/dev/shm /etc /home /opt/vvtv-station /root /run /srv /tmp /usr/local /var"


def node_of(host: Any) -> Node:
    """The fleet's view of one of testinfra's hosts."""
    node: Node = FLEET[host.backend.host.name]
    return node


def find_secrets(host: Any, user: str) -> list[str]:
    """The files in which a user of the node can read token, secret, or a private key."""
    command = f"sudo runuser -u {user} -- grep -rlE --devices=skip -f - {_PLACES}"
    found = node_of(host).ssh(command, stdin=_SECRETS, check=False)
    assert found.returncode in (0, 1, 2), found  # 2: something could not be read, which is the point
    return sorted(found.stdout.split())


def is_told(host: Any, patterns: str) -> bool:
    """Whether the journal or a command line of the node holds one of the patterns."""
    told = "{ journalctl --quiet --no-pager; cat /proc/[0-9]*/cmdline; } 2>/dev/null"
    script = f"exec 3<&0; {told} </dev/null | tr '\\0' ' ' | grep -qaE -f /dev/fd/3"
    found = node_of(host).ssh(f"sudo sh -c {shlex.quote(script)}", stdin=patterns, check=False)
    assert found.returncode in (0, 1), found
    return found.returncode == 0


def assert_no_secret_is_told(host: Any) -> None:
    """Nobody but root and the service user can read a secret; no journal and no command line holds one."""
    assert find_secrets(host, "nobody") == []
    assert find_secrets(host, "ops") == []
    assert is_told(host, "systemd")
    assert not is_told(host, _SECRETS)


def opened(host: Any, archive: str, key: str) -> bool:
    """Whether stock age and zstd open an archive with a key, and SQLite finds its database sound."""
    script = (
        f"cd $(mktemp -d) && age -d -i {key} {archive} | zstd -qd | tar x"
        " && sqlite3 state.db 'PRAGMA integrity_check' | grep -qx ok; done=$?; rm -rf $PWD; exit $done"
    )
    return int(host.run("bash -o pipefail -c %s", script).rc) == 0
