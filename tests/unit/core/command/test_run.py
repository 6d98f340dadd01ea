# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run from the command line to the exit code: what is printed where, and that it is the truth."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import catalogue
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.registry import VERBS
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from ..conftest import ask
from ..nodes import new_backup, new_key, tree
from .installed import Command

HUSH = "hush-hush-4711"
TOKEN, SECRET = "token-marker-T1", "secret-marker-S2"


def test_a_backup_for_a_person_and_for_a_program(command: Command, config: Path, node: Node) -> None:
    done = command("backup", "--plain", "--config", config)
    assert (done.code, done.err) == (0, "")
    (made,) = catalogue.list_backups(node.backup_dir)
    first, *rest = done.out.splitlines()
    assert first == "done:"
    assert rest[0] == (
        f"  backed up {node.state_db} and {node.owner_card} as {made.id}: the node has no usable backup yet"
    )
    assert f"  path    {made.path}" in rest
    assert rest[-1] == f"next: vvtv-runbook verify {made.id}"

    again = command("backup", "--plain", "--config", config)
    assert again.out.splitlines()[:2] == ["nothing to do", f"why: content equals {made.id}"]
    assert "next:" not in again.out
    told = command("backup", "--plain", "--config", config, "--json")
    assert (told.code, told.err) == (0, "")
    found = told.json()
    assert (found["changed"], found["actions"], found["warnings"]) == (False, [], [])
    assert found["backup"] == made.result()


def test_check_mode_tells_and_does_nothing(command: Command, config: Path, node: Node) -> None:
    before = tree(node.root)
    done = command("backup", "--plain", "--config", config, "--check")
    assert done.code == 0
    assert done.out.startswith("would be done:\n  backed up ")
    assert command("key-ensure", "--check", "--json", "--config", config).json()["changed"]
    assert tree(node.root) == before


