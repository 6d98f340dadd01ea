# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is after the role node, a backup and a restore; the readers are not ours."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import yaml

from extensions.molecule import judge
from extensions.molecule.judge import ROOT

testinfra_hosts = judge.HOSTS

TIMERS = ["backup", "key-ensure", "key-prune", "slo-sample"]
METRICS = "/var/lib/prometheus/node-exporter"
#: systemd's own measure of how exposed a service is; 10 is the worst.
EXPOSED_AT_MOST = {"backup": 0.5, "key-ensure": 0.5, "key-prune": 0.5, "slo-sample": 1.2}


def show(host: Any, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit as systemd has loaded it."""
    lines = host.check_output("systemctl show --property=%s %s", ",".join(names), unit).splitlines()
    return dict(line.split("=", 1) for line in lines)


# --- the host ---


def test_packages_are_installed(host: Any) -> None:
    assert all(host.package(f"python3-{name}").is_installed for name in ("cryptography", "yaml", "zstandard"))


def test_the_service_user_can_do_nothing_but_serve(host: Any) -> None:
    user = host.user("vvtv")
    assert (user.group, user.home, user.shell) == ("vvtv", ROOT, "/usr/sbin/nologin")
    assert user.uid < 1000
    assert user.password in ("!", "!*", "*")
    assert user.groups == ["vvtv"]


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("", 0o750), ("runtime", 0o750), ("runtime/state", 0o750), ("config", 0o750),
        ("runtime/backups", 0o700), ("runtime/keys", 0o700),
    ],
)  # fmt: skip
def test_folders_belong_to_the_service_user(host: Any, path: str, mode: int) -> None:
    folder = host.file(f"{ROOT}/{path}")
    assert (folder.is_directory, folder.user, folder.group, folder.mode) == (True, "vvtv", "vvtv", mode)


def test_keys_and_backups_are_private(host: Any) -> None:
    loose = host.check_output(
        "find %s/runtime/keys %s/runtime/backups -perm /077 -o -not -user vvtv", ROOT, ROOT
    )
    assert loose == ""
    assert host.file(f"{ROOT}/runtime/keys/current.key").mode == 0o600


def test_token_and_secret_are_the_service_users_alone(host: Any) -> None:
    file = host.file("/etc/vvtv-runbook.env")
    assert (file.user, file.group, file.mode) == ("vvtv", "vvtv", 0o600)
    assert file.content_string.splitlines() == [
        f'VVTV_CONTROL_TOKEN="{judge.FLEET.token}"',
        f'VVTV_CONTROL_SECRET="{judge.FLEET.secret}"',
    ]


# --- the command ---


def test_command_and_configuration_are_roots(host: Any) -> None:
    for path, mode in (("/usr/local/bin/vvtv-runbook", 0o755), ("/etc/vvtv-runbook.yml", 0o644)):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "root", mode)
    foreign = "find /usr/local/lib/vvtv-runbook -not -user root -o -not -type l -perm /022 -o -name '*.pyc'"
    assert host.check_output(foreign) == ""
    assert host.file("/usr/local/lib/vvtv-runbook/vvtv_runbook").is_symlink
    configured = yaml.safe_load(host.file("/etc/vvtv-runbook.yml").content_string)
    assert (configured["root"], configured["slo"]["interval"]) == (ROOT, 5.0)


def test_the_command_runs_as_the_service_user(host: Any) -> None:
    told = json.loads(host.check_output("runuser -u vvtv -- vvtv-runbook version --json"))
    assert None not in told["libraries"].values()
    assert told["engine"].startswith("/usr/local/lib/vvtv-runbook/")
    assert host.run("runuser -u vvtv -- vvtv-runbook health --quiet").rc == 0


def test_the_command_works_with_the_bastion_gone(host: Any) -> None:
    """The playbook left emergency mode on; on the node it goes off, with the secrets that are there."""
    ask = "curl -sf http://127.0.0.1:7070/v1/status"
    before = json.loads(host.check_output(ask))["state"]
    assert before == "EMERGENCY"
    host.check_output("runuser -u vvtv -- vvtv-runbook emergency-off --quiet")
    assert json.loads(host.check_output(ask))["state"] == "RUNNING"
    host.check_output("runuser -u vvtv -- vvtv-runbook emergency-on --quiet")


# --- units and timers ---


def test_the_station_runs_and_comes_back_after_a_boot(host: Any) -> None:
    station = host.service("vvtv-station.service")
    assert station.is_running
    assert station.is_enabled
    facts = show(host, "vvtv-station.service", "User", "NRestarts", "MainPID")
    assert (facts["User"], facts["NRestarts"]) == ("vvtv", "0")
    environment = host.check_output("cat /proc/%s/environ", facts["MainPID"])
    assert judge.FLEET.token in environment


@pytest.mark.parametrize("name", TIMERS)
def test_timers_run_and_come_back_after_a_boot(host: Any, name: str) -> None:
    timer = host.service(f"vvtv-runbook-{name}.timer")
    assert timer.is_running
    assert timer.is_enabled
    facts = show(host, f"vvtv-runbook-{name}.timer", "Persistent", "RandomizedDelayUSec", "TimersCalendar")
    assert facts["Persistent"] == ("no" if name == "slo-sample" else "yes")
    assert (facts["RandomizedDelayUSec"] == "0") == (name == "slo-sample")
    assert ("*:*:00/5" in facts["TimersCalendar"]) == (name == "slo-sample")


def test_no_unit_has_failed_and_systemd_finds_no_fault_in_any(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
    verified = host.run("systemd-analyze verify --man=no /etc/systemd/system/vvtv-*")
    assert (verified.rc, verified.stdout, verified.stderr) == (0, "", "")


@pytest.mark.parametrize("name", TIMERS)
def test_what_a_timer_starts_is_locked_in(host: Any, name: str) -> None:
    unit = f"vvtv-runbook-{name}.service"
    told = host.check_output("systemd-analyze security --no-pager %s", unit).splitlines()[-1]
    (level,) = re.findall(r"exposure level for \S+: ([\d.]+) ", told)
    assert float(level) <= EXPOSED_AT_MOST[name], told
    writes = f"{ROOT}/runtime{f' {ROOT}/config' if name == 'backup' else ''} -{METRICS}"
    wanted = {
        "User": "vvtv", "ProtectSystem": "strict", "ReadWritePaths": writes, "NoNewPrivileges": "yes",
        "InaccessiblePaths": "-/etc/vvtv-runbook.env",
        "PrivateNetwork": "no" if name == "slo-sample" else "yes",
        "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes", "UMask": "0077", "LimitCORE": "0",
    }  # fmt: skip
    assert show(host, unit, *wanted) == wanted


def test_availability_is_sampled_by_itself(host: Any) -> None:
    last = show(host, "vvtv-runbook-slo-sample.timer", "LastTriggerUSec")["LastTriggerUSec"]
    assert last not in ("", "n/a")
    day = host.check_output("sh -c 'cat %s/runtime/slo/*.jsonl'", ROOT).splitlines()
    assert len(day) >= 2
    assert all(json.loads(line)["interval"] == 5 for line in day)
    assert (
        "vvtv_runbook_available 1"
        in host.file(f"{METRICS}/vvtv_runbook_node_availability.prom").content_string
    )


def test_a_timers_backup_opens_with_stock_age_and_is_told_to_monitoring(host: Any) -> None:
    began = time.time()
    host.check_output("systemctl start vvtv-runbook-backup.service")
    newest = host.check_output("sh -c 'ls -d %s/runtime/backups/2*Z* | sort | tail -n 1'", ROOT)
    assert host.file(newest).mtime.timestamp() >= began - 1
    archive = host.check_output("sh -c 'echo %s/backup.tar.*.age'", newest)
    assert judge.opened(host, archive, f"{ROOT}/runtime/keys/current.key")
    metrics = host.file(f"{METRICS}/vvtv_runbook_backup.prom")
    assert (metrics.user, metrics.mode) == ("vvtv", 0o644)
    (success,) = re.findall(
        r'last_success_timestamp_seconds\{verb="backup"\} ([\d.]+)', metrics.content_string
    )
    assert float(success) >= began - 1


@pytest.mark.parametrize("method", ["memory", "pinned"])
def test_every_way_to_copy_the_database_works_locked_in(host: Any, method: str) -> None:
    """A copy in memory needs /dev/shm, which a private /dev must still have."""
    unit, place = "vvtv-runbook-backup.service", "/run/systemd/system/vvtv-runbook-backup.service.d"
    command = f"/usr/local/bin/vvtv-runbook backup --force --method {method} --json"
    script = (
        f"mkdir {place} && printf '[Service]\\nExecStart=\\nExecStart={command}\\n' >{place}/test.conf"
        f" && systemctl daemon-reload && systemctl start {unit}; rm -r {place}; systemctl daemon-reload"
    )
    host.check_output("sh -c %s", script)
    lines = host.check_output("journalctl --output=cat --no-pager --unit=%s", unit).splitlines()
    told = [json.loads(line) for line in lines if line.startswith('{"changed"')][-1]
    assert (told["backup"]["method"], told["backup"]["kind"]) == (method, "encrypted")


# --- what the station did meanwhile ---


def test_the_station_went_on_through_the_restore(host: Any) -> None:
    database = f"{ROOT}/runtime/state/vvtv.db"

    def ask(question: str) -> str:
        answer: str = host.check_output(
            "runuser -u vvtv -- sqlite3 -cmd '.timeout 10000' %s %s", database, question
        )
        return answer.splitlines()[-1]

    assert ask("SELECT count(*) FROM audit_events WHERE event_id = 'after-the-backup'") == "0"
    whole = (
        "SELECT count(*) = (SELECT count(*) FROM assets) AND count(*) ="
        " (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
    )
    before = int(ask("SELECT count(*) FROM plans"))
    time.sleep(1)
    assert (ask(whole), int(ask("SELECT count(*) FROM plans")) > before) == ("1", True)


def test_only_ssh_can_be_called_from_outside(host: Any) -> None:
    assert host.socket("tcp://127.0.0.1:7070").is_listening
    outside = [
        socket for socket in host.socket.get_listening_sockets()
        if socket.startswith(("tcp://", "udp://")) and not socket.startswith(("tcp://127.", "tcp://::1:", "udp://127."))
    ]  # fmt: skip
    assert {socket.rsplit(":", 1)[1] for socket in outside} <= {"22"}


def test_no_secret_is_told(host: Any) -> None:
    held = judge.find_secrets(host, "vvtv")
    assert "/etc/vvtv-runbook.env" in held, "the search finds what is there"
    assert f"{ROOT}/runtime/keys/current.key" in held
    judge.assert_no_secret_is_told(host)
