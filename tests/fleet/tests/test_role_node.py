# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role node on hosts that Molecule's scenarios do not have: touched by hand, killed, refused, removed.

One host, since the scenarios have one of each release. The tests of this file build on one another.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import check, station
from tests.fleet import fleet as fleets
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import until
from tests.integration.helpers import Play

from . import readers
from .bastion import Bastion, bastion

pytestmark = pytest.mark.thorough

ROOT = station.ROOT
UNITS = "/etc/systemd/system"
LIBRARY = "/usr/local/lib/vvtv-runbook"
TIMERS = ("backup", "key-ensure", "key-prune", "slo-sample")
BACKUP = "vvtv-runbook-backup"
SAID = 'a "quoted" 100 % \\ value'
STATION: dict[str, Any] = {
    "name": "vvtv-station",
    "description": "VVTV station (simulated)",
    "command": "/opt/vvtv-station/bin/vvtv-station --root /srv/vvtv --port 7070 --commit-interval 0.2",
    "environment": {"SAID": SAID},
}
#: Everything that the role could touch, with owners, modes and content; not what station and timers write.
STATE = """
(find /etc /usr/local /srv /var/lib/prometheus ! -path '*/runtime/*/*' ! -path '*/.ansible*' \\
  ! -path '*exporter/*' -printf '%p %u %g %m %l\\n'
 find /etc /usr/local /srv/vvtv/config -type f -print0 | xargs -0 sha256sum) 2>/dev/null |
 sort | sha256sum
"""
#: What is the operator's: data, keys, backups.
DATA = f"""
(cd {ROOT} && find . ! -path './runtime/sim*' -printf '%p %u %g %m\\n' | sort
 cat runtime/keys/*/* runtime/backups/*/* runtime/state/*) | sha256sum
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    check.require()
    with fleets.up(1, releases=(13,), virgin=True, name="role-node") as fleet:
        yield fleet


@pytest.fixture
def one(fleet: Fleet) -> Node:
    node: Node = fleet[0]
    return node


@pytest.fixture(scope="module")
def ops(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """Somebody whose inventory says that nodes are operated as vvtv, as inventories/example does."""
    more = tmp_path_factory.mktemp("inventory") / "more.json"
    more.write_text(json.dumps({"vvtv": {"vars": {"vvtv_units": [STATION]}}}))
    with bastion(fleet, fleet.inventory_vvtv, more) as machine:
        yield machine


def set_up(ops: Bastion, *options: str, changed: bool, **variables: Any) -> Play:
    """Run the playbook to a good end."""
    run = ops.play("node", "-e", json.dumps(variables), *options)
    assert run.code == 0, run.output
    assert (run.count("node1", "changed") > 0) == changed, run.output
    return run


def show(node: Node, unit: str, name: str) -> str:
    return node.sh(f"systemctl show --property={name} --value {unit}")


def pid(node: Node) -> str:
    """The station's process."""
    return show(node, "vvtv-station", "MainPID")


@contextlib.contextmanager
def every_second(node: Node, name: str) -> Iterator[None]:
    """Let a timer elapse each second, for the length of a block."""
    place, timer = f"{UNITS}/vvtv-runbook-{name}.timer.d", f"vvtv-runbook-{name}.timer"
    often = "[Timer]\\nOnCalendar=\\nOnCalendar=*:*:*\\nAccuracySec=1ms\\nRandomizedDelaySec=0\\n"
    take_over = f"systemctl daemon-reload; systemctl restart {timer}"
    node.sh(f"mkdir {place}; printf '{often}' >{place}/often.conf; {take_over}")
    try:
        yield
    finally:
        node.sh(f"rm -r {place}; {take_over}")


@contextlib.contextmanager
def quiet(node: Node) -> Iterator[None]:
    """No timer elapses for the length of a block, and what they started is over."""
    timers = " ".join(f"vvtv-runbook-{name}.timer" for name in TIMERS)
    node.sh(f"systemctl stop {timers}")
    running = "systemctl list-units --no-legend --state=activating,active 'vvtv-runbook-*.service'"
    until(lambda: node.sh(running) == "", "what the timers started is over")
    try:
        yield
    finally:
        node.sh(f"systemctl start {timers}")


