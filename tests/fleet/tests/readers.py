# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node holds, told by Debian's own programs on the node: sqlite3, age, zstd, tar, sha256sum, curl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.fleet import station
from tests.fleet.fleet import Fleet
from tests.fleet.node import Node
from tests.integration.controllers import until

ROOT = station.ROOT
DATABASE = f"{ROOT}/runtime/state/vvtv.db"
CARD = f"{ROOT}/config/owner_card.sample.yaml"
BACKUPS = f"{ROOT}/runtime/backups"
KEYS = f"{ROOT}/runtime/keys"
CURRENT = f"{KEYS}/current.key"

#: 1 where the simulator's commits are whole: see tests/simulator/README.md.
_WHOLE = (
    "SELECT count(*) = (SELECT count(*) FROM assets) AND count(*) ="
    " (SELECT json_extract(payload_json, '$.commits') FROM scheduler_cursors) FROM plans"
)
#: Each mark in the rows of plans and assets, and how many rows have it.
_MARKS = (
    "SELECT mark, count(*) FROM (SELECT json_extract(payload_json, '$.mark') AS mark FROM plans"
    " UNION ALL SELECT json_extract(payload_json, '$.mark') FROM assets) WHERE mark IS NOT NULL GROUP BY mark"
)

_WAL = f"""
cat >/etc/wal.env <<END
STATION_OPTIONS=$(sed -n 's/^STATION_OPTIONS=//p' /etc/fleet/station.env) --journal-mode wal
END
mkdir -p /etc/systemd/system/{station.UNIT}.d
printf '[Service]\\nEnvironmentFile=/etc/wal.env\\n' >/etc/systemd/system/{station.UNIT}.d/wal.conf
systemctl daemon-reload
systemctl restart {station.UNIT}
"""

_UNPACK = f"""
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd {BACKUPS}/"$1"
archive=$(echo backup.tar.*.age)
unpacker=zstd
[ "$archive" != backup.tar.gz.age ] || unpacker=gzip
age -d -i "$2" "$archive" | "$unpacker" -dcq | tar x -C "$work"
cd "$work"
sha256sum state.db owner_card.yaml
sqlite3 state.db "PRAGMA integrity_check; {_WHOLE}"
sqlite3 -separator = state.db "{_MARKS}" | tr '\\n' ' '
printf '\\n'
tr -d '\\n' <manifest.json
printf '\\n'
cat owner_card.yaml
"""


def prepare(fleet: Fleet) -> None:
    """The programs that judge, from the nodes' own repository; and WAL mode for one station's database."""
    for node in fleet:
        node.ssh("sudo -n apt-get -q update && sudo -n apt-get -qy install age zstd")
    (newer,) = fleet.of_release(13)
    newer.sh(_WAL)
    for node in fleet:
        station.wait_answers(node)
        before = plans(node)
        until(lambda: plans(node) > before, "the station commits")  # noqa: B023 (called at once)


def told(node: Node) -> dict[str, Any]:
    """What the simulator tells of itself."""
    found: dict[str, Any] = json.loads(node.sh(f"cat {ROOT}/runtime/sim/state.json"))
    return found


def faults(node: Node, *pairs: str) -> None:
    """Set faults of the simulator, and wait until they are in force."""
    node.station_fault(*pairs)
    asked = json.loads(node.sh(f"cat {ROOT}/runtime/sim/control.json"))["generation"]
    until(lambda: told(node)["faults_seen"] == asked, f"{node.name} takes over {pairs}")


# The database


def sql(node: Node, statement: str) -> str:
    command = ("sqlite3", "-separator", "=", "-cmd", ".timeout 20000", DATABASE, statement)
    return node.exec(*command, user=station.USER).stdout.strip()


def plans(node: Node) -> int:
    return int(sql(node, "SELECT count(*) FROM plans"))


def assert_sound(node: Node) -> None:
    """The database is one, and every commit in it is whole."""
    assert sql(node, f"BEGIN; PRAGMA integrity_check; {_WHOLE}; COMMIT").split() == ["ok", "1"]


def mark(node: Node, text: str) -> dict[str, int]:
    """Write a mark into rows all over the database; what :func:`marks` tells of it afterwards."""
    for table in ("plans", "assets"):
        sql(
            node,
            f"UPDATE {table} SET payload_json = json_set(payload_json, '$.mark', '{text}') "
            "WHERE rowid % 97 = 1 OR json_extract(payload_json, '$.mark') IS NOT NULL",
        )
    found = marks(node)
    assert list(found) == [text]
    return found


