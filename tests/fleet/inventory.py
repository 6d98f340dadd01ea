# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible, testinfra and ssh find the nodes. Paths are literal: testinfra fills in no templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from . import station
from .layout import Layout
from .machine import Facts

HOST = "127.0.0.1"
USER = "ops"
PYTHON = "/usr/bin/python3"


def write(where: Layout, nodes: Sequence[Facts], token: str, secret: str) -> None:
    """Write both inventories and the ssh configuration."""
    for path, become_user in ((where.inventory, "root"), (where.inventory_vvtv, station.USER)):
        content = yaml.safe_dump(_inventory(where, nodes, token, secret, become_user), sort_keys=False)
        path.touch(mode=0o600)
        path.write_text(f"---\n{content}", encoding="utf-8")
    where.ssh_config.write_text(_ssh_config(where, nodes), encoding="utf-8")


def _inventory(
    where: Layout, nodes: Sequence[Facts], token: str, secret: str, become_user: str
) -> dict[str, Any]:
    variables = {
        "ansible_host": HOST,
        "ansible_user": USER,
        "ansible_become": True,
        "ansible_become_user": become_user,
        "ansible_python_interpreter": PYTHON,
        "ansible_ssh_private_key_file": str(where.key),
        "ansible_ssh_common_args": " ".join(f"-o {option}" for option in _ssh_options(where)),
        # Shared connections of this fleet alone: a later one may get the same ports.
        "ansible_control_path_dir": str(where.control_path),
        "vvtv_root": station.ROOT,
        "vvtv_api_url": station.API,
        "vvtv_env": "production",
        "vvtv_control_token": token,
        "vvtv_control_secret": secret,
    }
    hosts = {
        node.name: {
            "ansible_port": node.port,
            "fleet_release": node.release,
            **({"fleet_python39": node.python39} if node.python39 else {}),
        }
        for node in nodes
    }
    children = {"vvtv_canary": {"hosts": {nodes[0].name: None}}}
    if len(nodes) > 1:
        children["vvtv_baseline"] = {"hosts": {nodes[1].name: None}}
    return {"vvtv": {"hosts": hosts, "vars": variables, "children": children}}


def _ssh_options(where: Layout) -> list[str]:
    return [
        f"UserKnownHostsFile={where.known_hosts}",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
    ]


def _ssh_config(where: Layout, nodes: Sequence[Facts]) -> str:
    lines = []
    for node in nodes:
        lines += [f"Host {node.name}", f"  HostName {HOST}", f"  Port {node.port}"]
    common = [option.replace("=", " ", 1) for option in _ssh_options(where)]
    common += [
        f"User {USER}", f"IdentityFile {where.key}", "BatchMode yes", "LogLevel ERROR", "ConnectTimeout 10",
        "ServerAliveInterval 3", "ServerAliveCountMax 3",
    ]  # fmt: skip
    return "\n".join([*lines, "Host *", *(f"  {line}" for line in common)]) + "\n"
