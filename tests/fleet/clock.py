# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that is wrong, for the programs of a node. The node's kernel is the machine's: its clock is right.

libfaketime is loaded into every program that a service manager or a login starts after :func:`skew`; what
runs already keeps its clock. Programs of systemd itself stay right: they cannot live with it. Times that the
kernel gives to files stay right too, so a file that a skewed program writes is as old as the skew to it.

Not on Debian 12: its libfaketime (0.9.10) makes Python's ``time.sleep`` fail, or its waits never end.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .host import FleetError
from .machine import Machine

_UNITS = "/etc/systemd/system"
_DROP_IN = "fleet-skew.conf"
_MANAGER = f"/etc/systemd/system.conf.d/{_DROP_IN}"
_SUDO = "/etc/sudoers.d/fleet-skew"
_ENVIRONMENT = "/etc/environment"
_FIRST_RELEASE = 13
_FARTHEST = 40 * 365 * 86_400
_FILES = f"{_MANAGER} {_UNITS}/*.d/{_DROP_IN}"

#: A shell script that prints a line when a clock is wrong.
STATUS = (
    f"grep -ohE 'FAKETIME=[-+0-9]+' {_FILES} 2>/dev/null | head -n 1 |"
    " sed 's/FAKETIME=\\(.*\\)/clock \\1 s/'\n"
)


def skew(node: Machine, seconds: int, units: Sequence[str] = (), restart: Sequence[str] = ()) -> None:
    """Put the clock ``seconds`` ahead (behind: negative) for these units, or for every program of the node.

    The ``units`` and those of ``restart`` are restarted where they run, so that they see it. A reboot does
    not undo it.
    """
    if node.release < _FIRST_RELEASE:
        raise FleetError(f"{node.name}: a clock can be put wrong on Debian {_FIRST_RELEASE} only")
    if abs(seconds) > _FARTHEST:
        raise FleetError(f"{seconds} seconds are more than 40 years")
    variables = {
        "LD_PRELOAD": "/opt/fleet/libfaketime.so",
        "FAKETIME": f"{seconds:+d}",
        # Durations are not wrong on a host whose clock is; file times: see above.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    pairs = [f"{name}={value}" for name, value in variables.items()]
    files = {}
    if units:
        for unit in units:
            files[f"{_UNITS}/{_service(unit)}.d/{_DROP_IN}"] = f"[Service]\nEnvironment={' '.join(pairs)}\n"
    else:
        files[_MANAGER] = f"[Manager]\nDefaultEnvironment={' '.join(pairs)}\n"
        files[_ENVIRONMENT] = "".join(f"{pair}\n" for pair in pairs)
        files[_SUDO] = f"Defaults env_file={_ENVIRONMENT}\n"
        for unit in ("systemd-.service", "user@.service"):
            files[f"{_UNITS}/{unit}.d/{_DROP_IN}"] = "[Service]\nUnsetEnvironment=LD_PRELOAD\n"
    lines = [_removal()]
    for path, text in files.items():
        lines.append(f'mkdir -p "$(dirname {shlex.quote(path)})"')
        lines.append(f"printf %s {shlex.quote(text)} >{shlex.quote(path)}")
    node.sh("\n".join([*lines, _take_over([*map(_service, units), *restart])]))


def unskew(node: Machine, restart: Sequence[str] = ()) -> None:
    """Put the clock right and restart the units of ``restart`` that run. Does nothing where it is right."""
    # ls fails when one of the places is empty, so what it prints decides.
    nothing = f'[ -n "$(ls {_FILES} 2>/dev/null)" ] || exit 0'
    node.sh("\n".join([nothing, _removal(), _take_over(restart)]))


def _removal() -> str:
    folders = f"{_UNITS}/*.d /etc/systemd/system.conf.d"
    return (
        f"rm -f {_FILES} {_SUDO}; : >{_ENVIRONMENT}\n"
        f"rmdir --ignore-fail-on-non-empty {folders} 2>/dev/null || true"
    )


def _take_over(restart: Sequence[str]) -> str:
    # The second command waits until the manager is there again.
    lines = ["systemctl daemon-reexec", "systemctl is-system-running >/dev/null || true"]
    if restart:
        lines.append(f"systemctl try-restart {shlex.join(dict.fromkeys(restart))}")
    return "\n".join(lines)


def _service(unit: str) -> str:
    return unit if "." in unit else f"{unit}.service"