def test_quiet_prints_warnings_and_errors_only(command: Command, config: Path) -> None:
    done = command("key-ensure", "--config", config, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = command("backup", "--config", config, "--quiet")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("warning: no recovery recipient is set")
    done = command("verify", "20200101T000000Z", "--config", config, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")


def test_an_error_for_a_person_and_for_a_program(command: Command, config: Path, node: Node) -> None:
    done = command("verify", "--config", config)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"error: {node.backup_dir}: has no usable backup; make one, or check backup_dir\n"
    told = command("verify", "--config", config, "--json")
    assert (told.code, told.err) == (1, "")
    assert told.json() == {
        "error": {
            "code": "not_found",
            "msg": f"{node.backup_dir}: has no usable backup; make one, or check backup_dir",
            "path": str(node.backup_dir),
            "hint": "make one, or check backup_dir",
        }
    }


BAD: dict[str, tuple[list[str], dict[str, str], str]] = {
    "no verb": ([], {}, "name a verb"),
    "no such option": (["backup", f"--control-secret={HUSH}"], {}, "unknown option --control-secret"),
    "a bad option": (["backup", "--lock-timeout", HUSH], {}, "--lock-timeout must be a number"),
    "below 0": (["backup", "--lock-timeout", "-1"], {}, "lock_timeout must be 0 or more"),
    "a bad variable": (
        ["key-ensure"],
        {"VVTV_BACKUP_KEY_MAX_AGE_DAYS": HUSH},
        "VVTV_BACKUP_KEY_MAX_AGE_DAYS must",
    ),
    "a bad choice": (["backup", "--method", HUSH], {}, "--method must be one of auto, pinned"),
    "a bad id": (["verify", "../../etc"], {}, "is no backup id"),
    "a bad recipient": (
        ["backup", "--recovery-recipients", f"AGE-SECRET-KEY-1{HUSH}"],
        {},
        "recovery_recipients",
    ),
    "two ways": (["key-rotate", "--rewrap", "--rekey"], {}, "two things"),
    "a bad threshold": (["health", "--buffer-critical", "99"], {}, "buffer_critical must not be above"),
    "a bad url": (["emergency"], {"VVTV_API_URL": f"http://me:{HUSH}@127.0.0.1"}, "no user and no password"),
    "no card": (["reload-owner-card", "/nonexistent/card"], {}, "cannot read"),
    "no root": (["backup", "--root", "/nonexistent"], {}, "is no folder"),
    "no identity": (["verify", "--identity-file", "/nonexistent"], {}, "/nonexistent"),
    "reload of nothing": (["reload-owner-card", "--reload", "changed"], {}, "needs FILE"),
    "an instant": (["audit", "--since", HUSH], {}, "since: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_ends_with_2_and_does_nothing(
    command: Command, config: Path, node: Node, name: str
) -> None:
    words, env, message = BAD[name]
    new_key(node)
    new_backup(node)
    before = tree(node.root)
    config_words = ["--config", str(config)] if words else []
    told = command(*words, *config_words, env=env)
    done = command(*words, *config_words, "--json", env=env)
    assert (told.code, told.out, done.code, done.err) == (2, "", 2, "")
    assert message in told.err
    assert message in done.json()["error"]["msg"]
    assert HUSH not in told.err + done.out or name == "an instant"
    assert tree(node.root) == before


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("version", "emergency", "restore")])
def test_a_verb_without_a_root_says_how_to_give_it(command: Command, tmp_path: Path, verb: str) -> None:
    empty = tmp_path / "empty.yml"
    empty.write_text("")
    done = command(verb, "--config", empty, "--json")
    assert done.code == 2
    assert done.json()["error"]["hint"] == "give --root, or set root in the configuration"


def test_a_configuration_that_is_named_must_be_there(command: Command, node: Node, tmp_path: Path) -> None:
    missing = command("backups", "--config", tmp_path / "none.yml", "--json")
    assert missing.code == 2
    assert missing.json()["error"]["path"] == str(tmp_path / "none.yml")
    assert command("backups", "--root", node.root).code == 0


def test_a_configuration_that_others_can_write_ends_with_2(command: Command, config: Path) -> None:
    config.chmod(0o666)
    done = command("backups", "--config", config, "--json")
    assert (done.code, done.json()["error"]["code"]) == (2, "unsafe")


def test_the_order_of_places_holds_for_a_whole_run(command: Command, config: Path, node: Node) -> None:
    for name in ("a", "b", "c"):
        (node.root / name).mkdir(mode=0o700)
    with config.open("a") as text:
        text.write("backup_dir: a\n")
    runs: list[tuple[list[str], dict[str, str], str]] = [
        ([], {}, "a"),
        ([], {"VVTV_BACKUP_DIR": "b"}, "b"),
        (["--backup-dir", "c"], {"VVTV_BACKUP_DIR": "b"}, "c"),
    ]
    for words, env, folder in runs:
        found = command("backup", "--plain", "--json", "--config", config, *words, env=env).json()
        assert Path(found["backup"]["path"]).parent == node.root / folder


# --- restore asks for a confirmation ---


def test_a_restore_shows_its_plan_until_it_is_confirmed(command: Command, config: Path, node: Node) -> None:
    new_key(node)
    made = new_backup(node)
    ask(node.state_db, "INSERT INTO plans VALUES ('later', '{}', 'now')")
    node.owner_card.write_bytes(node.owner_card.read_bytes() + b"# another\n")
    before = tree(node.root)

    shown = command("restore", made.id, "--config", config)
    assert shown.code == 3
    assert f"restore {node.state_db} from {made.id}" in shown.out
    assert "-# another" in shown.out.splitlines()
    assert "--yes" in shown.err
    told = command("restore", made.id, "--config", config, "--json")
    assert told.code == 3
    found = told.json()
    assert (found["error"]["code"], "changed" in found) == ("unconfirmed", False)
    assert (found["plan"]["changed"], found["plan"]["backup"]["id"]) == (True, made.id)
    assert command("restore", made.id, "--config", config, "--check").code == 0
    assert tree(node.root) == before

    done = command("restore", made.id, "--config", config, "--yes", "--json")
    assert done.code == 0
    assert done.json()["changed"]
    assert ask(node.state_db, "SELECT count(*) FROM plans") == "0"
    assert command("restore", made.id, "--config", config).code == 0  # there is nothing to confirm


# --- somebody else, and a node that is not well ---


def test_a_node_that_is_locked_ends_with_5_and_names_the_holder(
    command: Command, config: Path, node: Node
) -> None:
    node.lock_file.touch()
    with node.lock_file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write('{"pid": 1, "user": "me", "host": "here", "purpose": "a test", "since": "now"}')
        held.flush()
        done = command("backup", "--plain", "--config", config, "--lock-timeout", "0.1")
    assert done.code == 5
    assert "pid 1 (me@here) for 'a test'" in done.err


def test_a_sick_node_ends_with_4_and_its_findings_are_told(command: Command, config: Path) -> None:
    done = command("health", "--config", config)
    assert done.code == 4
    assert done.out.startswith("NOT healthy: ")
    assert "CONTROL_API_UNREACHABLE" in done.out
    assert done.err.startswith("error: ")
    told = command("health", "--config", config, "--json")
    assert told.code == 4
    found = told.json()
    assert found["error"]["code"] == "unhealthy"
    assert found["health"]["healthy"] is False
    assert command("health", "--config", config, "--fail-on", "never").code == 0


def test_an_unknown_availability_ends_with_4_when_that_is_asked(command: Command, config: Path) -> None:
    assert command("slo", "--config", config).code == 0
    done = command("slo", "--config", config, "--enforce", "--json")
    assert (done.code, done.json()["error"]["code"]) == (4, "below_target")


def test_a_rotation_that_leaves_backups_behind_ends_with_1(
    command: Command, config: Path, node: Node
) -> None:
    new_key(node)
    other = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    made = new_backup(node, recovery=(other,))
    done = command("key-rotate", "--rewrap", "--config", config, "--json")
    assert done.code == 1
    found = done.json()
    assert (found["error"]["code"], found["rewrap"]["failed"]) == ("not_renewed", [made.id])
    assert found["changed"]
    told = command("key-ensure", "--rewrap", "--config", config)
    assert told.code == 1
    assert f"warning: backup {made.id} is as it was" in told.err
    assert command("key-rotate", "--rewrap", "--config", config, "--recovery-recipients", other).code == 0


# --- an invalid card, given and in place ---


@pytest.mark.parametrize("way", ["file", "relative", "stdin"])
def test_an_invalid_card_that_was_given_is_bad_input(
    command: Command, config: Path, node: Node, tmp_path: Path, way: str
) -> None:
    (tmp_path / "card.yaml").write_text("no: card\n")
    named = {"file": str(tmp_path / "card.yaml"), "relative": "card.yaml", "stdin": "-"}[way]
    env = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    before = tree(node.root)
    done = command("reload-owner-card", named, "--config", config, env=env, given="no: card\n", cwd=tmp_path)
    assert done.code == 2
    assert "is no valid OwnerCard" in done.err
    assert tree(node.root) == before


def test_an_invalid_card_in_place_is_a_failure(command: Command, config: Path, node: Node) -> None:
    node.owner_card.write_text("no: card\n")
    env = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    done = command("reload-owner-card", "--config", config, "--json", env=env)
    assert done.code == 1
    assert len(done.json()["error"]["errors"]) == 9


def test_a_card_from_standard_input_is_bounded(command: Command, config: Path) -> None:
    done = command("reload-owner-card", "-", "--config", config, "--validate-only", given="#" * (1 << 21))
    assert done.code == 2
    assert "is larger than" in done.err
