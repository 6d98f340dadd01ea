# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``result.env`` and promotion records: what the runbook's own tools read, made from the record alone.

The keys are those of the node contract, "Backups the station's own tools make, and read"; ours follow them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import files, times
from ..probes import one_line
from . import record, states
from .folder import Folder
from .record import Entry

PASS = "PASS"  # noqa: S105 - the runbook's word
APPLIED = "FAIL_ROLLBACK_APPLIED"
SKIPPED = "FAIL_ROLLBACK_SKIPPED"

_OK = (states.PASSED, states.PROMOTED)


def env(values: Mapping[str, Any]) -> bytes:
    """Return ``key=value`` lines; each value is one printable line, so that no value makes a key."""
    return "".join(f"{key}={one_line(str(value), 1000)}\n" for key, value in values.items()).encode()


def result_of(folder: Folder, entries: tuple[Entry, ...]) -> dict[str, Any]:
    """Return what ``result.env`` says of a node whose record this is, in order."""
    state = record.last(entries)
    applied = state == states.ROLLED_BACK
    verdict = record.fact(entries, "verdict") or {}
    promotion = record.fact(entries, "promotion_record")
    blocked = record.fact(entries, "promotion_blocked")
    values = {
        "status": PASS if state in _OK else APPLIED if applied else SKIPPED,
        "backup_dir": record.fact(entries, "backup_path") or "",
        "rollback_applied": int(applied),
        "canary_out_dir": folder.path,
        "soak_summary": folder.soak / "summary.txt",
        "promotion_status": "PROMOTED" if state == states.PROMOTED else "BLOCKED" if blocked else "SKIPPED",
        "promotion_record": promotion or "",
        "rollout": folder.rollout,
        "state": state or "",
        "verdict": verdict.get("result", ""),
        "reason": record.fact(entries, "reason") or "",
    }
    for name in ("release_id", "release_sha256", "card_sha256", "soak_sha256"):
        values[name] = record.fact(entries, name) or ""
    return values


def write_result(folder: Folder) -> bool:
    """Bring ``result.env`` up to date with the record; return whether that changed it.

    There is none while the node's turn has no end yet.
    """
    entries = record.read(folder.record)
    if record.last(entries) in (None, states.PLANNED, states.IN_PROGRESS, states.SOAKING):
        return files.remove(folder.result)
    data = env(result_of(folder, entries))
    if folder.result.exists() and files.read_bounded(folder.result, 1 << 20) == data:
        return False
    files.replace(folder.result, data, 0o644, folder.node.owner())
    return True


def promotion_path(folder: Folder, at: datetime) -> Path:
    """Return where the promotion record of this instant lies."""
    return folder.promotions / f"promotion-{times.to_id(at)}.env"


def write_promotion(folder: Folder, at: datetime, alerts: int, api_url: str, more: Mapping[str, Any]) -> Path:
    """Write ``promotion-<ts>.env`` and return its path; ``alerts`` counts the high and critical ones."""
    path = promotion_path(folder, at)
    files.make_folder(folder.promotions, 0o750, folder.node.owner())
    values = {
        "status": "PROMOTED",
        "promoted_at_utc": times.to_text(at),
        "canary_result_file": folder.result,
        "alerts_high_critical": alerts,
        "api_url": api_url,
        "rollout": folder.rollout,
        **more,
    }
    files.replace(path, env(values), 0o644, folder.node.owner())
    return path
