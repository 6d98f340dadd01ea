# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README and guides say what is there, the commands they give work, and the messages they quote are said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vvtv.runbook.plugins.module_utils._core import still
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.hybrid import HybridIdentity
from tests.integration import stock
from tests.integration.faults import killing
from tests.integration.helpers import CHECKOUT, good, module, playbook, sqlite3
from tests.simulator import fleet

GUIDES = sorted((CHECKOUT / "docs").glob("*.md"))
GUIDE, KEYS_GUIDE = CHECKOUT / "docs/backup_and_restore.md", CHECKOUT / "docs/keys.md"
PAGES = [CHECKOUT / "README.md", *GUIDES]
KEY_ID, LEGACY_ID = "20250101T000000Z", "20250102T000000Z"
PLANS = "SELECT count(*) FROM plans"

named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node whose station is stopped."""
    return killing.make_node(tmp_path / "node")


# --- what the pages name ---


def names(folder: str, suffix: str) -> set[str]:
    """What a folder of the collection holds, by name."""
    return {path.stem for path in (CHECKOUT / folder).glob(f"*{suffix}")}


def variables() -> set[str]:
    """Every inventory variable and statistic that a role or a playbook of the collection knows."""
    files = [*CHECKOUT.glob("roles/*/[dt]*/*.yml"), *CHECKOUT.glob("playbooks/*.yml")]
    plays = [line for path in files for line in path.read_text().splitlines() if not line.startswith("#")]
    return set(re.findall(r"\bvvtv_\w+", "\n".join(plays)))


def anchors(page: Path) -> set[str]:
    """The anchor of every heading, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def test_the_readme_lists_every_playbook_and_module_and_nothing_else() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    listed = set(re.findall(r"^\| `vvtv\.runbook\.(\w+)` \|", readme, re.MULTILINE))
    assert listed == names("playbooks", ".yml") | names("plugins/modules", ".py")
    (roles,) = re.findall(r"^Roles: (.*?)\.\s", readme, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`vvtv\.runbook\.(\w+)`", roles)) == names("roles", "")
    assert all(f"/docs/{guide.name})" in readme for guide in GUIDES)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_test_that_a_guide_names_exists(guide: Path) -> None:
    text = guide.read_text()
    listed = re.findall(r"`(tests/[\w/.]+)`", text.partition("## The tests behind this page")[2])
    assert len(listed) > 5
    assert [path for path in re.findall(r"`(tests/[\w/.]+)`", text) if not (CHECKOUT / path).exists()] == []


@named
def test_every_variable_and_name_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    # Metrics begin like that and are no variables; the next test is about their names.
    assert set(re.findall(r"\bvvtv_(?!runbook_)\w+", text)) - variables() == set()
    plugins = names("plugins/modules", ".py") | names("plugins/filter", ".py")
    known = names("playbooks", ".yml") | plugins | names("roles", "") | {"vvtv"}
    assert set(re.findall(r"\bvvtv\.runbook\.(?!git\b)(\w+)", text)) - known == set()


def test_the_guide_lists_every_metric_and_no_other() -> None:
    table = (CHECKOUT / "docs/node.md").read_text().partition("| metric | what |\n")[2].partition("\n\n")[0]
    first = " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE))
    source = (CHECKOUT / "plugins/module_utils/_core/command/metrics.py").read_text()
    assert set(re.findall(r"`(\w+)`", first)) == set(re.findall(r'(?:one|of_verb|Gauge)\(\s*"(\w+)"', source))


@named
def test_every_link_to_another_place_of_the_documentation_leads_there(page: Path) -> None:
    found = re.findall(r"\]\(((?!https?:)[^)#]*)(?:#([^)]*))?\)", page.read_text())
    assert found or page.name == "README.md"
    for path, anchor in found:
        target = page.parent / path if path else page
        assert target.is_file(), path
        assert not anchor or anchor in anchors(target), anchor


def test_the_guide_lists_every_way_to_copy_the_database() -> None:
    (section,) = re.findall(r"^### Ways to copy.*?(?=^##)", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(still.METHODS)


# --- what is on disk ---


@pytest.mark.parametrize(
    ("kind", "params", "instead"),
    [
        ("encrypted", {"compression": "zstd"}, "backup.tar.gz.age"),
        ("encrypted", {"compression": "gzip"}, "backup.tar.zst.age"),
        ("plain", {"encrypt": False}, None),
    ],
)
def test_the_layout_that_the_guides_show_is_the_one_on_disk(
    root: Path, kind: str, params: dict[str, Any], instead: str | None
) -> None:
    good(module("backup_key", root=root))
    backup = Path(good(module("backup", root=root, **params))["backup"]["path"])
    held = {path.name for path in backup.iterdir()}
    row = rf"^\| `runtime/backups/<id>/([\w.]+)` \| {kind} \|"
    assert set(re.findall(row, GUIDE.read_text(), re.MULTILINE)) - {instead} == held
    if kind == "encrypted":
        table = KEYS_GUIDE.read_text().partition("| in `runtime/backups/<id>/` |")[2].partition("\n\n")[0]
        assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) - {instead} == held


def test_the_keyring_that_the_guide_shows_is_the_one_on_disk(root: Path) -> None:
    older = good(module("backup_key", root=root))["key"]["id"]
    key_id = good(module("backup_key", root=root, state="rotated"))["key"]["id"]
    shown = re.findall(r"^\| `(runtime/keys/[^`]*)` \| 0(\d+) \|", KEYS_GUIDE.read_text(), re.MULTILINE)
    paths = {path.replace("<key id>", key_id).rstrip("/"): int(mode, 8) for path, mode in shown}
    keys = root / "runtime/keys"
    on_disk = [path for path in (keys, *keys.rglob("*")) if path.stem != older]
    assert paths == {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in on_disk}
    (block,) = re.findall(r"```\n(AGE-SECRET-KEY-.*?)```", KEYS_GUIDE.read_text(), re.DOTALL)
    lines = [text.splitlines() for text in (block, (keys / "current.key").read_text())]
    shown, written = ([line.partition(":")[0][:15] for line in found] for found in lines)
    assert shown == written


# --- by hand, as the guides say ---


def block_after(words: str, guide: Path = KEYS_GUIDE) -> str:
    """The first block of commands after some words of a guide."""
    return guide.read_text().partition(words)[2].partition("```\n")[2].partition("```")[0]


def by_hand(root: Path, backup_id: str, script: str, **words: object) -> str:
    """Follow a page in a shell that stops at the first error; return what it printed."""
    for word, meant in {"<id>": backup_id, **words}.items():
        script = script.replace(word, str(meant))
    command = ["bash", "-o", "pipefail", "-euc", script]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def lose(root: Path) -> None:
    """Lose the state, but for a journal that would spoil what is put in its place."""
    sqlite3(root / killing.DB, "DELETE FROM plans")
    (root / f"{killing.DB}-wal").write_bytes(b"left over")
    (root / killing.CARD).write_text("broken\n")


def assert_back(root: Path, plans: str) -> None:
    assert sqlite3(root / killing.DB, PLANS) == plans
    assert sqlite3(root / killing.DB, "PRAGMA integrity_check") == "ok"
    assert (root / killing.CARD).read_text() == killing.CARD_A


def test_a_plain_backup_is_restored_by_hand_as_the_guide_says(quiet: fleet.Node) -> None:
    backup = good(module("backup", encrypt=False, root=quiet.root))["backup"]
    plans, card = sqlite3(quiet.state_db, PLANS), quiet.owner_card.read_bytes()
    sqlite3(quiet.state_db, "DELETE FROM plans")
    quiet.owner_card.write_text("broken\n")
    quiet.kill()
    printed = by_hand(quiet.root, backup["id"], block_after("### Without this collection", GUIDE))
    assert backup["sha256"] in printed
    assert sqlite3(quiet.state_db, PLANS) == plans
    assert sqlite3(quiet.state_db, "PRAGMA integrity_check") == "ok"
    assert quiet.owner_card.read_bytes() == card


@pytest.mark.parametrize(
    ("kind", "whose"), [("zstd", "recovery"), ("zstd", "node"), ("gzip", "recovery"), ("legacy", "node")]
)
def test_an_archive_is_opened_and_restored_by_hand_as_the_guide_says(
    root: Path, tmp_path: Path, kind: str, whose: str
) -> None:
    if kind == "legacy":
        stock.legacy_backup(root, stock.legacy_keyring(root, KEY_ID), KEY_ID, LEGACY_ID)
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    key_id = good(module("backup_key", root=root))["key"]["id"]
    if kind == "legacy":
        backup_id, key_id = LEGACY_ID, KEY_ID
    else:
        options: dict[str, Any] = {"compression": kind, "recovery_recipients": [recipient]}
        backup_id = good(module("backup", root=root, **options))["backup"]["id"]
        # How the page finds the key's id.
        (command,) = re.findall(r"`(grep key_id backup\.json)`", KEYS_GUIDE.read_text())
        assert key_id in by_hand(root / f"runtime/backups/{backup_id}", backup_id, command)
    identity = tmp_path / "recovery.key" if whose == "recovery" else f"../../keys/archive/{key_id}.key"
    plans = sqlite3(root / killing.DB, PLANS)
    lose(root)

    opening, third = block_after("## With nothing but age, zstd and tar"), 2
    if kind != "zstd":
        words = "ends in `.tar.gz.age`" if kind == "gzip" else "`key_id.txt` names,"
        lines = opening.splitlines(keepends=True)
        opening = "".join([*lines[:third], block_after(words), *lines[third + 1 :]])
    script = f"{opening}cat manifest.json\n{block_after('To put it in place')}"
    printed = by_hand(root, backup_id, script, KEY=identity)
    (digest,) = re.findall(r"^(\w{64})  state\.db$", printed, re.MULTILINE)
    assert digest in printed.partition('"state_db_sha256"')[2]
    assert_back(root, plans)
    assert not (root / f"runtime/backups/{backup_id}/opened").exists()


def test_an_archive_is_brought_to_a_new_key_while_the_identity_stays_offline(
    root: Path, tmp_path: Path
) -> None:
    offline = tmp_path / "offline"
    offline.mkdir()
    recipient = stock.recovery_identity(offline / "recovery.key")
    good(module("backup_key", root=root))
    made = good(module("backup", root=root, compression="zstd", recovery_recipients=[recipient]))["backup"]
    plans = sqlite3(root / killing.DB, PLANS)
    lose(root)
    shutil.rmtree(root / "runtime/keys")
    good(module("backup_key", root=root))
    (command,) = re.findall(r"`(grep '\^# public key' [\w/.]+)`", KEYS_GUIDE.read_text())
    public = by_hand(root, made["id"], command).split()[-1]
    folder = Path(made["path"])
    shutil.copy(folder / "backup.tar.zst.age", offline)
    script = block_after("**The identity stays offline.**")
    by_hand(offline, made["id"], script, **{"AGE1-OF-THE-NODE": public})
    (offline / "for-the-node.age").replace(folder / "backup.tar.zst.age")
    (folder / "backup.json").unlink()
    good(module("backup_restore", root=root, id=made["id"]))
    assert_back(root, plans)


def test_a_key_that_was_brought_back_opens_its_backups_again(root: Path, tmp_path: Path) -> None:
    key_id = good(module("backup_key", root=root))["key"]["id"]
    good(module("backup", root=root))
    saved = shutil.copy2(root / f"runtime/keys/archive/{key_id}.key", tmp_path)
    shutil.rmtree(root / "runtime/keys")
    assert module("backup_verify", root=root)["error"]["code"] == "missing_key"
    for folder in ("runtime/keys", "runtime/keys/archive"):
        (root / folder).mkdir(mode=0o700)
    shutil.copy2(saved, root / "runtime/keys/archive")
    assert good(module("backup_verify", root=root))["checks"]
    assert good(module("backup_key", root=root))["key"]["id"] == key_id


def test_other_recovery_recipients_reach_older_backups_without_a_new_key(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(CHECKOUT / "build/collections"))
    before, after = (stock.recovery_identity(tmp_path / name) for name in ("before.key", "after.key"))
    key_id = good(module("backup_key", root=root))["key"]["id"]
    made = good(module("backup", root=root, recovery_recipients=[before]))["backup"]
    facts = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vvtv_root": str(root),
        "vvtv_recovery_recipients": [after],
    }
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"vvtv": {"hosts": {"node": facts}}}))
    command = block_after("**Other recovery recipients, the same keys.**").split()
    assert command[3] == "vvtv.runbook.key_rotate"
    assert playbook("key_rotate", inventory, *command[4:]).code == 0
    assert good(module("backup_key_info", root=root))["key"]["id"] == key_id
    (archive,) = Path(made["path"]).glob("backup.tar.*.age")
    opening = [stock.opens(archive, tmp_path / name) for name in ("before.key", "after.key")]
    assert (opening, stock.opens(archive, root / "runtime/keys/current.key")) == ([False, True], True)


