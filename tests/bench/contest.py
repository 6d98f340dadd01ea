# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rounds: within each, every contender runs in turn, so that the machine's other work hits all alike."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from .ground import Ground
from .measure import Run
from .truth import Truth, counts
from .writer import Commit, percentile, writing

IDLE_SECONDS = 1.0
SHELL = "shell"
BESIDE_NOBODY = "nobody else"
BESIDE_OURS = "ours, zstd"


@dataclass(frozen=True)
class Line:
    """One line of the table: whose ``act``, and against which of the shell's it is held."""

    act: str
    who: str
    against: str | None = None

    @property
    def name(self) -> str:
        return f"{self.act}, {self.who}"


BACKUP_ZSTD = Line("backup", "ours, zstd", "backup")
BACKUP_GZIP = Line("backup", "ours, gzip", "backup")
BACKUP_SHELL = Line("backup", SHELL)
VERIFY = Line("verify", "ours", "verify")
VERIFY_SHELL = Line("verify", SHELL)
RESTORE = Line("restore", "ours, no database there", "restore")
RESTORE_LIVE = Line("restore", "ours, into a live one", "restore")
RESTORE_SHELL = Line("restore", SHELL)
REWRAP = Line("rewrap", "ours", "rewrap")
REWRAP_COPY = Line("rewrap", "cp and sync of the archive")
LINES = (
    BACKUP_ZSTD, BACKUP_GZIP, BACKUP_SHELL, VERIFY, VERIFY_SHELL,
    RESTORE, RESTORE_LIVE, RESTORE_SHELL, REWRAP, REWRAP_COPY,
)  # fmt: skip
ANCHORS = {line.act: line for line in LINES if line.against is None}


@dataclass(frozen=True)
class Delay:
    """How long a writer's commits took during one span, in seconds."""

    commits: int
    longest: float
    p99: float
    median: float
    longest_lock: float

    @classmethod
    def of(cls, commits: list[Commit]) -> Delay:
        took = [one.took for one in commits]
        return cls(
            len(took),
            max(took, default=0.0),
            percentile(took, 0.99),
            percentile(took, 0.5),
            max((one.locked for one in commits), default=0.0),
        )

    def facts(self) -> dict[str, Any]:
        """The same for result.json."""
        return {
            "commits": self.commits,
            "longest_s": round(self.longest, 5),
            "p99_s": round(self.p99, 5),
            "median_s": round(self.median, 5),
            "longest_wait_for_the_write_lock_s": round(self.longest_lock, 5),
        }


@dataclass
class Mode:
    """What was measured in one journal mode."""

    journal: str
    size: int
    runs: dict[Line, list[Run]] = field(default_factory=dict)
    delays: dict[str, list[Delay]] = field(default_factory=dict)
    archives: dict[Line, int] = field(default_factory=dict)