def test_check_mode_on_a_virgin_host_tells_and_touches_nothing(fleet: Fleet, one: Node, ops: Bastion) -> None:
    before = one.sh(STATE)
    told = set_up(ops, "--check", "--diff", "-vvvv", changed=True).output
    assert one.sh(STATE) == before
    assert one.exec("getent", "passwd", "vvtv", check=False).returncode == 2
    assert '+root: "/srv/vvtv"' in told
    assert fleet.token not in told
    assert fleet.secret not in told


def test_the_most_talkative_run_tells_no_secret(fleet: Fleet, one: Node, ops: Bastion) -> None:
    told = set_up(ops, "--diff", "-vvvv", changed=True).output
    assert fleet.token not in told
    assert fleet.secret not in told
    station.wait_answers(one)
    environment = one.sh(f"tr '\\0' '\\n' </proc/{pid(one)}/environ").splitlines()
    assert f"SAID={SAID}" in environment
    assert f"VVTV_CONTROL_SECRET={fleet.secret}" in environment


def test_the_command_is_put_right_under_those_who_run_it(one: Node, ops: Bastion) -> None:
    """Somebody changed its files: the set is replaced as one, and no run in between fails."""
    one.sh(f"echo broken >>{LIBRARY}/vvtv_runbook/outcome.py")
    assert one.exec("vvtv-runbook", "backups", check=False).returncode != 0
    set_up(ops, "--tags", "node_command", changed=True)
    one.exec("vvtv-runbook", "backups")
    one.sh(f"chmod 777 {LIBRARY}/vvtv_runbook/slo.py")
    loop = (
        "while [ ! -e /tmp/stop ]; do runuser -u vvtv -- vvtv-runbook backups --quiet >>/tmp/said 2>&1"
        " && echo ok >>/tmp/runs || echo failed >>/tmp/runs; done; touch /tmp/over"
    )
    one.sh(f"setsid sh -c '{loop}' >/dev/null 2>&1 </dev/null &")
    set_up(ops, "--tags", "node_command", changed=True)
    one.sh("touch /tmp/stop")
    until(lambda: one.sh("ls /tmp/over 2>/dev/null || true"), "the last run is over")
    runs = one.sh("sort /tmp/runs | uniq -c")
    assert "failed" not in runs, one.sh("cat /tmp/said")
    assert int(runs.split()[0]) > 5
    # The one that was in force before is kept for those who still run it.
    assert one.sh(f"ls {LIBRARY}").count("-") == 2


def test_what_was_changed_by_hand_is_put_right(one: Node, ops: Bastion) -> None:
    one.sh(
        f"echo '# mine' >>{UNITS}/{BACKUP}.timer; chmod 666 {UNITS}/{BACKUP}.service;"
        " echo 'root: /elsewhere' >/etc/vvtv-runbook.yml; chmod 644 /etc/vvtv-runbook.env;"
        " echo 'OTHER=kept' >>/etc/vvtv-runbook.env; sed -i /TOKEN/d /etc/vvtv-runbook.env;"
        " systemctl disable --now vvtv-runbook-key-prune.timer"
    )
    set_up(ops, changed=True)
    env = one.sh("stat -c '%a %U' /etc/vvtv-runbook.env; sort /etc/vvtv-runbook.env")
    assert re.sub(r'"\w{32}"', "X", env).split() == [
        "600", "vvtv", "OTHER=kept", "VVTV_CONTROL_SECRET=X", "VVTV_CONTROL_TOKEN=X",
    ]  # fmt: skip
    assert one.sh(f"stat -c %a {UNITS}/{BACKUP}.service") == "644"
    assert show(one, "vvtv-runbook-key-prune.timer", "ActiveState") == "active"
    assert show(one, "vvtv-runbook-key-prune.timer", "UnitFileState") == "enabled"
    set_up(ops, "--check", changed=False)


