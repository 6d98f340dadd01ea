# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where token and secret come from, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import credentials as module
from ansible_collections.vvtv.runbook.plugins.module_utils._core.credentials import Credentials, credentials
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    BadInput,
    Damaged,
    NotFound,
    RunbookError,
    Unsafe,
)

TOKEN, SECRET = module.TOKEN_VARIABLE, module.SECRET_VARIABLE
ENVIRON = {TOKEN: "environ-token", SECRET: "environ-secret"}


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "control.env"
    path.write_text(f"# the station's\nVVTV_ENV=production\n{TOKEN}=file-token\n{SECRET}='file secret'\n")
    path.chmod(0o600)
    return path


def test_the_option_comes_before_the_file_and_the_file_before_the_environment(env_file: Path) -> None:
    assert credentials("a", "b", env_file, environ=ENVIRON) == Credentials("a", "b")
    assert credentials("a", None, env_file, environ=ENVIRON) == Credentials("a", "file secret")
    assert credentials(None, None, env_file, environ=ENVIRON) == Credentials("file-token", "file secret")
    assert credentials(environ=ENVIRON) == Credentials("environ-token", "environ-secret")
    env_file.write_text("")
    assert credentials("", None, env_file, environ=ENVIRON) == Credentials("environ-token", "environ-secret")


def test_without_a_mapping_the_environment_is_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "a")
    monkeypatch.setenv(SECRET, "b")
    assert credentials() == Credentials("a", "b")


@pytest.mark.parametrize(
    ("token", "secret", "told"),
    [
        (None, None, "needs control_token and there is none"),
        ("a", None, "needs control_secret and there is none"),
        ("dev-token", "b", "control_token is the default that everybody knows"),
        ("a", "dev-secret", "control_secret is the default that everybody knows"),
    ],
)
@pytest.mark.parametrize("env", ["production", "", "DEV", "development"])
def test_the_defaults_are_for_dev_only(token: str | None, secret: str | None, told: str, env: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        credentials(token, secret, env=env, environ={})
    assert f"{TOKEN} in control_env_file" in str(caught.value) or f"{SECRET} in" in str(caught.value)


def test_dev_has_the_defaults(env_file: Path) -> None:
    assert credentials(env="dev", environ={}) == Credentials("dev-token", "dev-secret")
    assert credentials("a", env="dev", environ={}) == Credentials("a", "dev-secret")
    assert credentials(env_file=env_file, env="dev", environ={}) == Credentials("file-token", "file secret")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o664, 0o666])
def test_a_file_that_others_can_use_is_refused_with_what_mends_it(env_file: Path, mode: int) -> None:
    env_file.chmod(mode)
    with pytest.raises(Unsafe, match=f"has mode {mode:04o}") as caught:
        credentials(env_file=env_file, environ={})
    assert caught.value.hint is not None
    subprocess.run(["sh", "-c", caught.value.hint.removeprefix("run: ")], check=True)
    assert credentials(env_file=env_file, environ={}).token == "file-token"


def test_a_file_may_be_the_groups_to_read_and_reached_by_a_link(env_file: Path, tmp_path: Path) -> None:
    env_file.chmod(0o440)
    (tmp_path / "link").symlink_to(env_file)
    assert credentials(env_file=tmp_path / "link", environ={}).token == "file-token"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("=plain", "plain"),
        (" = spaced out  ", "spaced out"),
        ("='single \\\\ \" $HOME'", 'single \\\\ " $HOME'),
        ('="double \\" \\\\ \\$ \\x"', 'double " \\ $ \\x'),
        ("=a\\ b\\\\", "a b\\"),
        ("=a=b#c", "a=b#c"),
    ],
)
def test_lines_are_read_as_systemd_reads_them(env_file: Path, line: str, value: str) -> None:
    env_file.write_text(f"{SECRET}=overridden\n  {SECRET}{line}\r\n;{SECRET}=comment\n#{SECRET}=comment\n")
    assert module.read_env_file(env_file) == {SECRET: value}


@pytest.mark.parametrize("value", ["'open", '"', "'a' b", "\"mixed'"])
def test_quotes_that_do_not_close_are_told_without_what_they_hold(env_file: Path, value: str) -> None:
    env_file.write_text(f"\n{SECRET}={value}\n")
    with pytest.raises(BadInput, match="line 2: the quotes do not close") as caught:
        module.read_env_file(env_file)
    assert value not in str(caught.value)


def test_a_file_that_is_none_is_refused(env_file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"cannot read the control credentials"):
        credentials(env_file=tmp_path / "missing", environ=ENVIRON)
    env_file.write_bytes(b"\xff")
    with pytest.raises(BadInput, match="is no UTF-8 text"):
        credentials(env_file=env_file, environ=ENVIRON)
    env_file.write_bytes(b"#" * 70_000)
    with pytest.raises(Damaged, match="larger than"):
        credentials(env_file=env_file, environ=ENVIRON)
    tmp_path.chmod(0o700)
    with pytest.raises(Damaged, match="not a regular file"):
        credentials(env_file=tmp_path, environ=ENVIRON)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "\u00e4", "a" * 1025])
def test_a_token_that_fits_in_no_header_is_refused(token: str) -> None:
    with pytest.raises(BadInput, match="visible ASCII"):
        Credentials(token, "b")


@pytest.mark.parametrize("secret", ["", "a\nb", "\udcff", "\0", "a" * 1025])
def test_a_secret_that_is_no_text_is_refused(secret: str) -> None:
    with pytest.raises(BadInput, match="printable") as caught:
        Credentials("a", secret)
    assert not secret or secret not in str(caught.value)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_pair_makes_headers_or_our_error(token: str, secret: str) -> None:
    try:
        made = Credentials(token, secret)
    except RunbookError:
        return
    assert repr(made) == "Credentials()"
    for value in made.headers("POST", "/v1/control/emergency-mode", 1).values():
        assert value.isascii()
        assert value.isprintable()
