# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the simulator.

Exit codes: 0 done, 1 not done (the reason is on stderr), 2 bad arguments.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import auth, database, fleet, memory, process, releases
from .control import apply_faults, read_state
from .faults import FaultError, FaultValue, parse_size
from .layout import layout
from .node import NodeOptions, run_node
from .release import Phase, Release, ReleaseError

MAX_SIZE = 64 << 30
#: What ``up`` takes from the run before where it is not told otherwise.
REMEMBERED = (
    "port", "size", "journal_mode", "seed", "commit_interval", "sample_every", "lease_seconds",
    "renew_seconds",
)  # fmt: skip
FAILURES = (
    FaultError, ReleaseError, fleet.StartError, process.AlreadyRunning, database.InvariantError,
    sqlite3.Error, OSError, TimeoutError,
)  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(argv: Sequence[str]) -> int:
    options = make_parser().parse_args(argv)
    try:
        return int(options.command(options))
    except FAILURES as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.simulator", description="A VVTV node to test against."
    )
    commands = parser.add_subparsers(dest="name", required=True)

    run = commands.add_parser("run", help="run one node until SIGTERM")
    run.add_argument("--root", required=True, type=Path)
    run.add_argument(
        "--port", type=port, default=0, help="0 takes a free one and writes it to runtime/sim/port"
    )
    run.add_argument("--state-db", type=Path, help="relative to the root")
    run.add_argument("--owner-card", type=Path, help="relative to the root")
    run.add_argument(
        "--reopen", action="store_true", help="open state.db anew after each error of the writer"
    )
    add_node_options(run)
    run.set_defaults(command=command_run)

    up = commands.add_parser("up", help="start nodes in the background")
    up.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
    up.add_argument("--port", type=port, help="of the first node, the next ones count up; 0: free ones")
    add_node_options(up, remembered=True)
    up.set_defaults(command=command_up)

    restart = commands.add_parser("restart", help="stop a node and start it as it was started before")
    restart.add_argument("--root", required=True, type=Path)
    restart.set_defaults(command=command_restart)

    for name, command, text in (
        ("down", command_down, "stop nodes"),
        ("status", command_status, "say which nodes run"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
        sub.set_defaults(command=command)

    fault = commands.add_parser("fault", help="set exactly these faults; none makes the node healthy")
    fault.add_argument("--root", required=True, type=Path)
    fault.add_argument(
        "--no-wait", action="store_true", help="do not wait until the node has taken them over"
    )
    fault.add_argument("faults", nargs="*", type=pair, metavar="key=value")
    fault.set_defaults(command=command_fault)

    release = commands.add_parser("make-release", help="make a release archive")
    release.add_argument("path", type=Path, help="ends with .tar.gz or .tar")
    release.add_argument("--version", required=True)
    release.add_argument(
        "--phase", action="append", default=[], type=phase, metavar="'after=5 qa=0.4'",
        help="faults from so many seconds after its start on; may be given several times",
    )  # fmt: skip
    release.add_argument("--ready-after", type=seconds_or_never, default=0.0, metavar="SECONDS|never")
    release.set_defaults(command=command_make_release)

    make_db = commands.add_parser("make-db", help="make a database of a chosen size")
    make_db.add_argument("path", type=Path)
    add_database_options(make_db)
    make_db.set_defaults(command=command_make_db)

    check = commands.add_parser("check", help="check the invariant of a database")
    check.add_argument("path", type=Path)
    check.set_defaults(command=command_check)
    return parser


def add_database_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=size, default=size("4M"), help="4M, 512M, 2G ... (default 4M)")
    parser.add_argument("--journal-mode", choices=database.JOURNAL_MODES, default="delete")
    parser.add_argument("--seed", type=int, default=1)


def add_node_options(parser: argparse.ArgumentParser, remembered: bool = False) -> None:
    """With ``remembered`` an option that is not given is None: as in the run before, or else the default."""
    add_database_options(parser)
    parser.add_argument("--commit-interval", type=seconds, default=0.05, help="between two commits")
    parser.add_argument("--sample-every", type=count, default=20, help="commits for one metric sample")
    parser.add_argument("--lease-seconds", type=seconds, default=30.0)
    parser.add_argument("--renew-seconds", type=seconds, default=15.0)
    if remembered:
        parser.set_defaults(**dict.fromkeys(REMEMBERED))


def port(text: str) -> int:
    return _whole(text, 0, 65535)


def count(text: str) -> int:
    return _whole(text, 1, 1_000_000)


def size(text: str) -> int:
    try:
        value = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if value > MAX_SIZE:
        raise argparse.ArgumentTypeError(f"more than {MAX_SIZE} bytes")
    return value


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a number: {text[:40]!r}") from error
    if not (math.isfinite(value) and 0 <= value <= 86_400):
        raise argparse.ArgumentTypeError(f"not between 0 and 86400 seconds: {text[:40]!r}")
    return value


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"not key=value: {text[:40]!r}")
    return key, value


