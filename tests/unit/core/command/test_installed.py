# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of the engine is the whole command: no Ansible, nothing of the caller's, no file left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from tests.integration.stock import unpack
from tests.simulator import auth, fleet

from ..nodes import make_node
from .installed import CHECKOUT, Command, Installed

TOKEN, SECRET = "token-marker-T1", "secret-marker-S2"

SERVICE_USER = 12345

_ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
from vvtv_runbook.command.main import run
code = run(sys.argv[2:])
foreign = {name.partition(".")[0] for name in sys.modules} & {"ansible", "ansible_collections", "tests"}
raise SystemExit(f"imported: {foreign}" if foreign else code)
"""

_AS_SERVICE_USER = f"""
import os, sys
lib, warm, root = sys.argv[1:]
sys.path.insert(0, lib)
from vvtv_runbook.command.main import run
verbs = (["key-ensure"], ["backup"], ["verify"])
for verb in verbs:
    assert run([*verb, "--quiet", "--root", warm]) == 0
if os.geteuid() == 0:
    os.setgroups([]), os.setgid({SERVICE_USER}), os.setuid({SERVICE_USER})
raise SystemExit(max(run([*verb, "--json", "--root", root]) for verb in verbs))
"""


def listing(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path) for path in folder.rglob("*"))


def test_it_needs_nothing_but_its_own_folder(installed: Installed, config: Path) -> None:
    words = ["backup", "--plain", "--config", str(config), "--json"]
    command = [sys.executable, "-I", "-B", "-c", _ALONE, str(installed.lib), *words]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout)["changed"]


def test_python_can_run_the_package_by_its_name(installed: Installed) -> None:
    command = [sys.executable, "-B", "-m", "vvtv_runbook.command", "--version"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(installed.lib)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("vvtv-runbook ")


def test_nothing_of_the_caller_decides_which_code_runs(
    installed: Installed, config: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("argparse", "json", "yaml", "vvtv_runbook", "sitecustomize", "usercustomize"):
        (trap / f"{name}.py").write_text("raise SystemExit('trapped')\n")
    (trap / "start.py").write_text("raise SystemExit('trapped')\n")
    for name in ("cat", "python3", "sh"):
        (trap / name).write_text("#!/bin/sh\necho trapped\nexit 1\n")
        (trap / name).chmod(0o755)
    env = {
        "PYTHONPATH": str(trap),
        "PYTHONHOME": str(trap),
        "PYTHONSTARTUP": str(trap / "start.py"),
        "PYTHONUSERBASE": str(trap),
        "PYTHONINSPECT": "1",
        "HOME": str(trap),
        "IFS": "/",
        "PATH": str(trap),
        "ENV": str(trap / "start.py"),
    }
    done = installed("backups", "--config", config, env=env, cwd=trap)
    assert (done.code, done.out, done.err) == (0, "the node has no backup\n", "")
    assert installed("backup", "--plain", "--config", config, env=env, cwd=trap).code == 0


def test_the_installed_files_stay_as_they_were(installed: Installed, config: Path) -> None:
    caches = list(installed.lib.rglob("__pycache__"))
    for folder in caches:
        shutil.rmtree(folder)
    before = listing(installed.folder)
    for words in (["version"], ["backup", "--plain", "--config", config], ["keys", "--config", config]):
        assert installed(*words).code == 0
    assert caches
    assert listing(installed.folder) == before


def test_somebody_who_is_not_root_can_operate_his_own_node(installed: Installed, node: Node) -> None:
    """The service user; the Python of these tests may lie where he cannot go, so it is warm before."""
    user = SERVICE_USER if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        own = make_node(Path(folder) / "node")
        for path in (own.root, *own.root.rglob("*")):
            os.chown(path, user, -1)
        command = [
            sys.executable,
            "-B",
            "-c",
            _AS_SERVICE_USER,
            str(installed.lib),
            str(node.root),
            str(own.root),
        ]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["changed"] for one in told] == [True, True, False]
        assert {path.stat().st_uid for path in own.root.rglob("*")} == {user}


def test_every_verb_on_a_running_station(installed: Installed, command: Command, tmp_path: Path) -> None:
    """The whole runbook, once, with readers that are not ours; on each Python that runs these tests."""
    known = auth.Credentials(TOKEN, SECRET)
    secrets = tmp_path / "control.env"
    secrets.write_text(f"VVTV_CONTROL_TOKEN={TOKEN}\nVVTV_CONTROL_SECRET={SECRET}\n")
    secrets.chmod(0o600)
    said = []
    with fleet.start_node(tmp_path / "node", size="300K", credentials=known) as station:
        config = tmp_path / "runbook.yml"
        config.write_text(f"root: {station.root}\napi_url: {station.url}\ncontrol_env_file: {secrets}\n")

        def run(*words: str, code: int = 0) -> dict[str, object]:
            told = installed(*words, "--config", config)
            done = command(*words, "--config", config, "--json") if "--yes" not in words else told
            said.extend((told.out, told.err, done.out, done.err))
            assert told.code == code, (words, told.out, told.err)
            return done.json() if "--yes" not in words else {}

        assert run("key-ensure")["key"]
        made = run("backup")["backup"]
        assert isinstance(made, dict)
        assert unpack(
            Path(made["path"]) / next(p.name for p in Path(made["path"]).glob("*.age")),
            station.root / "runtime/keys/current.key",
            tmp_path / "by-hand",
        )
        run("verify", "all", "--integrity", "full")
        assert run("key-rotate", "--rewrap")["rewrap"]
        run("key-prune", "--retention", "0")
        assert len(run("keys")["keyring"]) >= 1  # type: ignore[arg-type]
        assert len(run("backups")["backups"]) >= 1  # type: ignore[arg-type]
        run("restore", made["id"], code=3)
        run("restore", made["id"], "--yes")
        run("health", "--fail-on", "critical")
        run("audit", "--all", "--limit", "2")
        run("slo-sample")
        assert [one["name"] for one in run("slo")["windows"]] == ["1h", "24h", "7d", "30d"]  # type: ignore[attr-defined]
        assert run("emergency")["emergency"] is False
        run("emergency-on")
        curl = ["curl", "-sf", f"{station.url}/v1/status"]
        assert (
            json.loads(subprocess.run(curl, capture_output=True, check=True).stdout)["state"] == "EMERGENCY"
        )
        run("emergency-off")
        assert run("reload-owner-card")["reloaded"] is True
        card = tmp_path / "card.yaml"
        card.write_bytes(station.owner_card.read_bytes() + b"# another\n")
        run("reload-owner-card", str(card))
        assert station.owner_card.read_bytes() == card.read_bytes()
    assert not [text for text in said if TOKEN in text or SECRET in text or "AGE-SECRET-KEY" in text]


def test_the_copy_is_the_checkouts_engine(installed: Installed) -> None:
    engine = CHECKOUT / "plugins/module_utils/_core"
    ours = {str(path.relative_to(engine)): path.read_bytes() for path in engine.rglob("*.py")}
    copy = installed.lib / "vvtv_runbook"
    assert {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*.py")} == ours


def test_an_engine_behind_a_link_is_loaded_from_where_it_lies(installed: Installed, tmp_path: Path) -> None:
    """So does the role install it: the link may lead elsewhere before all of the engine is loaded."""
    copy = Installed(tmp_path)
    for name in ("first", "lib", "bin"):
        (tmp_path / name).mkdir()
    shutil.copytree(installed.lib / "vvtv_runbook", tmp_path / "first/vvtv_runbook")
    (copy.lib / "vvtv_runbook").symlink_to("../first/vvtv_runbook")
    copy.program.write_text(installed.program.read_text().replace(str(installed.folder), str(tmp_path)))
    copy.program.chmod(0o755)
    assert copy("version", "--json").json()["engine"] == str(tmp_path / "first/vvtv_runbook")


#: Stands for an engine: while it runs another one takes its place, and only then it loads the rest of itself.
_SWITCHED = """
import os, sys

def run():
    os.replace(sys.argv[1], sys.argv[2])
    from vvtv_runbook import late
    print(late.NAME)
    return 0
"""


def test_a_run_keeps_the_engine_that_it_began_with(installed: Installed) -> None:
    lib = installed.folder / "switched"
    for name in ("former", "fresh"):
        command = lib / name / "vvtv_runbook/command"
        command.mkdir(parents=True)
        for folder in (command, command.parent):
            (folder / "__init__.py").touch()
        (command / "main.py").write_text(_SWITCHED)
        (command.parent / "late.py").write_text(f"NAME = {name!r}\n")
    link, other = lib / "vvtv_runbook", lib / "next"
    link.symlink_to("former/vvtv_runbook")
    other.symlink_to("fresh/vvtv_runbook")
    program = installed.folder / "switched.sh"
    program.write_text(installed.program.read_text().replace(str(installed.lib), str(lib)))
    done = subprocess.run(["sh", program, other, link], capture_output=True, text=True, check=True, env={})
    assert (done.stdout, os.readlink(link)) == ("former\n", "fresh/vvtv_runbook")