def test_a_unit_that_changed_restarts_its_process_and_nothing_else_does(one: Node, ops: Bastion) -> None:
    units = ("--tags", "node_units")
    before = pid(one)
    changed = [{**STATION, "environment": {"SAID": "two"}}]
    set_up(ops, *units, changed=True, vvtv_units=changed, vvtv_units_restart=False)
    assert pid(one) == before
    other = {"name": "vvtv-other", "description": "Another one", "command": "/usr/bin/sleep 1000"}
    more = [STATION, {**other, "after": ["vvtv-station.service"]}]
    timers = {"backup": {"schedule": "Mon *-*-* 03:00:00", "delay": 5}, "key-prune": {"enabled": False}}
    set_up(ops, *units, changed=True, vvtv_units=more, vvtv_timers=timers)
    assert pid(one) != before
    assert show(one, "vvtv-other", "ActiveState") == "active"
    assert "vvtv-station.service" in show(one, "vvtv-other", "After")
    assert "Mon *-*-* 03:00:00" in show(one, f"{BACKUP}.timer", "TimersCalendar")
    assert show(one, "vvtv-runbook-key-prune.timer", "UnitFileState") == "disabled"
    before = pid(one)
    set_up(ops, *units, changed=True)
    assert pid(one) == before
    assert one.sh(f"ls {UNITS}").count("vvtv-other") == 0
    assert show(one, "vvtv-other", "ActiveState") == "inactive"
    assert show(one, "vvtv-runbook-key-prune.timer", "ActiveState") == "active"


def test_a_run_that_was_killed_is_finished_by_the_next(one: Node, ops: Bastion) -> None:
    """Killed when units are written and systemd does not know of them yet."""
    timers = {"backup": {"schedule": "Tue *-*-* 03:00:00"}}
    variables = {"vvtv_units": [{**STATION, "environment": {"SAID": "new"}}], "vvtv_timers": timers}
    before = pid(one)
    with ops.playing("node", "--tags", "node_units", "-e", json.dumps(variables)) as run:
        until(lambda: show(one, "vvtv-station", "NeedDaemonReload") == "yes", "the unit is written", 60, run)
        run.kill()
    assert ops.play("node", "--tags", "node_units", "-e", json.dumps(variables)).code == 0
    assert show(one, "vvtv-station", "NeedDaemonReload") == "no"
    assert pid(one) != before
    assert "Tue *-*-* 03:00:00" in show(one, f"{BACKUP}.timer", "TimersCalendar")
    set_up(ops, "--check", "--tags", "node_units", changed=False, **variables)


#: What an inventory may say, and why it is refused; nothing where it is not.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"vvtv_root": "srv"}, "set it to the node's folder"),
    ({"vvtv_root": "/srv/a b"}, "may hold letters, digits"),
    ({"vvtv_control_token": "dev-token"}, "not dev-token"),
    ({"vvtv_control_secret": ""}, "or neither"),
    ({"vvtv_control_secret": 'a"b'}, "without the double quote"),
    ({"vvtv_units": [{**STATION, "environment": {"VVTV_CONTROL_SECRET": "x"}}]}, "never in the environment"),
    ({"vvtv_units": [{**STATION, "name": "vvtv-runbook-x"}]}, "names of their own"),
    ({"vvtv_units": [{**STATION, "name": "mine"}]}, "did not write: mine.service"),
    ({"vvtv_units": [{**STATION, "name": "fine"}]}, ""),
    ({"vvtv_timers": {"backup": {"schedule": "never"}}}, "Failed to parse calendar"),
    ({"vvtv_timers": {"backups": {"enabled": False}}}, "backups"),
    ({"vvtv_user": "ops"}, "/srv/vvtv belongs to vvtv, not to ops"),
    ({"vvtv_key_dir": "/srv/loose"}, "run chmod 700 /srv/loose"),
    ({"ansible_become_user": "vvtv"}, "needs root, and works as vvtv"),
]


