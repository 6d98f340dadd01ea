# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration: what it may hold, whom it may belong to, and that nothing in it is repeated."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import errors, strict_yaml
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import config, exits, shared

HUSH = "hush-hush-4711"


def read(path: Path) -> dict[str, Any]:
    """Read a configuration that has to be there."""
    return config.read(path, True, shared.CONFIGURED)


def write(folder: Path, data: bytes | str) -> Path:
    """Write a configuration that is trusted."""
    path = folder / "runbook.yml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(0o600)
    return path


def test_every_setting_can_stand_in_it(tmp_path: Path) -> None:
    found = read(
        write(
            tmp_path,
            """\
root: /srv/vvtv
state_db: state/db
lock_timeout: 3
recovery_recipients: [age1a, age1b]
encrypt: false
compression: gzip
api_url: http://127.0.0.1:7071
control_env_file: /etc/vvtv/control.env
env: dev
max_age: 7.5
retention: 90
metrics_dir: /var/lib/metrics
thresholds:
  buffer_critical: 10
  qa_baseline: floor
  fallback_growth_samples: 5
  fail_on: low
slo:
  target: 0.99
  interval: 30
  keep_days: 90
  maintenance:
    - {start: "2026-11-23T02:00:00+01:00", end: 2026-11-23T04:00:00+01:00, reason: new disks}
""",
        )
    )
    assert found["root"] == "/srv/vvtv"
    assert found["recovery_recipients"] == ("age1a", "age1b")
    assert (found["encrypt"], found["lock_timeout"], found["max_age"]) == (False, 3.0, 7.5)
    assert (found["thresholds.buffer_critical"], found["thresholds.fallback_growth_samples"]) == (10.0, 5)
    assert (found["slo.target"], found["slo.keep_days"]) == (0.99, 90)
    # YAML 1.2 has no instants: a date without quotes is a text as well.
    assert found["slo.maintenance"][0]["end"] == "2026-11-23T04:00:00+01:00"


def test_every_name_that_the_help_lists_can_be_read(tmp_path: Path) -> None:
    for one in shared.CONFIGURED:
        value: Any = one.default if one.default is not None else "/x"
        value = list(value) if isinstance(value, tuple) else value
        text = str(value).lower() if isinstance(value, bool) else value
        head, dot, tail = one.name.partition(".")
        assert read(write(tmp_path, f"{head}: {{{tail}: {text}}}" if dot else f"{head}: {text}"))
    assert read(write(tmp_path, "")) == {}
    assert read(write(tmp_path, "root:\nthresholds:\n")) == {}


