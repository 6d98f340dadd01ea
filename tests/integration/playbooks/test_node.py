# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role node writes is what the node's command reads. The role itself needs hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import config, parser, shared
from tests.integration.helpers import CHECKOUT

ROLE = CHECKOUT / "roles/node"
UNSET = {"root": "/srv/vvtv", "control_env_file": "/etc/vvtv-runbook.env"}
UNSET["metrics_dir"] = "/var/lib/prometheus/node-exporter"

#: A value for every variable of the inventory that reaches the command, by the name it has there.
SET: dict[str, tuple[str, Any]] = {
    "root": ("vvtv_root", "/srv/ä"),
    "state_db": ("vvtv_state_db", "db/x.db"),
    "owner_card": ("vvtv_owner_card", "/etc/card.yaml"),
    "backup_dir": ("vvtv_backup_dir", "b"),
    "key_dir": ("vvtv_key_dir", "k"),
    "lock_timeout": ("vvtv_lock_timeout", 7.5),
    "recovery_recipients": ("vvtv_recovery_recipients", ["age1x", "age1y"]),
    "encrypt": ("vvtv_encrypt", False),
    "compression": ("vvtv_compression", "gzip"),
    "max_age": ("vvtv_key_max_age_days", 3),
    "retention": ("vvtv_key_retention_days", 4),
    "api_url": ("vvtv_api_url", "http://127.0.0.1:1"),
    "api_timeout": ("vvtv_api_timeout", 2),
    "control_env_file": ("vvtv_control_env_file", "/etc/x.env"),
    "env": ("vvtv_env", "dev"),
    "metrics_dir": ("vvtv_metrics_dir", "/m"),
    "thresholds.fail_on": ("vvtv_fail_on", "medium"),
    "thresholds.buffer_target": ("vvtv_buffer_target", 61),
    "thresholds.buffer_critical": ("vvtv_buffer_critical", 21),
    "thresholds.qa_floor": ("vvtv_qa_floor", 0.8),
    "thresholds.qa_baseline": ("vvtv_qa_baseline", "floor"),
    "thresholds.qa_tolerance": ("vvtv_qa_tolerance", 0.06),
    "thresholds.fallback_cap": ("vvtv_fallback_cap", 0.31),
    "thresholds.fallback_jump": ("vvtv_fallback_jump", 0.16),
    "thresholds.fallback_growth_samples": ("vvtv_fallback_growth_samples", 5),
    "thresholds.discovery_failures": ("vvtv_discovery_failures", 6),
    "thresholds.stale_grace_minutes": ("vvtv_stale_grace_minutes", 11),
    "slo.target": ("vvtv_slo_target", 0.9),
    "slo.max_gap": ("vvtv_slo_max_gap", 2),
    "slo.interval": ("vvtv_slo_interval", 5),
    "slo.keep_days": ("vvtv_slo_keep_days", 41),
    "slo.maintenance": (
        "vvtv_maintenance",
        [{"start": "2026-11-23T02:00:00Z", "end": "2026-11-23T04:00:00+01:00", "reason": 'disks: "new"'}],
    ),
}  # fmt: skip


def written(where: Path, variables: dict[str, Any]) -> dict[str, Any]:
    """What the command reads in the configuration that these variables make."""
    target = where / "vvtv-runbook.yml"
    task = {"src": str(ROLE / "templates/vvtv-runbook.yml.j2"), "dest": str(target), "mode": "0644"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [{"ansible.builtin.template": task}],
    }
    path = where / "play.yml"
    path.write_text(json.dumps([play]))
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(path), "-e", json.dumps(variables)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return config.read(target, True, shared.CONFIGURED)


def test_an_inventory_that_sets_nothing_leaves_the_command_its_defaults(tmp_path: Path) -> None:
    found = written(tmp_path, {"vvtv_root": "/srv/vvtv"})
    usual = {one.name: one.default for one in shared.CONFIGURED} | UNSET
    assert {name: usual[name] for name in found} == found


def test_every_variable_of_the_inventory_reaches_the_command(tmp_path: Path) -> None:
    found = written(tmp_path, dict(SET.values()))
    expected = {
        name: tuple(value) if isinstance(value, list) else value for name, (_variable, value) in SET.items()
    }
    assert found == expected


def test_no_folder_for_metrics_and_no_file_with_secrets_is_said_by_saying_nothing(tmp_path: Path) -> None:
    found = written(tmp_path, {"vvtv_root": "/x", "vvtv_metrics_dir": "", "vvtv_control_env_file": ""})
    assert {"metrics_dir", "control_env_file"} & set(found) == set()


TIMERS = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__node_timers_known"]


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_calls_a_verb_that_the_command_has(name: str) -> None:
    assert parser.parse(TIMERS[name]["words"].split()).verb.name == name
