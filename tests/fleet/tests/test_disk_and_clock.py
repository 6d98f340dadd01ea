# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full disks and wrong clocks."""

from __future__ import annotations

import shlex
import time

import pytest

from tests.fleet import station
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetError
from tests.fleet.node import Node

pytestmark = [pytest.mark.usefixtures("healed"), pytest.mark.thorough]
_DAY = 86_400
#: Ways to wait that a wrong clock may not disturb.
_WAITS = """
import subprocess, threading, time

def is_as_long_as_asked(wait):
    began = time.monotonic()
    try:
        wait()
    except subprocess.TimeoutExpired:
        pass
    return 0.1 <= time.monotonic() - began < 3

print(
    is_as_long_as_asked(lambda: time.sleep(0.1)),
    is_as_long_as_asked(lambda: threading.Event().wait(0.1)),
    is_as_long_as_asked(lambda: subprocess.run(["sleep", "9"], timeout=0.1)),
)
"""


def test_a_full_disk_takes_nothing_more(node: Node) -> None:
    node.fill("/srv/vvtv/runtime/backups", 0) if node.release == 13 else node.fill()
    assert node.faults() == ["full /srv"]
    full = node.exec("dd", "if=/dev/zero", "of=/srv/vvtv/more", "bs=64k", "count=4", user="vvtv", check=False)
    assert "No space left on device" in full.stderr
    node.unfill()
    assert node.faults() == []
    node.exec("dd", "if=/dev/zero", "of=/srv/vvtv/more", "bs=64k", "count=4", user="vvtv")
    station.wait_answers(node)


def test_a_disk_can_keep_a_little_room(one: Node) -> None:
    one.station_stop()
    one.fill("/srv", 1 << 20)
    room = int(one.sh("stat --file-system --format '%a * %S' /srv | xargs expr"))
    assert 900_000 < room <= 1 << 20
    one.fill("/srv", 8 << 20)
    assert int(one.sh("stat --file-system --format '%a * %S' /srv | xargs expr")) > 7 << 20
    one.unfill()
    one.station_start()


def test_a_folder_elsewhere_can_be_full(node: Node) -> None:
    node.sh("install -d -m 2750 -o ops -g vvtv /var/lib/fleet-test; echo old >/var/lib/fleet-test/old")
    node.fill("/var/lib/fleet-test", 8192)
    assert node.faults() == ["full /var/lib/fleet-test"]
    assert node.sh("stat -c '%a %U %G' /var/lib/fleet-test") == "2750 ops vvtv"
    assert node.sh("cat /var/lib/fleet-test/old") == "old"
    node.sh("head -c 8192 /dev/zero >/var/lib/fleet-test/fits")
    full = node.exec("dd", "if=/dev/zero", "of=/var/lib/fleet-test/more", "bs=1", "count=1", check=False)
    assert "No space left on device" in full.stderr
    with pytest.raises(FleetError, match="unfill first"):
        node.fill("/var/lib/fleet-test", 0)
    node.unfill()
    assert node.sh("ls /var/lib/fleet-test") == "old"
    # An empty folder without any room.
    node.sh("rm /var/lib/fleet-test/old")
    node.fill("/var/lib/fleet-test", 0)
    assert node.exec("sh", "-c", "head -c 9000 /dev/zero >/var/lib/fleet-test/x", check=False).returncode != 0
    node.unfill()


def test_a_clock_is_wrong_for_logins_sudo_and_services(fleet: Fleet) -> None:
    (node,) = fleet.of_release(13)
    for days in (400, -30):
        node.skew(days * _DAY)
        assert node.faults() == [f"clock {days * _DAY:+d} s"]
        assert _offset(node.ssh("date +%s").stdout) == days
        assert _offset(node.ssh("sudo -n -u vvtv date +%s").stdout) == days
        assert _offset(node.ssh("sudo -n python3 -c 'import time; print(time.time())'").stdout) == days
        stamp = node.ssh(f"curl -sf {station.API}/v1/status | grep -o '20[0-9-]*T[0-9:]*'").stdout
        assert _offset(node.sh(f"date --date {stamp.strip()}Z +%s")) == days
        # The kernel is not fooled, and durations are as long as they are.
        assert _offset(node.ssh("echo >/tmp/now; stat -c %Y /tmp/now").stdout) == 0
        assert node.ssh(f"sudo -n python3 -c {shlex.quote(_WAITS)}").stdout == "True True True\n"
    node.unskew()
    assert node.faults() == []
    assert _offset(node.ssh("date +%s; rm /tmp/now").stdout) == 0
    assert _offset(node.ssh("sudo -n date +%s").stdout) == 0


def test_a_wrong_clock_survives_a_reboot(one: Node) -> None:
    one.skew(10 * _DAY)
    one.reboot()
    assert _offset(one.ssh("date +%s").stdout) == 10
    station.wait_answers(one)
    assert one.ssh("systemctl is-system-running").stdout.strip() == "running"


def test_a_clock_of_debian_12_cannot_be_wrong(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="Debian 13 only"):
        fleet.of_release(12)[0].skew(60)


def test_only_the_station_may_have_the_wrong_clock(one: Node) -> None:
    one.skew(2 * _DAY, units=["vvtv-station"])
    station.wait_answers(one)
    stamp = one.ssh(f"curl -sf {station.API}/v1/status | grep -o '20[0-9-]*T[0-9:]*'").stdout
    assert _offset(one.sh(f"date --date {stamp.strip()}Z +%s")) == 2
    assert _offset(one.ssh("date +%s").stdout) == 0
    with pytest.raises(FleetError, match="40 years"):
        one.skew(10**10)


def _offset(seconds: str) -> int:
    """Days between a clock and this machine's."""
    return round((float(seconds.split()[0]) - time.time()) / _DAY)
