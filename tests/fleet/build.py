# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the containers of a fleet, with all that comes from outside: keys, disks, network, the simulator."""

from __future__ import annotations

import ipaddress
import json
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from . import python39, station
from .host import FleetError, limits, run
from .inventory import HOST
from .layout import LABEL, PORT_LABEL, Layout
from .machine import DISK, Facts
from .recipe import Image

PORTS = range(2200, 3000)
#: systemd can make its sandboxes only with these; without SYS_ADMIN it leaves ProtectSystem= and the like
#: out, says nothing, and a unit that cannot work on a host works here.
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN")
#: As a host of half a gigabyte has it, so that the databases of tests fit; podman gives 64 MB.
SHARED_MEMORY = "256m"


def make(where: Layout, releases: Sequence[int], virgin: bool, environment: str, disk: str) -> list[Facts]:
    """Start the containers; they boot while this returns. The caller holds the machine's lock."""
    shutil.rmtree(where.folder, ignore_errors=True)
    where.folder.mkdir(parents=True)
    where.control_path.mkdir(mode=0o700)
    _key(where.key)
    station.copy_source(where.station)
    subnet = _network(where)
    ports = _free_ports(len(releases))
    nodes = []
    for number, release in enumerate(releases, 1):
        facts = Facts(
            name=f"node{number}",
            release=release,
            virgin=virgin,
            port=ports[number - 1],
            address=str(subnet[9 + number]),
            # Fixed, or callers that remember the old one cannot reach a node that was started again.
            mac=f"92:d0:{where.id[5:7]}:{where.id[7:9]}:{where.id[9:11]}:{number:02x}",
            python39=python39.place(where) if release == 12 else None,
        )
        _identity(where, facts, environment)
        _disk(where, facts, disk)
        _run(where, facts)
        nodes.append(facts)
    where.known_hosts.write_text(
        "".join(f"[{HOST}]:{node.port} {_host_key(where, node)}\n" for node in nodes), encoding="utf-8"
    )
    return nodes


def _key(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vvtv-fleet", "-f", str(path))


def _identity(where: Layout, facts: Facts, environment: str) -> None:
    """What makes a node this one: mounted at /etc/fleet, so that no image holds a key."""
    folder = where.node(facts.name)
    etc = folder / "etc"
    etc.mkdir(parents=True)
    (folder / "journal").mkdir()
    _key(etc / "ssh_host_ed25519_key")
    (etc / "authorized_keys").write_text(
        where.key.with_suffix(".pub").read_text(encoding="utf-8"), encoding="utf-8"
    )
    if not facts.virgin:
        (etc / "station.env").touch(mode=0o600)
        (etc / "station.env").write_text(environment, encoding="utf-8")


def _host_key(where: Layout, facts: Facts) -> str:
    public = where.node(facts.name) / "etc" / "ssh_host_ed25519_key.pub"
    return " ".join(public.read_text(encoding="utf-8").split()[:2])


def _network(where: Layout) -> list[ipaddress.IPv4Address]:
    run("podman", "network", "create", "--disable-dns", f"--label={LABEL}={where.folder}", where.id)
    described = json.loads(run("podman", "network", "inspect", where.id).stdout)[0]
    return list(ipaddress.IPv4Network(described["subnets"][0]["subnet"]))


def _free_ports(count: int) -> list[int]:
    # A node that is switched off does not hold its port, and wants it back.
    form = f'{{{{index .Labels "{PORT_LABEL}"}}}}'
    listing = run("podman", "ps", "--all", "--filter", f"label={PORT_LABEL}", "--format", form).stdout
    taken = {int(port) for port in listing.split()}
    free: list[int] = []
    for port in PORTS:
        if len(free) == count:
            break
        if port not in taken and _is_free(port):
            free.append(port)
    if len(free) < count:
        raise FleetError(f"only {len(free)} ports are free from {PORTS.start} to {PORTS.stop - 1}")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _disk(where: Layout, facts: Facts, size: str) -> None:
    """A file system of the node's own: it can be full, it survives a reboot, and its power can fail."""
    image = where.disk_image(facts.name)
    run("truncate", "--size", size, str(image))
    # Nothing reserved for root: the disk is as full for root as for the station.
    quick = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-E", quick, str(image))
    options = ("--opt=type=ext4", f"--opt=device={image}", "--opt=o=loop")
    run("podman", "volume", "create", *options, f"--label={LABEL}={where.folder}", f"{where.id}-{facts.name}")


def _run(where: Layout, facts: Facts) -> None:
    folder = where.node(facts.name)
    container = f"{where.id}-{facts.name}"
    mounts = [
        f"{container}:{DISK}",
        f"{folder / 'etc'}:/etc/fleet:ro",
        f"{folder / 'journal'}:/var/log/journal",
        f"{where.station}:{station.SOURCE_IN_NODE}:ro",
        *(python39.mounts(where) if facts.python39 else []),
    ]
    run(
        "podman",
        "--runtime=runc",
        "run",
        "--detach",
        "--systemd=always",
        # A reboot ends the container; this starts it again.
        "--restart=always",
        f"--shm-size={SHARED_MEMORY}",
        f"--name={container}",
        f"--hostname={facts.name}",
        f"--label={LABEL}={where.folder}",
        f"--label={PORT_LABEL}={facts.port}",
        f"--network={where.id}",
        f"--ip={facts.address}",
        f"--mac-address={facts.mac}",
        f"--publish={HOST}:{facts.port}:22",
        *(f"--cap-add={capability}" for capability in CAPABILITIES),
        *(f"--ulimit={limit}" for limit in limits()),
        *(f"--volume={mount}" for mount in mounts),
        Image(facts.release, facts.virgin).tag,
        "/sbin/init",
    )
