# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

"""Option groups that several modules share. Each has its twin in plugins/doc_fragments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._core import control_api, node
from ._core.errors import require_absolute
from ._core.rollout import folder


def node_options() -> dict[str, Any]:
    """Return where a node keeps its things and how long to wait for it (fragment ``_node``)."""
    return {
        "root": {"type": "path", "required": True},
        "state_db": {"type": "path", "default": node.STATE_DB},
        "owner_card": {"type": "path", "default": node.OWNER_CARD},
        "backup_dir": {"type": "path", "default": node.BACKUP_DIR},
        "key_dir": {"type": "path", "default": node.KEY_DIR, "no_log": False},
        "lock_timeout": {"type": "float", "default": 30.0},
    }


def node_at(params: dict[str, Any]) -> node.Node:
    """Return the node that a module's parameters name."""
    return node.Node.at(
        params["root"], params["state_db"], params["owner_card"], params["backup_dir"], params["key_dir"]
    )


def recovery_options() -> dict[str, Any]:
    """Return who can open archives when a node is lost (fragment ``_recovery``)."""
    return {"recovery_recipients": {"type": "list", "elements": "str", "default": []}}


def recovery(params: dict[str, Any]) -> tuple[str, ...]:
    """Return the recovery recipients that a module's parameters name."""
    return tuple(params["recovery_recipients"])


def identity_options() -> dict[str, Any]:
    """Return what opens archives beside the node's own keys (fragment ``_identity``)."""
    return {"identity_file": {"type": "path"}}


def identity_file(params: dict[str, Any]) -> Path | None:
    """Return the identity file that a module's parameters name."""
    given = params["identity_file"]
    return None if given is None else require_absolute(given, "identity_file")


def api_options() -> dict[str, Any]:
    """Return where the station's control API is and what opens it (fragment ``_api``)."""
    return {
        "api_url": {"type": "str", "default": control_api.DEFAULT_URL},
        "api_timeout": {"type": "float", "default": control_api.DEFAULT_TIMEOUT},
        "control_token": {"type": "str", "no_log": True},
        "control_secret": {"type": "str", "no_log": True},
        "control_env_file": {"type": "path"},
        "env": {"type": "str", "default": "production"},
    }


def api_from(params: dict[str, Any], signed: bool = False) -> control_api.Api:
    """Return the control API that a module's parameters name.

    Only ``signed`` ones can give the station commands, and only they need a token and a secret.
    """
    known = None
    if signed:
        given = params["control_env_file"]
        known = control_api.credentials(
            params["control_token"],
            params["control_secret"],
            None if given is None else require_absolute(given, "control_env_file"),
            params["env"],
        )
    return control_api.Api(params["api_url"], known, params["api_timeout"])


def rollout_options() -> dict[str, Any]:
    """Return which rollout it is and where a node keeps what it knows of it (fragment ``_rollout``)."""
    return {
        "rollout": {"type": "str", "required": True},
        "canary_dir": {"type": "path", "default": folder.CANARY_DIR},
    }


def rollout_at(params: dict[str, Any]) -> folder.Folder:
    """Return the folder of the rollout that a module's parameters name, on the node that they name."""
    return folder.Folder.of(node_at(params), params["rollout"], params["canary_dir"])
