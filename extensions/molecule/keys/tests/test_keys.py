# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rotation that was killed, and could not reach everybody, left on each node; stock age judges."""

# ruff: noqa: S101

from __future__ import annotations

import json
from typing import Any

from extensions.molecule import judge
from extensions.molecule.judge import ROOT

testinfra_hosts = judge.HOSTS

KEYS = f"{ROOT}/runtime/keys"


def archived(host: Any) -> list[str]:
    """The ids of all keys of a node, the oldest first."""
    return sorted(name.removesuffix(".key") for name in host.file(f"{KEYS}/archive").listdir())


def test_each_node_was_rotated_exactly_once(host: Any) -> None:
    keys = archived(host)
    assert len(keys) == 2
    assert host.file(f"{KEYS}/current.key.id").content_string.strip() == keys[1]


def test_every_backup_is_for_the_new_key_and_for_no_other(host: Any) -> None:
    old, new = archived(host)
    archives = host.check_output("sh -c 'ls %s/runtime/backups/*/backup.tar.*.age'", ROOT).split()
    assert len(archives) == 2, "the named one, and the one that the rotation made"
    for archive in archives:
        assert judge.opened(host, archive, f"{KEYS}/current.key")
        assert judge.opened(host, archive, f"{KEYS}/archive/{new}.key")
        assert not judge.opened(host, archive, f"{KEYS}/archive/{old}.key")


def test_keys_and_backups_are_private_and_the_service_users(host: Any) -> None:
    loose = "find %s/runtime/keys %s/runtime/backups -perm /077 -o -not -user vvtv -o -not -group vvtv"
    assert host.check_output(loose, ROOT, ROOT) == ""


def test_the_station_is_on_air_and_was_never_restarted(host: Any) -> None:
    assert host.service("vvtv-station.service").is_running
    assert host.check_output("systemctl show --property=NRestarts --value vvtv-station.service") == "0"
    assert json.loads(host.check_output("curl -sf http://127.0.0.1:7070/v1/status"))["state"] == "RUNNING"
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_no_secret_is_told(host: Any) -> None:
    held = judge.find_secrets(host, "vvtv")
    assert {f"{KEYS}/archive/{key}.key" for key in archived(host)} < set(held), (
        "the search finds what is there"
    )
    judge.assert_no_secret_is_told(host)
