# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a node's network. They live in its network namespace: a start or a reboot clears them."""

from __future__ import annotations

import re

from .host import FleetError, run
from .machine import Machine

#: Names the rules that are ours.
_CHAIN = "FLEET"
_DEVICE = "eth0"
#: Where the chain hangs; the node's own loopback is left alone.
_HOOKS = (("INPUT", "--in-interface", _DEVICE), ("OUTPUT", "--out-interface", _DEVICE))
_RATE = re.compile(r"[1-9][0-9]{0,8}(kbit|mbit)")
# Tables of one family; the fleet's network has no IPv6 but what the kernel gives itself.
_IPTABLES = ("iptables", "--wait")


def cut(node: Machine) -> None:
    """Packets vanish in both directions: connections hang, nobody is told."""
    _rule(node, "--jump", "DROP")


def refuse(node: Machine) -> None:
    """Whoever calls port 22 is refused at once, and open SSH connections are reset."""
    reset = ("--jump", "REJECT", "--reject-with", "tcp-reset")
    _rule(node, "--protocol", "tcp", "--dport", "22", *reset)


def slow(node: Machine, rate: str) -> None:
    """At most ``rate`` (like ``256kbit``, ``2mbit``) in each direction."""
    if not _RATE.fullmatch(rate):
        raise FleetError(f"a rate is like 256kbit or 2mbit, not {rate[:20]!r}")
    shape = ("root", "tbf", "rate", rate, "burst", "16kb", "latency", "500ms")
    node.nsenter("tc", "qdisc", "replace", "dev", _DEVICE, *shape)
    run("tc", "qdisc", "replace", "dev", _outer_device(node), *shape)


def mend(node: Machine) -> None:
    """Undo every fault of the network. Does nothing where there is none."""
    for hook in _HOOKS:
        node.nsenter(*_IPTABLES, "--delete", *hook, "--jump", _CHAIN, check=False)
    for verb in ("--flush", "--delete-chain"):
        node.nsenter(*_IPTABLES, verb, _CHAIN, check=False)
    if " tbf " in node.nsenter("tc", "qdisc", "show", "dev", _DEVICE).stdout:
        node.nsenter("tc", "qdisc", "del", "dev", _DEVICE, "root")
    outer = _outer_device(node)
    if " tbf " in run("tc", "qdisc", "show", "dev", outer).stdout:
        run("tc", "qdisc", "del", "dev", outer, "root")


def faults(node: Machine) -> list[str]:
    """Those in force, for the status."""
    rules = node.nsenter(*_IPTABLES, "--list-rules", _CHAIN, check=False).stdout
    found = [word for word, target in (("cut", "DROP"), ("refuses", "REJECT")) if f"-j {target}" in rules]
    shape = re.search(r" tbf .*?rate (\S+)", node.nsenter("tc", "qdisc", "show", "dev", _DEVICE).stdout)
    return found + ([f"slow {shape[1]}"] if shape else [])


def _rule(node: Machine, *what: str) -> None:
    """The only rule from now on."""
    if node.nsenter(*_IPTABLES, "--new-chain", _CHAIN, check=False).returncode == 0:
        for hook in _HOOKS:
            node.nsenter(*_IPTABLES, "--insert", *hook, "--jump", _CHAIN)
    else:
        node.nsenter(*_IPTABLES, "--flush", _CHAIN)
    node.nsenter(*_IPTABLES, "--append", _CHAIN, *what)


def _outer_device(node: Machine) -> str:
    """The machine's end of the node's cable."""
    inner = node.nsenter("ip", "-oneline", "link", "show", "dev", _DEVICE).stdout
    index = re.search(rf" {_DEVICE}@if([0-9]+):", inner)
    for line in run("ip", "-oneline", "link", "show", "type", "veth").stdout.splitlines():
        number, name = line.split(":", 2)[:2]
        if index and number == index[1]:
            return name.strip().split("@")[0]
    raise FleetError(f"{node.name}: its cable is not to be found: {inner.strip()}")