# --- what is said ---


def quoted() -> list[str]:
    """The messages in the table of the guide to keys."""
    section = KEYS_GUIDE.read_text().partition("## What you see, and what to do")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def is_said(message: str, texts: list[str]) -> bool:
    pattern = ".+?".join(re.escape(piece) for piece in re.split(r"<[^>]+>", message))
    return any(re.search(pattern, text, re.DOTALL) for text in texts)


def without(library: str, where: Path) -> str:
    """A Python that lacks a library."""
    (where / f"without-{library}").mkdir()
    (where / f"without-{library}/{library}.py").write_text("raise ImportError\n")
    python = where / f"python-without-{library}"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{where}/without-{library}:$PYTHONPATH" exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return str(python)


def provoked(root: Path, where: Path) -> Iterator[dict[str, Any]]:
    """The results of everything that goes wrong with keys."""
    keys, offline = root / "runtime/keys", where / "recovery.key"
    recipient = stock.recovery_identity(offline)
    stock.recovery_identity(where / "locked.key")
    (where / "locked.key").write_bytes(stock.run("age", "-a", "-r", recipient, where / "locked.key"))
    yield module("backup", root=root)
    good(module("backup_key", root=root))
    yield (made := module("backup", root=root, compression="zstd"))
    (archive,) = Path(made["backup"]["path"]).glob("backup.tar.*.age")

    for path, loose, strict in ((keys, 0o755, 0o700), (offline, 0o644, 0o600)):
        path.chmod(loose)
        yield module("backup_verify", root=root, identity_file=None if path == keys else offline)
        path.chmod(strict)
    if os.geteuid() == 0:
        os.chown(keys / "current.key", 12345, -1)
        yield module("backup", root=root)
        os.chown(keys / "current.key", root.stat().st_uid, -1)
    key = (keys / "current.key").rename(where / "current.key")
    (keys / "current.key").symlink_to(key)
    yield module("backup", root=root)
    (keys / "current.key").unlink()
    shutil.copy(where / "recovery.key", keys / "archive/notes.key")
    for name in ("current.key", "archive/notes.key"):
        (keys / name).write_text("oops\n")
        (keys / name).chmod(0o600)
    yield module("backup_key", root=root)
    (keys / "current.key").unlink()
    assert (taken := good(module("backup_key", root=root)))["key"]["id"] == made["backup"]["key_ids"][0]
    yield taken
    (keys / "archive/notes.key").unlink()

    for instant in ("2062-01-01T00:00:00Z", "yesterday"):
        yield module("backup_key", root=root, not_before=instant)
    for bad in ("age1short", str(HybridIdentity.generate().recipient)):
        yield module("backup", root=root, recovery_recipients=[bad])
    for name in ("missing.key", "locked.key"):
        yield module("backup_verify", root=root, identity_file=where / name)
    for library in ("cryptography", "zstandard"):
        yield module("backup_verify", root=root, python=without(library, where))
    yield from damaged(root, archive)
    good(module("backup", root=root, recovery_recipients=[recipient]))
    yield module("backup_key", root=root, rewrap=True)

    keys.chmod(0o755)
    sqlite3(root / killing.DB, "DELETE FROM plans")
    good(module("backup", root=root, encrypt=False))
    sqlite3(root / killing.DB, "DELETE FROM assets")
    yield module("backup_restore", root=root, id="latest")
    shutil.rmtree(keys)
    stock.legacy_backup(root, stock.legacy_keyring(root, KEY_ID), KEY_ID, LEGACY_ID)
    yield module("backup_restore", root=root, id=LEGACY_ID)
    yield module("backup_verify", root=root, id=archive.parent.name)
    yield module("backup_key", root=root)


