# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the fleet.

Exit codes: 0 done, 1 not done (the reason is on stderr), 2 bad arguments.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Callable

from tests.simulator.faults import parse_size

from . import check, fleet, images, leftovers, recipe, station
from .fleet import Fleet
from .host import FleetError, machine_lock
from .layout import FLEETS, SCRATCH
from .machine import DISK
from .node import Node
from .recipe import RELEASES, Image


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(argv: Sequence[str]) -> int:
    options = make_parser().parse_args(argv)
    try:
        return int(options.command(options) or 0)
    except (FleetError, OSError) as error:
        sys.stderr.write(f"fleet: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("fleet: interrupted\n")
        return 130


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet", description="Nodes with systemd and sshd, to operate and to break."
    )
    parser.add_argument("--fleet", default="default", metavar="NAME", help="which fleet (default: default)")
    commands = parser.add_subparsers(dest="name", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], object], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    add("check", command_check, "say what this machine lacks to run a fleet")
    image = add("images", command_images, "make the images, or remove them")
    image.add_argument("--remove", action="store_true", help="remove those of every recipe")
    up = add("up", command_up, "start a fleet that stays until down; replaces one of the same name")
    up.add_argument("count", nargs="?", type=int, default=3)
    up.add_argument("--releases", type=releases, default=tuple(RELEASES), help="taken in turn, like 12,13")
    up.add_argument("--virgin", action="store_true", help="no station, and nothing that the modules need")
    up.add_argument("--disk", type=parse_size, default=parse_size(fleet.DISK_SIZE), help="of each node (2G)")
    up.add_argument(
        "--station", default=shlex.join(station.OPTIONS), metavar="OPTIONS", help="options of the simulator"
    )
    add("status", command_status, "show the nodes; exit code 1 when one does not run")
    down = add("down", command_down, "remove the fleet and all it made; no error where there is none")
    down.add_argument("--all", action="store_true", help="every fleet of this checkout")

    ssh = add("ssh", command_ssh, "log in, or run a command, as the user ops")
    ssh.add_argument("node")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    shell = add("exec", command_exec, "run a command inside as root, past the network")
    shell.add_argument("node")
    shell.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")

    stat = add("station", command_station, "start or stop the station, or set the simulator's faults")
    stat.add_argument("verb", choices=["start", "stop", "fault"])
    stat.add_argument("node")
    stat.add_argument("faults", nargs="*", metavar="key=value", help="exactly these; none: healthy")

    broken = add("break", command_break, "break a node, or undo it")
    faults = broken.add_subparsers(dest="fault", required=True)
    for name, (act, text) in PLAIN.items():
        sub = faults.add_parser(name, help=text, description=text)
        sub.add_argument("nodes", nargs="+", metavar="NODE")
        sub.set_defaults(act=act)
    slow = faults.add_parser("slow", help="limit the rate in each direction, like 256kbit")
    slow.add_argument("nodes", nargs=1, metavar="NODE")
    slow.add_argument("rate")
    slow.set_defaults(act=lambda node, options: node.slow(options.rate))
    fill = faults.add_parser("fill", help="leave SIZE bytes free where PATH lies")
    fill.add_argument("nodes", nargs=1, metavar="NODE")
    fill.add_argument("path", nargs="?", default=DISK)
    fill.add_argument("size", nargs="?", type=parse_size, default=0)
    fill.set_defaults(act=lambda node, options: node.fill(options.path, options.size))
    skew = faults.add_parser("skew", help="put the clock SECONDS ahead (behind: negative)")
    skew.add_argument("nodes", nargs=1, metavar="NODE")
    skew.add_argument("seconds", type=int)
    skew.add_argument("units", nargs="*", metavar="UNIT", help="only these services")
    skew.set_defaults(act=lambda node, options: node.skew(options.seconds, options.units))
    return parser