def marks(node: Node) -> dict[str, int]:
    """The marks in the live database. More than one is a mix of two states."""
    return _counted(sql(node, _MARKS))


def _counted(lines: str) -> dict[str, int]:
    return {text: int(count) for text, count in (line.split("=") for line in lines.split())}


def card_mark(node: Node, text: str) -> None:
    """End the OwnerCard with a comment, durably."""
    script = f"sed -i '/^# mark/d' {CARD} && echo '# mark {text}' >>{CARD} && sync --file-system {CARD}"
    node.exec("sh", "-c", script, user=station.USER)


def card_marks(node: Node) -> str:
    return node.sh(f"sed -n 's/^# mark //p' {CARD}")


def assert_goes_on(node: Node, pid: str) -> None:
    """The station is the same process, has the database's file open, and its commits arrive there."""
    assert main_pid(node) == pid
    # Connections of the API's callers come and go meanwhile.
    script = f"readlink /proc/{pid}/fd/* || true"
    links = node.exec("sh", "-c", script, user=station.USER).stdout.splitlines()
    assert DATABASE in links
    assert f"{DATABASE} (deleted)" not in links
    before = plans(node)
    until(lambda: plans(node) > before, "the station commits")
    assert_sound(node)


def wait_lease(node: Node) -> None:
    """A restore brings an old lease back. Within 15 s the station renews it, and is well for health again."""
    ahead = "SELECT expires_at > strftime('%Y-%m-%dT%H:%M:%S', 'now', '+5 seconds') FROM scheduler_locks"
    until(lambda: sql(node, ahead) == "1", f"{node.name} renews its lease")


def main_pid(node: Node) -> str:
    return node.sh(f"systemctl show --property MainPID --value {station.UNIT}")


# Backups and keys


@dataclass(frozen=True)
class Opened:
    """What stock tools found in a backup."""

    marks: dict[str, int]
    card: str


def backups(node: Node) -> list[str]:
    """The folders that count as backups, the oldest first."""
    return node.sh(f"ls {BACKUPS} 2>/dev/null | grep '^2' | sort || true").split()


def forget_backups(node: Node) -> None:
    node.sh(f"rm -rf {BACKUPS}")


def opened(node: Node, backup: str, key: str = CURRENT) -> Opened:
    """Open a backup with age, zstd and tar on the node; AssertionError when it is not good."""
    said = node.exec("bash", "-euo", "pipefail", "-c", _UNPACK, "unpack", backup, key, user=station.USER)
    state_db, card, sound, whole, found, manifest, *owner_card = said.stdout.split("\n")
    facts = json.loads(manifest)
    assert state_db.split()[0] == facts["state_db_sha256"]
    assert card.split()[0] == facts["owner_card_sha256"]
    assert (sound, whole) == ("ok", "1")
    return Opened(_counted(found), "\n".join(owner_card))


def openers(node: Node, backup: str) -> list[str]:
    """The files of the node's keys that open a backup."""
    archive = f"{BACKUPS}/{backup}/backup.tar.*.age"
    attempt = f'age -d -o /dev/null -i "$key" {archive} 2>/dev/null && echo "$key" || true'
    return node.sh(f"for key in {KEYS}/archive/2*.key; do {attempt}; done").split()


def keys(node: Node) -> list[str]:
    """The files of the node's keys, the oldest first; each is a key, and the current one is one of them."""
    lines = node.sh(
        f"for key in {KEYS}/archive/2*.key {CURRENT}; do"
        ' [ ! -e "$key" ] || echo "$key $(age-keygen -y "$key")"; done'
    ).splitlines()
    public = dict(line.split() for line in lines)
    current = public.pop(CURRENT, None)
    assert len(set(public.values())) == len(public)
    assert (current in public.values()) == bool(public)
    return list(public)


def litter(node: Node) -> list[str]:
    """What a broken run left and nobody removed."""
    names = " -o ".join(f"-name '{name}'" for name in (".staging-*", "*.vvtv-new", "runbook.restore.json"))
    return node.sh(f"find {ROOT} {names}").splitlines()


# The station


def emergency(node: Node) -> str:
    answer = json.loads(node.exec("curl", "-sf", f"{station.API}/v1/status").stdout)
    return {"EMERGENCY": "on", "RUNNING": "off"}[answer["state"]]


def sha256(node: Node, path: str) -> str:
    return node.exec("sha256sum", path).stdout.split()[0]
