# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics: their format, what they say after a success and a failure; a hostile folder fools nobody."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import errors
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import textfile
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from . import exposition
from .installed import Command, Installed


def folder_of(config: Path) -> Path:
    """Where the metrics go."""
    return config.with_name("metrics")


def read(config: Path, name: str) -> exposition.Exposition:
    """Read one file of metrics, and make sure that all of them can be read together."""
    everything: dict[str, float] = {}
    helps: dict[str, str] = {}
    for path in sorted(folder_of(config).iterdir()):
        assert path.suffix == ".prom", path
        assert path.stat().st_mode & 0o777 == 0o644
        found = exposition.parse(path.read_text())
        assert set(found.types.values()) <= {"gauge"}
        assert all(name.startswith("vvtv_runbook_") for name in found.types)
        assert not set(found.samples) & set(everything), f"a sample is in two files: {path.name}"
        assert all(helps.get(name, text) == text for name, text in found.helps.items())
        everything.update(found.samples)
        helps.update(found.helps)
    return exposition.parse((folder_of(config) / f"vvtv_runbook_{name}.prom").read_text())


def of_run(config: Path, verb: str) -> dict[str, float]:
    """What is said of the last run of a verb."""
    samples = read(config, verb).samples
    short = {key.partition("{")[0][len("vvtv_runbook_") :]: value for key, value in samples.items()}
    assert set(samples) == {f'vvtv_runbook_{name}{{verb="{verb}"}}' for name in short}
    assert set(short) == {
        "last_run_timestamp_seconds",
        "last_success_timestamp_seconds",
        "last_run_success",
        "duration_seconds",
    }
    return short


def of_node(config: Path, subject: str) -> dict[str, float]:
    """What is said of the node."""
    return {
        key[len("vvtv_runbook_") :]: value for key, value in read(config, f"node_{subject}").samples.items()
    }


def age_of(iso: str) -> float:
    """Return an instant as Unix seconds."""
    return datetime.strptime(iso, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def test_a_first_run_that_fails_never_succeeded(command: Command, config: Path) -> None:
    before = time.time()
    assert command("backup", "--config", config).code == 1  # there is no key
    run = of_run(config, "backup")
    assert (run["last_run_success"], run["last_success_timestamp_seconds"]) == (0, 0)
    assert before - 1 <= run["last_run_timestamp_seconds"] <= time.time() + 1
    assert 0 <= run["duration_seconds"] < 60
    assert of_node(config, "backups") == {
        "backups": 0,
        "unusable_backups": 0,
        "newest_backup_timestamp_seconds": 0,
        "newest_verified_backup_timestamp_seconds": 0,
    }


def test_a_backup_and_its_failure_afterwards(command: Command, config: Path, node: Node) -> None:
    assert command("backup", "--plain", "--config", config).code == 0
    good = of_run(config, "backup")
    assert (good["last_run_success"], good["last_success_timestamp_seconds"]) == (
        1,
        good["last_run_timestamp_seconds"],
    )
    (folder,) = [path for path in node.backup_dir.iterdir() if path.name[0] != "."]
    manifest = json.loads((folder / "manifest.json").read_text())
    made = of_node(config, "backups")
    assert made["backups"] == 1
    assert made["backup_size_bytes"] == sum(
        (folder / name).stat().st_size for name in ("state.db", "owner_card.yaml")
    )
    assert made["newest_backup_timestamp_seconds"] == pytest.approx(age_of(manifest["created_at"]), abs=1e-3)
    assert made["newest_verified_backup_timestamp_seconds"] == made["newest_backup_timestamp_seconds"]

    card = node.owner_card.read_bytes()
    node.owner_card.write_text("spoilt: card\n")
    assert command("backup", "--plain", "--config", config).code == 1
    bad = of_run(config, "backup")
    assert bad["last_run_success"] == 0
    assert bad["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]
    assert bad["last_run_timestamp_seconds"] > good["last_run_timestamp_seconds"]
    assert of_node(config, "backups") == made  # read from the node: it has what it had

    # A folder that is no backup is told, and a backup of the station's own tools was not verified by us.
    (node.backup_dir / "20990101T000000Z").mkdir()
    manifest.pop("verified_at")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    node.owner_card.write_bytes(card)
    assert command("verify", folder.name, "--config", config).code == 0
    again = of_node(config, "backups")
    assert (again["backups"], again["unusable_backups"]) == (1, 1)
    assert again["newest_backup_timestamp_seconds"] == made["newest_backup_timestamp_seconds"]
    assert again["newest_verified_backup_timestamp_seconds"] == 0
    assert of_run(config, "verify")["last_run_success"] == 1


def test_keys_in_every_verb_about_them(command: Command, config: Path) -> None:
    begin = time.time()
    for number, verb in enumerate(("key-ensure", "key-rotate", "key-prune", "keys")):
        assert command(verb, "--config", config).code == 0
        assert of_run(config, verb)["last_run_success"] == 1
        found = of_node(config, "keys")
        assert found["keys"] == min(number + 1, 2)
        assert begin - 1 <= found["key_created_timestamp_seconds"] <= time.time() + 1


def test_a_sample_and_the_availability_that_comes_of_it(command: Command, config: Path, node: Node) -> None:
    store = node.runtime / "slo"
    store.mkdir(mode=0o700)
    now = datetime.now(timezone.utc)
    for minutes in range(30, 0, -1):
        at = now - timedelta(minutes=minutes)
        sample = {"ts": at.isoformat(), "available": minutes > 15, "interval": 60, "reasons": []}
        with (store / f"{at:%Y-%m-%d}.jsonl").open("a") as file:
            file.write(json.dumps(sample) + "\n")
    assert command("slo-sample", "--config", config).code == 0  # nobody answers: a good sample of that
    found = of_node(config, "availability")
    assert found["available"] == 0
    assert found['availability_ratio{window="1h"}'] == pytest.approx(0.5, abs=0.01)
    assert set(found) == {
        "available",
        "last_sample_timestamp_seconds",
        *(f'availability_ratio{{window="{window}"}}' for window in ("1h", "24h", "7d", "30d")),
    }


def test_check_mode_leaves_no_metrics(command: Command, config: Path) -> None:
    assert command("key-ensure", "--check", "--config", config).code == 0
    assert list(folder_of(config).iterdir()) == []


@pytest.mark.parametrize("what", ["missing", "file", "held"])
def test_metrics_that_cannot_be_written_are_a_warning(command: Command, config: Path, what: str) -> None:
    folder = folder_of(config)
    if what != "held":
        folder.rmdir()
    if what == "file":
        folder.write_text("")
    handle = os.open(folder, os.O_RDONLY) if what == "held" else -1
    if what == "held":
        fcntl.flock(handle, fcntl.LOCK_EX)
    done = command("key-ensure", "--config", config, "--json")
    assert done.code == 0
    assert done.err == ""
    (warning,) = done.json()["warnings"]
    assert warning.startswith(f"no metrics were written: {folder}: ")
    told = command("keys", "--config", config) if what != "held" else done
    assert what == "held" or "warning: no metrics were written" in told.err


def test_a_run_that_is_about_no_metrics_leaves_none(command: Command, config: Path) -> None:
    assert command("backups", "--config", config).code == 0
    assert command("audit", "--config", config).code == 0
    assert list(folder_of(config).iterdir()) == []


FORMER = 'vvtv_runbook_last_success_timestamp_seconds{verb="backup"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{FORMER} 1e3\n",
        f"{FORMER} NaN\n",
        f"{FORMER} +Inf\n",
        f"{FORMER} -1\n",
        f"{FORMER} 99999999999\n",
        f"{FORMER} 1\n{FORMER} 2\n",
        f"{FORMER} 1 2\n",
        f"{FORMER}  1\n",
        f"{FORMER} {'9' * 400}\n",
        "x" * 70_000 + f"\n{FORMER} 1\n",
        'vvtv_runbook_last_success_timestamp_seconds{verb="verify"} 1\n',
        "\0\xff\n",
    ],
    ids=range(13),
)
def test_a_spoilt_file_of_metrics_says_that_it_never_succeeded(
    command: Command, config: Path, text: str
) -> None:
    (folder_of(config) / "vvtv_runbook_backup.prom").write_text(text)
    assert command("backup", "--config", config).code == 1
    assert of_run(config, "backup")["last_success_timestamp_seconds"] == 0


