# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One act of the engine, as a process of its own: what a module does on a node, without Ansible around it.

    python -m tests.bench.engine keys|rotate|backup|verify|restore|rewrap|imports ROOT [ARGUMENT]

The argument of backup is the compression, that of verify and restore the backup's id. The last line it prints
is what it did, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node


def keys(node: Node, _argument: str) -> dict[str, Any]:
    """Make the node's key unless there is one. Loads the whole engine, so that all of it is compiled."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import key_states

    imports(node, "")
    return _told(key_states.bring_about(node, key_states.Request()).facts["key"])


def rotate(node: Node, _argument: str) -> dict[str, Any]:
    """Make a new key; the archives stay as they are."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import key_states

    return _told(key_states.bring_about(node, key_states.Request(state="rotated")).facts["key"])


def backup(node: Node, compression: str) -> dict[str, Any]:
    """Make an encrypted backup, whether or not one is needed."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import backup

    made = backup.back_up(node, backup.Request(force=True, compression=compression, timeout=60))
    return _told(made.facts["backup"])


def verify(node: Node, wanted: str) -> dict[str, Any]:
    """Read a backup back."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import verify

    return {"checks": len(verify.verify_backups(node, wanted, "quick").facts["checks"])}


def restore(node: Node, wanted: str) -> dict[str, Any]:
    """Bring the node to a backup's content."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import restore

    done = restore.restore(node, restore.Request(wanted, timeout=60))
    return {"exact": done.facts["exact"], "safety": done.facts["safety"] is not None}


def rewrap(node: Node, _argument: str) -> dict[str, Any]:
    """Give every archive a header for the node's current key."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import key_states

    told = key_states.bring_about(node, key_states.Request(rewrap=True)).facts["rewrap"]
    return {state: len(ids) for state, ids in told.items()}


def imports(_node: Node, _argument: str) -> dict[str, Any]:
    """Load what the other acts load, and do nothing."""
    from ansible_collections.vvtv.runbook.plugins.module_utils._core import (  # noqa: F401
        backup,
        key_states,
        restore,
        verify,
    )

    return {}


ACTS: dict[str, Callable[[Node, str], dict[str, Any]]] = {
    act.__name__: act for act in (keys, rotate, backup, verify, restore, rewrap, imports)
}


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("id", "method", "size") if name in facts}


def main() -> None:
    act, root, argument = (*sys.argv[1:], "")[:3]
    print(json.dumps(ACTS[act](Node.at(root), argument)))  # noqa: T201


if __name__ == "__main__":
    main()
