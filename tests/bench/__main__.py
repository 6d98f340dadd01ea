# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark of the backup engine beside the shell runbook's pipelines, on one database.

    python -m tests.bench [--size 512M] [--rounds 5] [--journal wal|delete|both] [--profile] [--keep]

It prints a table and what of the aims was reached, and writes both below build/bench. Exit 1: a contender
failed, or an archive does not hold the database; a figure that is missed is no error.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.faults import parse_size

from . import aims, breakdown, report
from .contest import Contest, Mode
from .ground import BENCH, Ground
from .measure import ContenderFailed
from .truth import Truth
from .writer import WriterFailed

JOURNALS = {"wal": ("wal",), "delete": ("delete",), "both": ("wal", "delete")}


def main() -> int:
    options = _options()
    BENCH.mkdir(parents=True, exist_ok=True)
    with (BENCH / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("bench: another one is running in this checkout\n")
            return 1
        try:
            with _ground(options.size, options.keep) as ground:
                return _profile(ground, options) if options.profile else _contest(ground, options)
        except (ContenderFailed, WriterFailed, OSError) as exc:
            sys.stderr.write(f"bench: {exc}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("bench: interrupted\n")
            return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the backup engine.")
    parser.add_argument(
        "--size", type=parse_size, default=parse_size("512M"), help="of the database: 20M, 1G"
    )
    parser.add_argument("--rounds", type=_count, default=5)
    parser.add_argument("--journal", choices=sorted(JOURNALS), default="both")
    parser.add_argument("--profile", action="store_true", help="only say where a backup's time goes")
    parser.add_argument("--keep", action="store_true", help="leave the database and the keys where they are")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _ground(size: int, keep: bool) -> Iterator[Ground]:
    ground = Ground()
    say(f"making a database of {size >> 20} MiB")
    try:
        ground.prepare(size)
        yield ground
    finally:
        if keep:
            say(f"kept: {ground.base}")
        else:
            ground.clear()


def _profile(ground: Ground, options: argparse.Namespace) -> int:
    for journal in JOURNALS[options.journal]:
        ground.set_journal(journal)
        say()
        for line in breakdown.lines(ground, journal, options.rounds):
            say(line)
    return 0


def _contest(ground: Ground, options: argparse.Namespace) -> int:
    started, found = time.monotonic(), report.machine()
    contest = Contest(ground, options.rounds, say)
    modes = [contest.hold(journal) for journal in JOURNALS[options.journal]]
    judged = [aim for mode in modes for aim in aims.of(mode)]
    text = [
        "",
        f"command: {_command()}",
        f"machine: {', '.join(f'{name} {value}' for name, value in found.items())}",
        f"rounds: {options.rounds}, {time.monotonic() - started:.0f} s in all",
        *(line for mode in modes for line in ("", *report.table(mode))),
        "",
        report.LEGEND,
        "",
        *_aims(judged, modes),
        "",
        *_truth(contest.truth),
    ]
    say("\n".join(text))
    (BENCH / "result.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    _write_json(found, options, modes, judged, contest.truth)
    say(f"\nthe same as numbers: {(BENCH / 'result.json').relative_to(BENCH.parents[1])}")
    return 1 if contest.truth.wrong else 0


def _aims(judged: list[aims.Aim], modes: list[Mode]) -> list[str]:
    head = "aims"
    if any(abs(mode.size - aims.SIZE) > aims.SIZE // 10 for mode in modes):
        head += f" (they are for {aims.SIZE >> 20} MiB; this was another size)"
    return [head, *(f"  {aim.journal:7}{aim.what:32}{aim}" for aim in judged)]


def _truth(truth: Truth) -> list[str]:
    return ["checked with stock tools, last round", *(f"  {one}" for one in truth.checked)] + [
        f"  WRONG: {one}" for one in truth.wrong
    ]


def _command() -> str:
    return shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])


def _write_json(
    found: dict[str, Any],
    options: argparse.Namespace,
    modes: list[Mode],
    judged: list[aims.Aim],
    truth: Truth,
) -> None:
    result = {
        "command": _command(),
        "machine": found,
        "rounds": options.rounds,
        "journals": {mode.journal: report.facts(mode) for mode in modes},
        "aims": [{**vars(aim), "verdict": str(aim)} for aim in judged],
        "checked": truth.checked,
        "wrong": truth.wrong,
    }
    (BENCH / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