def test_what_cannot_work_is_refused_before_anything_is_touched(
    one: Node, ops: Bastion, tmp_path: Path
) -> None:
    """Each case is a host of its own name; all are the same node."""
    common = {"ansible_become_user": "root", "ansible_port": one.port}
    cases = {f"case{number}": {**common, **variables} for number, (variables, _why) in enumerate(REFUSED)}
    inventory = tmp_path / "cases.json"
    inventory.write_text(json.dumps({"vvtv": {"hosts": cases}}))
    play = tmp_path / "play.yml"
    tasks = [{"ansible.builtin.import_role": {"name": "vvtv.runbook.node"}}]
    play.write_text(json.dumps([{"hosts": "case*", "gather_facts": False, "tasks": tasks}]))
    one.sh(f"install -d -m 750 -o vvtv /srv/loose; printf '[Unit]\\n' >{UNITS}/mine.service")
    with quiet(one):
        before = one.sh(STATE)
        run = ops.run("ansible-playbook", str(play), "-i", str(inventory), "--tags", "node_preflight")
        assert one.sh(STATE) == before
    for number, (variables, why) in enumerate(REFUSED):
        host = f"case{number}"
        assert run.count(host, "failed") == bool(why), (variables, run.output)
        told = re.findall(rf"^fatal: \[{host}\]: FAILED! => (.*)$", run.output, re.MULTILINE)
        assert why in "".join(told), (variables, told)


def test_a_quarter_of_the_fleet_comes_first_and_its_trouble_stops_the_run(
    one: Node, ops: Bastion, tmp_path: Path
) -> None:
    common = {"ansible_become_user": "root", "ansible_port": one.port}
    hosts = {f"case{number}": common for number in range(8)}
    hosts["case0"] = {**common, "vvtv_root": "srv"}
    inventory = tmp_path / "cases.json"
    inventory.write_text(json.dumps({"vvtv": {"hosts": hosts}}))
    run = ops.play("node", "-i", str(inventory), "--limit", "case*", "--tags", "node_preflight")
    assert run.code == 2
    # The others of the batch are looked at, those of the next ones are not.
    assert set(re.findall(r"^(case\d) +: ", run.output, re.MULTILINE)) == {"case0", "case1"}


def test_folders_that_are_there_keep_owner_mode_and_content(one: Node, ops: Bastion) -> None:
    one.sh(
        "install -d -m 755 -o root /srv/other /srv/other/runtime; echo x >/srv/other/runtime/roots;"
        " install -d -m 711 -o vvtv -g ops /srv/other/config; install -d -m 755 -o root /var/lib/mine"
    )
    variables = {"vvtv_root": "/srv/other", "vvtv_metrics_dir": "/var/lib/mine", "vvtv_units": []}
    set_up(ops, "--tags", "node_host", changed=True, **variables)
    told = "cd /srv/other; stat -c '%n %U %G %a' . runtime config runtime/roots runtime/keys /var/lib/mine"
    assert one.sh(told).splitlines() == [
        ". vvtv vvtv 755", "runtime vvtv vvtv 755", "config vvtv ops 711", "runtime/roots root root 644",
        "runtime/keys vvtv vvtv 700", "/var/lib/mine root vvtv 775",
    ]  # fmt: skip
    set_up(ops, "--tags", "node_host", changed=False, **variables)


def test_a_timers_backup_and_a_playbooks_take_turns(one: Node, ops: Bastion) -> None:
    """Both want the node at once: somebody else holds its lock until both wait for it."""
    one.sh("apt-get -q update; apt-get -qy install age zstd; rm -f /tmp/release")
    readers.forget_backups(one)
    lock = f"{ROOT}/runtime/runbook.lock"
    hold = f"flock --close {lock} sh -c 'until [ -e /tmp/release ]; do sleep 0.02; done'"
    one.sh(f"setsid runuser -u vvtv -- {hold} >/dev/null 2>&1 </dev/null &")

    def concerned() -> int:
        """How many processes have the lock's file open."""
        look = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c runbook.lock || true"
        return int(one.exec("sh", "-c", look, user=station.USER).stdout)

    until(lambda: concerned() == 1, "the lock is held")
    with every_second(one, "backup"):
        until(lambda: concerned() == 2, "the timer's backup waits")
    with ops.playing("backup", "-e", "vvtv_backup_force=true") as running:
        until(lambda: concerned() == 3, "the playbook's backup waits as well", 60, running)
        assert show(one, BACKUP, "ActiveState") == "activating"
        assert readers.backups(one) == []
        one.sh("touch /tmp/release")
        run = running.finish()
    assert (run.code, run.count("node1", "changed")) == (0, 1), run.output
    until(lambda: show(one, BACKUP, "ActiveState") == "inactive", "the timer's backup is over")
    assert show(one, BACKUP, "Result") == "success"
    made = readers.backups(one)
    # The timer's makes none where it comes second and the station has written nothing since.
    said = one.sh(f"journalctl --no-pager --output cat --unit {BACKUP}")
    assert len(made) == 2 or (len(made) == 1 and "unchanged" in said), said
    for backup in made:
        readers.opened(one, backup)
    assert readers.litter(one) == []