def damaged(root: Path, archive: Path) -> Iterator[dict[str, Any]]:
    """The results with an archive that is not as it was."""
    folder, whole, facts = archive.parent, archive.read_bytes(), (archive.parent / "backup.json").read_bytes()
    archive.write_bytes(whole[:-1])
    yield module("backup_verify", root=root)
    archive.write_bytes(whole[:20])
    yield module("backup_verify", root=root)
    yield module("backup_key", root=root, rewrap=True)
    archive.write_bytes(whole)
    (folder / "backup.json").unlink()
    yield module("backup_verify", root=root)
    renamed = folder.rename(folder.with_name(LEGACY_ID))
    yield module("backup_verify", root=root)
    renamed.rename(folder)
    (folder / "backup.json").write_bytes(facts)


def test_every_message_that_the_guide_quotes_is_said(root: Path, tmp_path: Path) -> None:
    results = list(provoked(root, tmp_path))
    texts = [text for result in results for text in (str(result.get("msg", "")), *result["warnings"])]
    # What the playbooks themselves say; their own tests provoke it.
    plays = [*CHECKOUT.glob("playbooks/*.yml"), *CHECKOUT.glob("roles/*/tasks/*.yml")]
    texts += [" ".join(str(yaml.safe_load(path.read_text())).split()) for path in plays]
    messages = quoted()
    assert len(messages) > 20
    # Only root can give a file away, so only root sees that refused.
    wanted = [message for message in messages if os.geteuid() == 0 or not message.startswith("belongs to")]
    assert [message for message in wanted if not is_said(message, texts)] == []