class Contest:
    """Runs the rounds of one journal mode after the other."""

    def __init__(self, ground: Ground, rounds: int, tell: Callable[[str], None]) -> None:
        self._ground = ground
        self._rounds = rounds
        self._tell = tell
        self.truth = Truth(ground)

    def hold(self, journal: str) -> Mode:
        """Measure everything in one journal mode."""
        self._ground.set_journal(journal)
        mode = Mode(journal, self._ground.size)
        for number in range(1, self._rounds + 1):
            last = number == self._rounds
            self._tell(f"journal {journal}, round {number} of {self._rounds}")
            self._quiet(mode, last)
            self._written(mode, BESIDE_NOBODY, self._idle, False)
            self._written(mode, BESIDE_OURS, self._ours, last)
            # The shell takes long, and one run of it is thousands of commits.
            if last:
                self._written(mode, SHELL, self._shell, last)
        return mode

    # --- quiet runs ---

    def _quiet(self, mode: Mode, check: bool) -> None:
        rows = counts(self._ground.live.state_db)
        made = self._backups(mode, check, rows)
        self._took(mode, VERIFY, self._ground.engine("verify", made))
        self._took(mode, VERIFY_SHELL, self._ground.shell("verify"))
        self._restores(mode, made, check, rows)
        self._rewrap(mode, made)
        if check:
            self.truth.ours(f"{mode.journal}: {BACKUP_ZSTD.name}, re-wrapped", made, rows, rows)
        self._ground.drop_backup(made)
        shutil.rmtree(self._ground.shell_out)

    def _backups(self, mode: Mode, check: bool, rows: dict[str, int]) -> str:
        """Make the three; return the id of ours that stays."""
        stays = self._backup(mode, BACKUP_ZSTD, "zstd")
        other = self._backup(mode, BACKUP_GZIP, "gzip")
        if check:
            self.truth.ours(f"{mode.journal}: {BACKUP_GZIP.name}", other, rows, rows)
        self._ground.drop_backup(other)
        self._took(mode, BACKUP_SHELL, self._ground.shell("backup"))
        mode.archives[BACKUP_SHELL] = (self._ground.shell_out / "backup.tar.gz.enc").stat().st_size
        if check:
            self.truth.shell(f"{mode.journal}: {BACKUP_SHELL.name}", rows, rows)
        return stays

    def _backup(self, mode: Mode, line: Line, compression: str) -> str:
        done = self._ground.engine("backup", compression)
        self._took(mode, line, done)
        made = str(done.said["id"])
        mode.archives[line] = self._ground.archive(made).stat().st_size
        return made

    def _restores(self, mode: Mode, made: str, check: bool, rows: dict[str, int]) -> None:
        ground = self._ground
        for line, present in ((RESTORE, False), (RESTORE_LIVE, True)):
            self._took(mode, line, ground.engine("restore", made, ground.fresh_target(made, present)))
            if check:
                self.truth.database(f"{mode.journal}: {line.name}", ground.target.state_db, rows, rows)
        self._took(mode, RESTORE_SHELL, ground.shell("restore", ground.fresh_shell_target()))
        if check:
            label = f"{mode.journal}: {RESTORE_SHELL.name}"
            self.truth.database(label, ground.shell_target.state_db, rows, rows)
        for target in (ground.target, ground.shell_target):
            shutil.rmtree(target.root)

    def _rewrap(self, mode: Mode, made: str) -> None:
        self._ground.engine("rotate")
        done = self._ground.engine("rewrap")
        if done.said != {"renewed": 1, "unchanged": 0, "failed": 0}:
            self.truth.wrong.append(f"rewrap: {done.said}")
        self._took(mode, REWRAP, done)
        self._took(mode, REWRAP_COPY, self._ground.shell_copy(self._ground.archive(made)))

    # --- runs beside a writer ---

    def _written(self, mode: Mode, who: str, act: Callable[[], Run | None], check: bool) -> None:
        """Let somebody work while a writer commits, and note for how long it was held up."""
        ground = self._ground
        low = counts(ground.live.state_db)
        with writing(ground.live.state_db, ground.record) as record:
            started = time.monotonic()
            done = act()
            ended = time.monotonic()
        span = (done.started, done.ended) if done else (started, ended)
        mode.delays.setdefault(who, []).append(Delay.of(record.during(*span)))
        self._check_written(mode, who, done, low, check)

    def _check_written(
        self, mode: Mode, who: str, done: Run | None, low: dict[str, int], check: bool
    ) -> None:
        """Look at the archive made beside the writer if ``check``, then remove it."""
        if done is None:
            return
        high = counts(self._ground.live.state_db)
        label = f"{mode.journal}: backup beside a writer, {who}"
        if who == SHELL:
            if check:
                self.truth.shell(label, low, high)
            shutil.rmtree(self._ground.shell_out)
            return
        if check:
            self.truth.ours(label, str(done.said["id"]), low, high)
        self._ground.drop_backup(str(done.said["id"]))

    def _idle(self) -> None:
        time.sleep(IDLE_SECONDS)

    def _ours(self) -> Run:
        return self._ground.engine("backup", "zstd")

    def _shell(self) -> Run:
        return self._ground.shell("backup")

    def _took(self, mode: Mode, line: Line, done: Run) -> None:
        mode.runs.setdefault(line, []).append(done)
        self._tell(f"  {line.name:36} {done.wall:8.2f} s")