def test_only_a_sample_that_failed_is_in_the_journal(one: Node) -> None:
    def told(store: str) -> str:
        """What the journal has of a sample, taken with something in place of its store."""
        sample = "systemctl start vvtv-runbook-slo-sample || true"
        return one.sh(
            f"cursor=$(journalctl -n 1 --show-cursor | sed -n 's/^-- cursor: //p'); {store}; {sample};"
            ' journalctl --no-pager --quiet --after-cursor "$cursor" --unit vvtv-runbook-slo-sample'
        )

    with quiet(one):
        assert told("true") == ""
        kept = f"{ROOT}/runtime/slo"
        assert "vvtv-runbook" in told(f"mv {kept} {kept}.kept; touch {kept}")
        one.sh(f"rm {kept}; mv {kept}.kept {kept}; systemctl reset-failed vvtv-runbook-slo-sample")


def test_timers_and_station_outlive_reexec_and_reboot(one: Node) -> None:
    def last() -> str:
        return show(one, f"{BACKUP}.timer", "LastTriggerUSec")

    before = pid(one)
    with every_second(one, "backup"):
        one.sh("systemctl daemon-reexec")
        elapsed = last()
        until(lambda: last() != elapsed, "the timer elapses")
    readers.assert_goes_on(one, before)
    work = f"systemctl start {BACKUP} vvtv-runbook-slo-sample"
    one.sh(work)
    one.reboot()
    station.wait_answers(one)
    for name in TIMERS:
        assert show(one, f"vvtv-runbook-{name}.timer", "ActiveState") == "active"
    one.sh(work)
    readers.assert_goes_on(one, pid(one))
    assert one.sh("systemctl --failed --no-legend") == ""


def test_a_host_that_is_a_node_no_more_keeps_its_data(one: Node, ops: Bastion) -> None:
    one.sh(f"systemctl stop vvtv-station vvtv-runbook-slo-sample.timer; systemctl start {BACKUP}")
    data = one.sh(DATA)
    set_up(ops, "--check", changed=True, vvtv_node_state="absent")
    assert one.sh(f"ls {UNITS}").count("vvtv-") == 9
    set_up(ops, changed=True, vvtv_node_state="absent")
    assert one.sh(DATA) == data
    left = one.sh(
        f"ls -d /usr/local/bin/vvtv* {LIBRARY}* /etc/vvtv-runbook* {UNITS}/vvtv* {UNITS}/*/vvtv*"
        " /var/lib/prometheus/node-exporter/* 2>/dev/null || true"
    )
    assert left.split() == ["/etc/vvtv-runbook.env"]
    assert one.sh("systemctl list-units --all --no-legend 'vvtv*'; systemctl --failed --no-legend") == ""
    assert one.exec("getent", "passwd", "vvtv").returncode == 0
    set_up(ops, changed=False, vvtv_node_state="absent")


def test_without_systemd_there_is_the_command_and_the_role_says_that_there_are_no_timers(
    one: Node, ops: Bastion
) -> None:
    keys = one.sh(f"sha256sum {ROOT}/runtime/keys/*.key")
    one.sh("mv /run/systemd/system /run/systemd/hidden")
    try:
        refused = ops.play("node", "--tags", "node_preflight")
        assert "vvtv_units need systemd" in " ".join(refused.output.split())
        said = " ".join(set_up(ops, changed=True, vvtv_units=[]).output.split())
        assert "NO TIMERS: this host does not run systemd. Let something else run vvtv-runbook backup" in said
        one.exec("runuser", "-u", "vvtv", "--", "vvtv-runbook", "key-ensure", "--quiet")
        assert one.sh(f"ls {UNITS}").count("vvtv") == 0
    finally:
        one.sh("mv /run/systemd/hidden /run/systemd/system")
    # What was there before the role went and came is in use again.
    assert one.sh(f"sha256sum {ROOT}/runtime/keys/*.key") == keys