UNKNOWN = {
    "rot: /x": ("unknown key rot", "did you mean root?"),
    "thresholds: {buffer_critcal: 1}": (
        "unknown key thresholds.buffer_critcal",
        "did you mean buffer_critical?",
    ),
    "slo: {xyz: 1}": ("unknown key slo.xyz", "known here: interval, keep_days"),
    "buffer_critical: 1": ("unknown key buffer_critical", "known here: "),
    f"control_secret: {HUSH}": ("unknown key control_secret", "secrets do not belong here"),
    f"token: {HUSH}": ("unknown key token", "secrets do not belong here"),
    "1: 2": ("unknown key 1", "known here: "),
    "true: 2": ("unknown key True", "known here: "),
    '"a\\e[2Jb": 1': ("unknown key a?[2Jb", "known here: "),
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_key_is_an_error_that_names_file_and_key(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(exits.BadUsage) as caught:
        read(path)
    msg, hint = UNKNOWN[text]
    assert (caught.value.msg, caught.value.path) == (msg, str(path))
    assert hint in str(caught.value.hint)
    assert HUSH not in str(caught.value)


WRONG = [
    f"lock_timeout: {HUSH}",
    f"encrypt: {HUSH}",
    f"compression: {HUSH}",
    f"recovery_recipients: {HUSH}",
    f"recovery_recipients: [[{HUSH}]]",
    f"root: relative/{HUSH}",
    f"metrics_dir: {HUSH}",
    f"slo: {HUSH}",
    f"slo: {{maintenance: [{HUSH}]}}",
    f"slo: {{maintenance: [{{start: {HUSH}}}]}}",
    f"thresholds: [{HUSH}]",
    f"thresholds: {{fail_on: {HUSH}}}",
    f"thresholds: {{qa_history_min: 1.5, qa_floor: {HUSH}}}",
    f"- {HUSH}",
    HUSH,
    f"root: '{HUSH}",
    f"root: {HUSH}\nroot: {HUSH}",
    f"\tx: {HUSH}",
    f"root: !!python/object/apply:os.system [{HUSH}]",
    f"root: *{HUSH}",
    f"root: !!int '{HUSH}'",
    "lock_timeout: !!int ''",
    "lock_timeout: !!float ''",
    "encrypt: !!bool nonsense",
    "root: !!timestamp nonsense",
    "root: !!binary ä",
    "max_age: .inf",
    "max_age: .nan",
    f"max_age: {'9' * 5000}",
    "slo: &a {target: *a}",
    "[" * 20_000,
    "{" * 20_000,
    "a: b\n---\nc: d",
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_used_is_said_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(exits.BadUsage) as caught:
        read(path)
    assert caught.value.path == str(path)
    assert HUSH not in str(caught.value)


def test_a_billion_laughs_cost_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 20)}]" for n in range(1, 20)]
    with pytest.raises(exits.BadUsage, match="unknown key a0"):
        read(write(tmp_path, "\n".join(lines)))
    nested = "recovery_recipients: " + "[" * 50 + "&x [y]" + "]" * 50
    with pytest.raises(exits.BadUsage, match="must be a list of texts"):
        read(write(tmp_path, nested))
    # Merging could multiply pairs; our reading knows no merge key.
    merge = "x: &x {a: 1}\n" + "".join(f"y{n}: {{<<: [*x, *x]}}\n" for n in range(100))
    with pytest.raises(exits.BadUsage):
        read(write(tmp_path, merge))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_configuration_or_an_error_of_ours(tmp_path_factory: Any, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), data)
    try:
        read(path)
    except errors.RunbookError as exc:
        assert exc.path == str(path)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.sampled_from(sorted({one.name.partition(".")[0] for one in shared.CONFIGURED})) | st.text(
    max_size=8
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_any_document_is_a_configuration_or_an_error_of_ours(tmp_path_factory: Any, document: Any) -> None:
    path = write(tmp_path_factory.getbasetemp(), yaml.safe_dump(document, allow_unicode=True))
    try:
        found = read(path)
    except errors.RunbookError as exc:
        assert exc.path == str(path)
    else:
        assert set(found) <= {one.name for one in shared.CONFIGURED}


def test_one_that_is_not_needed_may_be_missing(tmp_path: Path) -> None:
    assert config.read(tmp_path / "none.yml", False, shared.CONFIGURED) == {}
    with pytest.raises(errors.NotFound):
        read(tmp_path / "none.yml")


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666, 0o620])
def test_one_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, "root: /x")
    path.chmod(mode)
    with pytest.raises(errors.Unsafe, match="can be changed by others") as caught:
        read(path)
    subprocess.run(str(caught.value.hint).split(": ", 1)[1], shell=True, check=True)  # noqa: S602
    assert read(path) == {"root": "/x"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_that_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "root: /x")
    os.chown(path, 65534, -1)
    with pytest.raises(errors.Unsafe, match="belongs to uid 65534"):
        read(path)


def test_a_link_is_followed_to_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, "root: /x")
    (tmp_path / "link").symlink_to(path)
    assert read(tmp_path / "link") == {"root": "/x"}
    path.chmod(0o666)
    with pytest.raises(errors.Unsafe):
        read(tmp_path / "link")


@pytest.mark.parametrize("what", ["folder", "fifo", "large"])
def test_what_is_no_small_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "runbook.yml"
    if what == "folder":
        path.mkdir(mode=0o700)
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path = write(tmp_path, "#" * (config.MAX_BYTES + 1))
    with pytest.raises(errors.Damaged):
        read(path)


def test_without_pyyaml_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "yaml", None)
    with pytest.raises(errors.MissingLibrary, match="PyYAML"):
        read(write(tmp_path, "root: /x"))
