# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting the sampler so that it outlives whoever starts it: a module's process, an SSH session, a bastion.

What it runs is a copy of the engine, made when the soak starts: AnsiballZ's own is removed with the module,
and an update of the node's command must not change a soak that runs. It runs as the owner of the node's root,
who can do what the station can, and never as root by what lies in a folder of somebody else's.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from .. import files, programs
from ..errors import RunbookError, SystemFault, guarded
from ..probes import one_line
from . import sampler, store

ENGINE = "engine.zip"
SYSTEMD = Path("/run/systemd/system")
START_SECONDS = 30.0
_SAID_SECONDS = 5.0
_SYSTEMD_SECONDS = 30.0

_ROOT = "vvtv_soak_engine"
_MAIN = f"import sys\nfrom {_ROOT}.soak.sampler import main\nsys.exit(main(sys.argv[1:]))\n"
_KEPT = ("PATH", "PYTHONPATH", "LANG", "TZ")


def engine() -> bytes:
    """Return the engine as a zip file that Python runs: every module of it that the sampler needs.

    Taken from where this process has it, be that a folder or a zip file of AnsiballZ's.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        _add(bundle, "__main__.py", _MAIN)
        for name, text in sorted(_sources()):
            _add(bundle, name, text)
    return out.getvalue()


def _add(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    """Add a file; always with the same instant, so that the same engine makes the same bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    bundle.writestr(info, text)


def _sources() -> Iterator[tuple[str, str]]:
    base = sampler.__name__.rpartition(".soak.")[0]
    for name, module in list(sys.modules.items()):
        if name != base and not name.startswith(base + "."):
            continue
        spec = getattr(module, "__spec__", None)
        loader = getattr(spec, "loader", None)
        if spec is None or loader is None or not hasattr(loader, "get_source"):
            raise SystemFault(f"cannot find the source of {name}", hint="report it as a bug")
        parts = [_ROOT, *name[len(base) :].strip(".").split(".")]
        path = "/".join(part for part in parts if part)
        package = spec.submodule_search_locations is not None
        yield f"{path}/__init__.py" if package else f"{path}.py", loader.get_source(name) or ""


def start(soak: Path, owner: files.Owner, unit: str) -> list[str]:
    """Start the sampler of a soak whose request and engine are in its folder; return warnings.

    Return when it lives, or is over already. Raise :class:`SystemFault` with the last line of its log when it
    does not come up.
    """
    since, _line = store.said(soak)
    warnings: list[str] = []
    command = [sys.executable, "-B", str(soak / ENGINE), str(soak)]
    why = _systemd_run(command, soak, owner, unit) if _by_systemd() else ""
    if why:
        warnings.append(f"systemd-run did not start the sampler ({why}); it runs without a unit")
    if why is not None:
        _detach([*command, "--detach"], owner)
    _await(soak, since)
    return warnings


def unit_name(rollout: str, root: Path) -> str:
    """Return the name of the transient unit: one for each node's root and rollout."""
    return f"vvtv-soak-{rollout}-{sha256(os.fsencode(root)).hexdigest()[:8]}.service"


def _by_systemd() -> bool:
    return os.geteuid() == 0 and SYSTEMD.is_dir()


def _environment() -> dict[str, str]:
    """Return what the sampler needs of ours; tokens are none of its business."""
    return {name: os.environ[name] for name in _KEPT if os.environ.get(name)}


def _systemd_run(command: list[str], soak: Path, owner: files.Owner, unit: str) -> str | None:
    """Run it in a unit of its own, which systemd starts again when it is killed; return why that failed."""
    given = [f"--setenv={name}={value}" for name, value in _environment().items()]
    _quietly(["systemctl", "reset-failed", unit])
    words = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--no-ask-password",
        f"--unit={unit}",
        f"--uid={owner.uid}",
        f"--gid={owner.gid}",
        f"--description=vvtv.runbook soak in {soak}",
        "--property=Restart=on-failure",
        "--property=RestartSec=1",
        "--property=WorkingDirectory=/",
        "--property=Nice=5",
        *given,
        "--",
        *command,
    ]
    return _quietly(words)


def _quietly(words: list[str]) -> str | None:
    """Run a program of systemd's; return why it failed."""
    try:
        ended = programs.run(words, _SYSTEMD_SECONDS)
    except RunbookError as exc:
        return one_line(str(exc))
    return None if ended.code == 0 else ended.said or f"it ended with {ended.code}"


def _detach(command: list[str], owner: files.Owner) -> None:
    """Start it in a session of its own; the process that is waited for here only forks."""
    other = {} if os.geteuid() != 0 else {"user": owner.uid, "group": owner.gid, "extra_groups": []}
    with guarded("start the sampler"):
        # run_command cannot become another user.
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(  # noqa: S603 - no shell, and every word is ours
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            check=False,
            **other,  # type: ignore[call-overload] # mypy cannot tell which keys are there
        )
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        told = f"it ended with {done.returncode} and said {one_line(lines[-1])}"
        raise SystemFault(f"the sampler could not be started: {told}")


def _await(soak: Path, since: int) -> None:
    """Wait until the sampler lives or the soak is over; not as long for one that said something."""
    begin = time.monotonic()
    while not store.alive(soak) and store.ended(soak) is None:
        told = store.said(soak, since)[1]
        if time.monotonic() - begin >= (_SAID_SECONDS if told else START_SECONDS):
            told = told or f"it did not come up in {START_SECONDS:g} s"
            hint = "look at this file, or the journal of its unit"
            raise SystemFault(f"the sampler does not run: {told}", path=soak / store.LOG, hint=hint)
        time.sleep(0.05)
