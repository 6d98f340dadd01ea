# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules backup_key and backup_key_info, judged by age and age-keygen."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.helpers import CHECKOUT, good, module, tree

KEYS = "runtime/keys"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node without keys and backups."""
    return killing.make_node(tmp_path / "node")


def archive(backup: dict[str, Any]) -> Path:
    """The archive of a backup."""
    (found,) = Path(backup["path"]).glob("backup.tar.*.age")
    return found


def without_lock(root: Path) -> dict[str, str]:
    """Every file of a node but its lock's."""
    return {name: digest for name, digest in tree(root).items() if name != "runtime/runbook.lock"}


def test_present_checks_makes_and_then_has_nothing_to_do(root: Path) -> None:
    before = without_lock(root)
    foretold = good(module("backup_key", root=root, check=True))
    assert (foretold["changed"], foretold["key"], without_lock(root)) == (True, None, before)

    made = good(module("backup_key", root=root))
    current = root / KEYS / "current.key"
    assert (made["changed"], made["previous_key"]) == (True, None)
    assert stock.run("age-keygen", "-y", current).decode().strip() == made["key"]["recipient"]
    archived = root / KEYS / "archive" / f"{made['key']['id']}.key"
    assert archived.read_bytes() == current.read_bytes()
    assert (root / KEYS / "current.key.id").read_text() == f"{made['key']['id']}\n"
    for path in (root / KEYS, root / KEYS / "archive"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (current, archived, root / KEYS / "current.key.id"):
        assert path.stat().st_mode & 0o777 == 0o600

    keys = tree(root / KEYS)
    again = good(module("backup_key", root=root))
    assert (again["changed"], again["actions"], tree(root / KEYS)) == (False, [], keys)
    assert not good(module("backup_key", root=root, check=True))["changed"]
    known = good(module("backup_key_info", root=root))
    assert known["key"]["recipient"] == made["key"]["recipient"]
    assert [key["current"] for key in known["keyring"]] == [True]


def test_not_before_rotates_once_and_max_age_when_due(root: Path) -> None:
    first = good(module("backup_key", root=root))["key"]
    instant = good(module("backup_key", root=root, state="rotated"))["key"]["created_at"]
    assert not good(module("backup_key", root=root, not_before=instant))["changed"]
    later = stock.run("date", "-u", "+%Y-%m-%dT%H:%M:%S.%6NZ").decode().strip()
    rotated = good(module("backup_key", root=root, not_before=later))
    assert f"was made before {later}" in rotated["reason"]
    assert not good(module("backup_key", root=root, not_before=later))["changed"]
    assert not good(module("backup_key", root=root, max_age=0))["changed"]
    assert "older than 1e-06 days" in good(module("backup_key", root=root, max_age=0.000001))["reason"]
    ids = [key["id"] for key in good(module("backup_key_info", root=root))["keyring"]]
    assert len(set(ids)) == len(ids) == 4
    assert ids[-1] == first["id"]


def test_a_node_whose_clock_is_behind_is_rotated_once_all_the_same(root: Path) -> None:
    ahead = stock.run("date", "-u", "-d", "+2 minutes", "+%Y-%m-%dT%H:%M:%SZ").decode().strip()
    assert good(module("backup_key", root=root, not_before=ahead))["changed"]
    assert not good(module("backup_key", root=root, not_before=ahead))["changed"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"not_before": "yesterday"}, "no RFC 3339 instant"),
        ({"not_before": "2062-01-01T00:00:00Z"}, "lies in the future of this node"),
        ({"max_age": -1}, "max_age must be 0 or more days"),
        ({"retention": -1, "state": "pruned"}, "retention must be 0 or more days"),
        ({"rewrap": True, "rekey": True}, "rewrap and rekey are two things"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_bad_options_are_refused(root: Path, params: dict[str, Any], told: str, check: bool) -> None:
    result = module("backup_key", root=root, check=check, **params)
    assert result["error"]["code"] == "bad_input"
    assert told in result["msg"]
    assert not (root / KEYS).exists()


def test_rewrap_checks_does_and_then_has_nothing_to_do(root: Path, tmp_path: Path) -> None:
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    good(module("backup_key", root=root))
    made = [archive(good(module("backup", root=root, force=True))["backup"]) for _turn in range(3)]
    old = tmp_path / "old.key"
    old.write_bytes((root / KEYS / "current.key").read_bytes())
    good(module("backup_key", root=root, state="rotated"))
    payloads = [path.read_bytes()[-200:] for path in made]
    before = tree(root / "runtime/backups")
    options = {"rewrap": True, "recovery_recipients": [recipient]}
    foretold = good(module("backup_key", root=root, check=True, **options))
    assert (foretold["changed"], tree(root / "runtime/backups")) == (True, before)

    done = good(module("backup_key", root=root, **options))
    assert len(done["rewrap"]["renewed"]) == len(done["actions"]) == 3
    for path, payload in zip(made, payloads):
        assert path.read_bytes()[-200:] == payload
        assert not stock.opens(path, old)
        assert stock.opens(path, root / KEYS / "current.key")
        assert stock.opens(path, tmp_path / "recovery.key")
    assert [key["opens"] for key in done["keyring"]] == [sorted(done["rewrap"]["renewed"], reverse=True), []]

    again = good(module("backup_key", root=root, **options))
    assert (again["changed"], len(again["rewrap"]["unchanged"])) == (False, 3)
    assert not good(module("backup_key", root=root, check=True, **options))["changed"]
    assert len(good(module("backup_verify", root=root, id="all"))["backups"]) == 3
    stock.unpack(made[0], root / KEYS / "current.key", tmp_path / "inside")
    pruned = good(module("backup_key", root=root, state="pruned", retention=0))
    assert len(pruned["pruned"]) == 1
    assert not good(module("backup_key", root=root, state="pruned", retention=0))["changed"]


def test_rekey_shuts_out_even_who_kept_the_file_key(root: Path, tmp_path: Path) -> None:
    good(module("backup_key", root=root))
    made = archive(good(module("backup", root=root))["backup"])
    payload = made.read_bytes()[-200:]
    good(module("backup_key", root=root, state="rotated"))
    done = good(module("backup_key", root=root, rekey=True))
    assert (len(done["rewrap"]["renewed"]), made.read_bytes()[-200:] == payload) == (1, False)
    assert not good(module("backup_key", root=root, rekey=True))["changed"]
    stock.unpack(made, root / KEYS / "current.key", tmp_path / "inside")
    assert good(module("backup_verify", root=root))["checks"]


def test_prune_keeps_what_a_backup_needs_and_says_which(root: Path) -> None:
    first = good(module("backup_key", root=root))["key"]["id"]
    backup = good(module("backup", root=root))["backup"]["id"]
    second = good(module("backup_key", root=root, state="rotated"))["key"]["id"]
    good(module("backup_key", root=root, state="rotated"))
    assert not good(module("backup_key", root=root, state="pruned"))["changed"]
    foretold = good(module("backup_key", root=root, state="pruned", retention=0, check=True))
    assert foretold["pruned"] == [second]
    pruned = good(module("backup_key", root=root, state="pruned", retention=0))
    assert (pruned["pruned"], pruned["kept"]) == ([second], [{"id": first, "needed_by": [backup]}])
    assert good(module("backup_verify", root=root))["checks"]


@pytest.mark.parametrize(
    ("place", "mode", "mended"),
    [("", 0o750, 0o700), ("archive", 0o755, 0o700), ("current.key", 0o640, 0o600)],
)
def test_keys_that_others_can_use_are_refused_with_what_mends_it(
    root: Path, place: str, mode: int, mended: int
) -> None:
    good(module("backup_key", root=root))
    path = root / KEYS / place
    path.chmod(mode)
    for called in ("backup_key", "backup_key_info", "backup"):
        result = module(called, root=root)
        assert result["error"]["code"] == "unsafe"
        assert str(path) in result["msg"]
        assert path.stat().st_mode & 0o777 == mode
    command = re.sub("^run: ", "", result["error"]["hint"])
    subprocess.run(["sh", "-c", command], check=True)
    assert path.stat().st_mode & 0o777 == mended
    good(module("backup", root=root))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_keys_of_another_user_are_refused_with_what_mends_it(root: Path) -> None:
    good(module("backup_key", root=root))
    os.chown(root / KEYS / "current.key", 12345, -1)
    result = module("backup", root=root)
    assert result["error"]["code"] == "unsafe"
    assert "belongs to uid 12345" in result["msg"]
    subprocess.run(["sh", "-c", re.sub("^run: ", "", result["error"]["hint"])], check=True)
    good(module("backup", root=root))


def test_no_module_ever_says_a_secret(root: Path, tmp_path: Path) -> None:
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    legacy = stock.legacy_keyring(root)
    stock.legacy_backup(root, legacy, "20250101T000000Z", "20250102T000000Z")
    secrets = {legacy.read_text().strip(), *private_halves(tmp_path)}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("backup_key", {}),
        ("backup", {"recovery_recipients": [recipient]}),
        ("backup_key", {"state": "rotated", "rewrap": True, "recovery_recipients": [recipient]}),
        ("backup_key_info", {}),
        ("backup_info", {}),
        ("backup_verify", {"id": "all", "identity_file": str(tmp_path / "recovery.key")}),
        ("backup_restore", {"id": "20250102T000000Z", "identity_file": str(tmp_path / "recovery.key")}),
        ("backup_key", {"state": "pruned", "retention": 0}),
    ]
    said = ""
    for called, params in calls:
        said += ad_hoc(called, {"root": str(root), **params}, tmp_path)
        secrets |= private_halves(root)
    assert len(secrets) >= 4
    written = [path for path in root.rglob("*") if path.is_file() and "keys" not in path.parts]
    held = [*written, *(tmp_path / "ansible").rglob("*")]
    for secret in secrets:
        assert secret not in said
        assert not any(secret.encode() in path.read_bytes() for path in held if path.is_file())


def private_halves(folder: Path) -> set[str]:
    """Every private key below a folder, for the marker search."""
    texts = [path.read_text() for path in folder.rglob("*.key") if path.is_file()]
    return {line for text in texts for line in text.splitlines() if line and not line.startswith("#")}


def ad_hoc(called: str, params: dict[str, Any], where: Path) -> str:
    """Run a module as ansible does with -vvv, its temporary files kept; return all it printed."""
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_INJECT_INVOCATION": "1",
        "ANSIBLE_REMOTE_TMP": str(where / "ansible"),
        "ANSIBLE_LOG_PATH": str(where / "ansible.log"),
    }
    command = [
        "ansible",
        "localhost",
        "-vvv",
        "--diff",
        "-m",
        f"vvtv.runbook.{called}",
        "-a",
        json.dumps(params),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=where)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr + (where / "ansible.log").read_text()