def seconds_or_never(text: str) -> float | None:
    return None if text == "never" else seconds(text)


def phase(text: str) -> Phase:
    """``after=5 qa=0.4``; what the faults mean is checked when the release is made."""
    faults = dict(pair(word) for word in text.split())
    if "after" not in faults:
        raise argparse.ArgumentTypeError(f"says not after how many seconds: {text[:40]!r}")
    return Phase(seconds(faults.pop("after")), faults)


def _whole(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"not a whole number from {low} to {high}: {text[:40]!r}")
    return int(text)


def command_run(options: argparse.Namespace) -> int:
    credentials = auth.Credentials(
        os.environ.get("VVTV_CONTROL_TOKEN", auth.DEFAULT_TOKEN),
        os.environ.get("VVTV_CONTROL_SECRET", auth.DEFAULT_SECRET),
    )
    if credentials.are_default and os.environ.get("VVTV_ENV", "dev") != "dev":
        sys.stderr.write("simulator: the default token and secret are refused when VVTV_ENV is not dev\n")
        return 1
    run_node(
        NodeOptions(
            where=layout(options.root),
            port=options.port,
            size=options.size,
            seed=options.seed,
            journal_mode=options.journal_mode,
            commit_interval=options.commit_interval,
            sample_every=options.sample_every,
            lease_seconds=options.lease_seconds,
            renew_seconds=options.renew_seconds,
            reopen=options.reopen,
            state_db=options.state_db,
            owner_card=options.owner_card,
            credentials=credentials,
        )
    )
    return 0


def command_up(options: argparse.Namespace) -> int:
    given = {key: getattr(options, key) for key in REMEMBERED if getattr(options, key) is not None}
    for number, root in enumerate(options.roots):
        start = replace(memory.recall(root) or memory.Start(), **given)
        if given.get("port"):
            start = replace(start, port=given["port"] + number)
        node = fleet.start_node(
            root,
            start.port,
            str(start.size),
            start.journal_mode,
            commit_interval=start.commit_interval,
            sample_every=start.sample_every,
            lease_seconds=start.lease_seconds,
            renew_seconds=start.renew_seconds,
            seed=start.seed,
            reopen=start.reopen,
            credentials=start.credentials,
        )
        say(f"{node.root}: up, pid {node.pid}, {node.url}")
        node.detach()
    return 0


def command_restart(options: argparse.Namespace) -> int:
    node = fleet.restart_node(options.root)
    say(f"{node.root}: restarted, pid {node.pid}, {node.url}")
    node.detach()
    return 0


def command_down(options: argparse.Namespace) -> int:
    for root in options.roots:
        say(f"{root}: {'stopped' if fleet.stop_node(root) else 'no node runs here'}")
    return 0


def command_status(options: argparse.Namespace) -> int:
    """Exit code 1 when one of the nodes does not run."""
    pids = [process.node_pid(root) for root in options.roots]
    for root, pid in zip(options.roots, pids):
        state = read_state(root)
        if pid is None or state is None:
            say(f"{root}: down")
        else:
            counts = f"{state.commits} commits, {state.errors} errors"
            say(f"{root}: up, pid {pid}, {state.url}, {counts} {state.last_error}".rstrip())
    return 1 if None in pids else 0


def command_fault(options: argparse.Namespace) -> int:
    faults: dict[str, FaultValue] = dict(options.faults)
    apply_faults(options.root, faults, wait=not options.no_wait)
    return 0


def command_make_release(options: argparse.Namespace) -> int:
    release = Release(options.version, tuple(options.phase), options.ready_after)
    releases.make(options.path, release)
    return 0


def command_make_db(options: argparse.Namespace) -> int:
    database.create_database(options.path, options.size, options.journal_mode, options.seed)
    return 0


def command_check(options: argparse.Namespace) -> int:
    database.check_invariant(options.path)
    return 0
