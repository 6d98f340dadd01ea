# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demonstration stands on: running playbooks, plain output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
INVENTORY = "inventories/demo"
DEMO = CHECKOUT / "build/demo"
NODES = DEMO / "nodes"
_RECAP = re.compile(r"^(\S+)\s+:( \w+=\d+\s*)+$")
_MESSAGE = re.compile(r'^\s*"msg": "(node.*)"$')
_TABLE = re.compile(r"^  \S")
_FATAL = re.compile(r'^fatal: \[(\S+)\]: FAILED! => .*"msg": "(.*?)"[,}]')
_DIFF = re.compile(r"^[-+]")


@dataclass(frozen=True)
class Recap:
    """Ansible's own count, added up over the hosts."""

    changed: int
    output: str


class Stage:
    """Prints the story; what the playbooks print in full goes to a log beside it."""

    def __init__(self) -> None:
        self._chapters = 0
        self._log = DEMO / "ansible.log"

    def chapter(self, text: str) -> None:
        """Begin the next step of the story."""
        self._chapters += 1
        print(f"\n{self._chapters}. {text}", flush=True)

    def say(self, text: str) -> None:
        """Print a line of the present step."""
        print(f"   {text}", flush=True)

    def playbook(
        self, name: str, *options: str, quiet: bool = False, diff: bool = False, code: int = 0
    ) -> Recap:
        """Run a playbook on the demo inventory, show what matters of its output, and return its recap.

        Ends the demonstration unless the playbook ends with ``code``. ``quiet`` shows the recap only,
        ``diff`` the diff too.
        """
        command = ["ansible-playbook", "-i", INVENTORY, f"vvtv.runbook.{name}", *options]
        self.say(f"$ {' '.join(command)}")
        plain = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(
            command, cwd=CHECKOUT, env={**os.environ, **plain}, capture_output=True, text=True, check=False
        )
        with self._log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n")
        if done.returncode != code:
            sys.exit(f"{done.stdout}{done.stderr}\nthe playbook {name} ended with exit {done.returncode}")
        lines = done.stdout.splitlines()
        recap = [re.sub(r"\s{2,}", "  ", line.strip()) for line in lines if _RECAP.match(line)]
        shown = [line for line in lines if diff and _DIFF.match(line)]
        shown += [found[1] for line in lines if not quiet and (found := _MESSAGE.match(line))]
        shown += [line[2:] for line in lines if not quiet and _TABLE.match(line)]
        for line in shown + recap:
            self.say(f"  {line.replace(f'{NODES}/', '')}")
        if code:
            self._say_failures(lines)
            self.say(f"  exit code {done.returncode}")
        changed = sum(int(count) for count in re.findall(r"changed=(\d+)", " ".join(recap)))
        return Recap(changed, done.stdout)

    def _say_failures(self, lines: list[str]) -> None:
        """Print the message of each failed task once, with the first host that had it."""
        told: dict[str, str] = {}
        for line in lines:
            if found := _FATAL.match(line):
                told.setdefault(found[2].replace(f"{NODES}/{found[1]}", ""), found[1])
        for message, host in told.items():
            self.say(f"  {message if message.startswith(f'{host}:') else f'{host}: {message[:220]}'}")

    def closing(self, seconds: float) -> None:
        """Say what was proved, what was made and where."""
        print(
            f"\nproved in {seconds:.0f} s: encrypted backups under writing stations, in both journal modes; a"
            "\nsecond run changes nothing; age, zstd and tar open them; the fleet's keys are rotated,"
            "\nolder backups re-wrapped; a damaged database is restored on air from before the rotation;"
            "\na good release soaks on a canary and reaches the fleet; a bad one goes back from there;"
            "\na sick node is named with why; emergency mode is switched once; a bad OwnerCard is refused."
            f"\nmade:    {NODES.relative_to(CHECKOUT)}/node{{1,2,3}} (databases, keys, backups)"
            f"\nlog:     {self._log.relative_to(CHECKOUT)} (all that ansible-playbook printed)"
            "\nnext:    . .venv/bin/activate; ansible-playbook -i inventories/demo vvtv.runbook.backup"
        )


def expect(true: bool, otherwise: str) -> None:
    """End the demonstration with exit 1 unless things are as told."""
    if not true:
        sys.exit(f"the demo expected otherwise: {otherwise}")


def demo_ports() -> dict[str, int]:
    """Return the API port of each host of the demo inventory."""
    inventory = yaml.safe_load((CHECKOUT / INVENTORY / "hosts.yml").read_text())
    return {
        name: int(facts["vvtv_api_url"].rpartition(":")[2])
        for name, facts in inventory["vvtv"]["hosts"].items()
    }


def short(path: Path) -> str:
    """Return a path as seen from the checkout."""
    return str(path.relative_to(CHECKOUT))
