# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as a zip file, and how the sampler is started with it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import SystemFault
from ansible_collections.vvtv.runbook.plugins.module_utils._core.rollout.folder import Folder
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import (
    control,
    launch,
    store,
)

from . import soaks
from .soaks import plan

ROLLOUT = soaks.ROLLOUT


# --- the engine that it runs ---


def test_the_engine_is_whole_and_always_the_same() -> None:
    made = launch.engine()
    assert made == launch.engine()
    with zipfile.ZipFile(io.BytesIO(made)) as bundle:
        names = set(bundle.namelist())
        assert {"__main__.py", "vvtv_soak_engine/soak/sampler.py", "vvtv_soak_engine/sample.py"} <= names
        assert not any(name.startswith(("/", "ansible")) or ".." in name for name in names)
        assert not any(b"import ansible" in bundle.read(name) for name in names)


def test_the_engine_makes_itself_again(tmp_path: Path) -> None:
    """From a zip file, as AnsiballZ has it, comes the same engine."""
    (tmp_path / "engine.zip").write_bytes(launch.engine())
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from vvtv_soak_engine.soak import launch\n"
        "sys.stdout.buffer.write(launch.engine())"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "engine.zip")]
    again = subprocess.run(command, capture_output=True, check=True).stdout
    with zipfile.ZipFile(io.BytesIO(again)) as bundle:
        names = bundle.namelist()
    assert "vvtv_soak_engine/soak/sampler.py" in names
    assert "vvtv_soak_engine/__init__.py" in names


# --- starting it ---


def test_it_is_alone_in_a_session_with_nothing_of_ours(
    started: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VVTV_CONTROL_TOKEN", "token-marker")
    told = control.start(started, plan(), 5)
    assert told.facts["soak"]["state"] == "running"
    (place,) = [
        one.parent
        for one in Path("/proc").glob("[0-9]*/cmdline")
        if os.fsencode(started.soak / launch.ENGINE) in _read(one)
    ]
    assert os.getsid(int(place.name)) == int(place.name)
    assert os.getpgid(int(place.name)) != os.getpgid(0)
    assert b"token-marker" not in (place / "environ").read_bytes()
    for number, target in ((0, os.devnull), (1, str(started.soak / store.LOG))):
        assert os.readlink(place / f"fd/{number}") == target
    assert (place / "stat").read_text().rpartition(")")[2].split()[1] != str(os.getpid()), "not our child"
    assert control.stop(started, "enough")
    assert not control.stop(started, "again")


def _read(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


@pytest.mark.parametrize("uid", [65534])
def test_started_by_root_it_runs_as_the_owner_of_the_root(started: Folder, uid: int) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test needs root")
    for path in (started.node.root, *started.node.root.rglob("*")):
        os.chown(path, uid, uid)
    words: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        words.append({name: options[name] for name in ("user", "group", "extra_groups")})
        raise OSError(2, "enough")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launch.subprocess, "run", run)
        with pytest.raises(Exception, match="enough"):
            control.start(started, plan(), 5)
    assert words == [{"user": uid, "group": uid, "extra_groups": []}]
    for name in ("request.json", "engine.zip"):
        assert (started.soak / name).stat().st_uid == uid


_SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$0" "$@" >> "$TOLD"
[ "${0##*/}" = systemctl ] && exit 1
[ -e "$TOLD.refuse" ] && { echo 'Failed to start transient service unit' >&2; exit 1; }
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" </dev/null >/dev/null 2>&1 &
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that says it has systemd, and what was said to it."""
    told, tools = tmp_path / "told", tmp_path / "bin"
    tools.mkdir()
    for name in ("systemd-run", "systemctl"):
        (tools / name).write_text(_SYSTEMD_RUN)
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("TOLD", str(told))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(launch, "SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return told


def test_with_systemd_it_is_a_unit(started: Folder, systemd: Path) -> None:
    told = control.start(started, plan(), 5)
    assert (told.facts["soak"]["state"], told.warnings) == ("running", [])
    words = systemd.read_text().splitlines()
    owner = started.node.owner()
    unit = launch.unit_name(ROLLOUT, started.node.root)
    assert unit == f"vvtv-soak-{ROLLOUT}-{unit[-16:-8]}.service"
    for word in (
        f"--unit={unit}",
        f"--uid={owner.uid}",
        f"--gid={owner.gid}",
        "--collect",
        "--property=Restart=on-failure",
    ):
        assert word in words
    assert words[-4:] == [sys.executable, "-B", str(started.soak / "engine.zip"), str(started.soak)]
    assert launch.unit_name(ROLLOUT, started.node.root / "other") != unit


def test_when_systemd_refuses_it_runs_without_a_unit(started: Folder, systemd: Path) -> None:
    Path(f"{systemd}.refuse").touch()
    told = control.start(started, plan(), 5)
    assert told.facts["soak"]["state"] == "running"
    assert "Failed to start transient service unit" in told.warnings[0]


def test_one_that_dies_at_once_is_said_to(started: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "engine", lambda: _zip("raise RuntimeError('no engine at all')\n"))
    with pytest.raises(SystemFault, match="it ended with 1 and said RuntimeError: no engine at all"):
        control.start(started, plan(), 5)
    late = (
        "import os, sys\nlog = open(sys.argv[1] + '/sampler.log', 'a')\nif os.fork(): os._exit(0)\n"
        "os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)\nsys.exit('it went wrong')\n"
    )
    monkeypatch.setattr(launch, "engine", lambda: _zip(late))
    with pytest.raises(SystemFault, match="it went wrong"):
        control.start(started, plan(), 5, restart=True)


def _zip(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr("__main__.py", text)
    return out.getvalue()
