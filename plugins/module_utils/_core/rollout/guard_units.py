# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's timer and service: units of systemd that outlive the bastion, its connection, and a reboot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .. import files, programs
from ..errors import BadInput, guarded
from .folder import check_id

UNITS = Path("/etc/systemd/system")
SYSTEMD = Path("/run/systemd/system")
_STAMPS = Path("/var/lib/systemd/timers")
_SECONDS = 60.0
_MARK = "# Written by vvtv.runbook for one rollout, which removes it."
_ROOT = files.Owner(0, 0)


def why_unavailable() -> str | None:
    """Return why there can be no guard on this machine, ``None`` when there can be one."""
    if not SYSTEMD.is_dir():
        return "this host does not run systemd"
    return None if os.geteuid() == 0 else "units of systemd need root"


@dataclass(frozen=True)
class Units:
    """The texts of both units of a rollout."""

    rollout: str
    service: str
    timer: str

    @classmethod
    def of(cls, rollout: str, root: Path, argv: Sequence[str], fires_at: datetime) -> Units:
        """Return the units that run ``argv`` at an instant, given in whole seconds.

        The timer also fires after each start of the machine: a run that a power cut ended goes on then. What
        comes too early, or after the end, finds nothing to do.
        """
        about = f"VVTV runbook: rollout {check_id(rollout)} is rolled back unless it is confirmed"
        service = f"""{_MARK}
[Unit]
Description={about}
RequiresMountsFor={_quoted(os.fspath(root))}

[Service]
Type=exec
ExecStart={" ".join(_quoted(word) for word in argv)}
# Killed, or the node was busy.
Restart=on-abnormal
RestartForceExitStatus=5
RestartSec=15
UMask=0022
LimitCORE=0
"""
        instant = fires_at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        timer = f"""{_MARK}
[Unit]
Description={about}

[Timer]
OnCalendar={instant}
OnBootSec=20
Persistent=true
AccuracySec=1

[Install]
WantedBy=timers.target
"""
        return cls(rollout, service, timer)


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back, whatever it holds."""
    if not word.isprintable():
        raise BadInput("a path or option with control characters cannot be written into a unit")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _paths(rollout: str) -> tuple[Path, Path]:
    base = f"vvtv-rollback-{check_id(rollout)}"
    return UNITS / f"{base}.service", UNITS / f"{base}.timer"


def in_place(units: Units) -> bool:
    """Whether these very units are there, and the timer waits."""
    service, timer = _paths(units.rollout)
    texts = {service: units.service, timer: units.timer}
    with guarded("read the guard's units"):
        same = all(path.is_file() and path.read_text() == text for path, text in texts.items())
    return same and is_waiting(units.rollout)


def is_waiting(rollout: str) -> bool:
    """Whether the timer is there and active."""
    timer = _paths(rollout)[1]
    return programs.run(["systemctl", "is-active", "--quiet", timer.name], _SECONDS).code == 0


def is_firing(rollout: str) -> bool:
    """Whether the service runs just now."""
    if not SYSTEMD.is_dir():
        return False
    show = ["systemctl", "show", "--property=ActiveState", "--value", _paths(rollout)[0].name]
    return programs.run(show, _SECONDS).said in ("activating", "active", "deactivating")


def is_there(rollout: str) -> bool:
    """Whether there is one of both units."""
    return any(os.path.lexists(path) for path in _paths(rollout))


def install(units: Units) -> None:
    """Put both units in place, and let the timer wait, now and after each start of the machine."""
    service, timer = _paths(units.rollout)
    files.replace(service, units.service.encode(), 0o644, _ROOT)
    files.replace(timer, units.timer.encode(), 0o644, _ROOT)
    programs.require(["systemctl", "daemon-reload"], _SECONDS)
    programs.require(["systemctl", "enable", "--quiet", timer.name], _SECONDS)
    programs.require(["systemctl", "restart", timer.name], _SECONDS)


def remove(rollout: str) -> bool:
    """Remove both units; return whether there was one. A rollback that the service runs goes on."""
    service, timer = _paths(rollout)
    present = [path for path in (timer, service) if os.path.lexists(path)]
    if not present:
        return False
    if timer in present:
        programs.require(["systemctl", "disable", "--now", "--quiet", timer.name], _SECONDS)
    for path in present:
        files.remove(path)
        files.remove(files.staged_path(path))
    files.remove(_STAMPS / f"stamp-{timer.name}")
    programs.require(["systemctl", "daemon-reload"], _SECONDS)
    return True
