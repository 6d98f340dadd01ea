# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Token, secret and keys: where they come from, who may read them, and that none is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from .installed import Command

TOKEN, SECRET = "token-marker-T1", "secret-marker-S2"


def control_env(folder: Path, mode: int = 0o600, secret: str = SECRET) -> Path:
    """A file with token and secret."""
    path = folder / "control.env"
    path.write_text(f"VVTV_CONTROL_TOKEN={TOKEN}\nVVTV_CONTROL_SECRET={secret}\n")
    path.chmod(mode)
    return path


def test_a_file_of_secrets_that_others_can_read_is_refused(
    command: Command, config: Path, tmp_path: Path
) -> None:
    open_file = control_env(tmp_path, 0o644)
    done = command("emergency-on", "--config", config, "--control-env-file", open_file, "--json")
    assert (done.code, done.json()["error"]["code"]) == (2, "unsafe")
    assert TOKEN not in done.out
    assert SECRET not in done.out


def test_the_environment_of_a_service_comes_before_the_configured_file(
    command: Command, config: Path, tmp_path: Path
) -> None:
    """A unit's EnvironmentFile is read by systemd as root; the service need not be able to read it."""
    with config.open("a") as text:
        text.write(f"control_env_file: {tmp_path}/unreadable\n")
    env = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
    done = command("emergency-on", "--config", config, "--json", env=env)
    assert done.json()["error"]["reason"] == "refused"  # nobody listens: so far it came
    missing = command("emergency-on", "--config", config, "--json")
    assert (missing.code, missing.json()["error"]["path"]) == (2, f"{tmp_path}/unreadable")
    named = command(
        "emergency-on", "--config", config, "--control-env-file", tmp_path / "other", "--json", env=env
    )
    assert (named.code, named.json()["error"]["path"]) == (2, f"{tmp_path}/other")


@pytest.mark.one_python
@pytest.mark.parametrize(
    "words", [["emergency-on"], ["emergency-off"], ["reload-owner-card"], ["slo-sample"]]
)
def test_secrets_are_never_printed(command: Command, config: Path, tmp_path: Path, words: list[str]) -> None:
    config.write_text(config.read_text().replace("api_timeout: 1", "api_timeout: 0.1"))
    with config.open("a") as text:
        text.write(f"control_env_file: {control_env(tmp_path)}\n")
    for more in ([], ["--json"], ["--check"]):
        for env in ({}, {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}):
            done = command(*words, *more, "--config", config, env=env)
            assert done.code in (0, 1, 2)
            assert TOKEN not in done.out + done.err
            assert SECRET not in done.out + done.err


@pytest.mark.one_python
def test_keys_are_never_printed(command: Command, config: Path, node: Node) -> None:
    said = []
    for words in (["key-ensure"], ["key-rotate", "--rewrap"], ["keys"], ["backup", "--force"], ["key-prune"]):
        for more in ([], ["--json"]):
            done = command(*words, *more, "--config", config)
            said.append(done.out + done.err)
    keys = [path.read_text() for path in node.key_dir.rglob("*.key")]
    secrets = {line for text in keys for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")}
    assert len(secrets) > 2
    assert not [secret for secret in secrets if any(secret in text for text in said)]
    assert "AGE-SECRET-KEY" not in "".join(said).upper()