def test_what_lies_where_metrics_go_is_replaced_and_not_followed(
    command: Command, config: Path, tmp_path: Path
) -> None:
    folder, victim = folder_of(config), tmp_path / "victim"
    victim.write_text(f"{FORMER} 1\n")
    (folder / "vvtv_runbook_backup.prom").symlink_to(victim)
    (folder / ".vvtv_runbook_node_backups.prom.vvtv-new").symlink_to(victim)
    os.mkfifo(folder / "vvtv_runbook_node_backups.prom")
    assert command("backup", "--config", config).code == 1
    assert victim.read_text() == f"{FORMER} 1\n"
    assert of_run(config, "backup")["last_success_timestamp_seconds"] == 0


@given(st.binary(max_size=200))
def test_any_former_file_is_survived(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "vvtv_runbook_x.prom").write_bytes(data)
    found = textfile.former(folder, "x", "y", "", 100)
    assert found is None or 0 <= found <= 100


@given(st.text(max_size=20), st.floats(0, 1e12), st.text(min_size=1, max_size=20))
def test_whatever_is_written_is_in_the_format(label: str, value: float, about: str) -> None:
    about = "A " + " ".join(about.split())
    label = "".join(char for char in label if char.isprintable() or char == "\n")
    text = textfile.render([textfile.Gauge("x", about, "l", {label: value}), textfile.one("y", about, None)])
    found = exposition.parse(text.decode(errors="surrogatepass"))
    assert list(found.samples.values()) == [pytest.approx(value, abs=1e-6)]


def test_many_at_once_leave_whole_files(installed: Installed, config: Path) -> None:
    command = [str(installed.program), "keys", "--config", str(config), "--quiet"]
    running = [subprocess.Popen(command, env={}) for _number in range(6)]
    while any(one.poll() is None for one in running):
        for path in folder_of(config).glob("*.prom"):
            exposition.parse(path.read_text())
    assert [one.returncode for one in running] == [0] * 6
    assert of_run(config, "keys")["last_run_success"] == 1


def test_a_folder_that_stays_held_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "_LOCK_SECONDS", 0.1)
    with textfile.held(tmp_path), pytest.raises(errors.Busy), textfile.held(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_file_of_metrics_belongs_to_the_owner_of_its_folder(command: Command, config: Path) -> None:
    os.chown(folder_of(config), 12345, -1)
    assert command("key-ensure", "--config", config).code == 0
    assert {path.stat().st_uid for path in folder_of(config).iterdir()} == {12345}