#: Faults without arguments, and what undoes faults.
PLAIN: dict[str, tuple[Callable[[Node, argparse.Namespace], None], str]] = {
    "kill": (lambda node, _: node.kill(), "switch it off; its disk loses nothing"),
    "power-cut": (lambda node, _: node.power_cut(), "switch it off; what was not synced to its disk is lost"),
    "start": (lambda node, _: node.start(), "switch it on"),
    "reboot": (lambda node, _: node.reboot(), "reboot it from inside"),
    "pause": (lambda node, _: node.pause(), "every process stands still"),
    "unpause": (lambda node, _: node.unpause(), "they go on"),
    "cut": (lambda node, _: node.cut(), "packets vanish"),
    "refuse": (lambda node, _: node.refuse(), "SSH is refused and reset"),
    "mend": (lambda node, _: node.mend(), "undo cut, refuse and slow"),
    "unfill": (lambda node, _: node.unfill(), "give the room back"),
    "unskew": (lambda node, _: node.unskew(), "put the clock right"),
    "heal": (lambda node, _: node.heal(), "undo everything"),
}


def releases(text: str) -> tuple[int, ...]:
    try:
        wanted = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not like 12,13: {text[:40]!r}") from error
    if set(wanted) - set(RELEASES):
        raise argparse.ArgumentTypeError(f"only {', '.join(map(str, RELEASES))} can be made")
    return wanted


def command_check(options: argparse.Namespace) -> int:
    found = check.problems()
    for line in [*found, *check.notes()]:
        say(line)
    if not found:
        say("this machine can run a fleet")
    return 1 if found else 0


def command_images(options: argparse.Namespace) -> None:
    check.require()
    with machine_lock():
        if options.remove:
            images.clean(SCRATCH)
            return
        images.prune()
        images.ensure((Image(release, virgin) for release in RELEASES for virgin in (True, False)), SCRATCH)
    for tag, size in sorted(images.sizes().items()):
        say(f"{tag.removeprefix(recipe.REPOSITORY)[1:]}: {size / 1e6:.0f} MB")


def command_up(options: argparse.Namespace) -> int:
    check.require()
    began = time.monotonic()
    started = fleet.start(
        options.count,
        releases=options.releases,
        virgin=options.virgin,
        name=options.fleet,
        station_options=shlex.split(options.station),
        disk=str(options.disk),
    )
    command_status(options)
    say(f"up after {time.monotonic() - began:.1f} s; inventory: {os.path.relpath(started.inventory)}")
    return 0


def command_status(options: argparse.Namespace) -> int:
    """Exit code 1 when one of the nodes does not run."""
    down = 0
    for node in fleet.load(options.fleet):
        wrong = node.faults()
        runs = node.state == "running"
        down += not runs
        words = [f"{node.name:8} Debian {node.release}  127.0.0.1:{node.port}"]
        if runs:
            words.append("virgin" if node.facts.virgin else _station_words(node))
        say("  ".join([*words, *wrong]))
    return 1 if down else 0


def _station_words(node: Node) -> str:
    return f"station {'up' if station.is_active(node) else 'down'}"


def command_down(options: argparse.Namespace) -> None:
    if not options.all:
        fleet.down(options.fleet)
        return
    for where in leftovers.of_checkout(FLEETS):
        leftovers.remove(where)


def _node(options: argparse.Namespace) -> Node:
    loaded: Fleet = fleet.load(options.fleet)
    node: Node = loaded[options.node]
    return node


def command_ssh(options: argparse.Namespace) -> None:
    command = [
        *_node(options).ssh_command("")[:-2],
        *(["--", shlex.join(options.words)] if options.words else []),
    ]
    os.execvp(command[0], command)  # noqa: S606 (the arguments are the caller's own)


def command_exec(options: argparse.Namespace) -> None:
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    words = options.words or ["bash"]
    command = ["podman", "exec", "--interactive", *terminal, _node(options).container, *words]
    os.execvp(command[0], command)  # noqa: S606 (the arguments are the caller's own)


def command_station(options: argparse.Namespace) -> None:
    node = _node(options)
    if options.verb == "fault":
        node.station_fault(*options.faults)
    elif options.verb == "start":
        node.station_start()
    else:
        node.station_stop()


def command_break(options: argparse.Namespace) -> None:
    loaded = fleet.load(options.fleet)
    for name in options.nodes:
        options.act(loaded[name], options)
