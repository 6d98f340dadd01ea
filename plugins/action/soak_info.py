# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of ``vvtv.runbook.soak_info``: waits for a soak and shows how far each host is.

The node is asked without judging, which is cheap, and judged once at the end. The soak goes on whatever
becomes of this process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._core.probes import one_line
from ..plugin_utils._soak_line import line

MODULE = "vvtv.runbook.soak_info"
# The process that runs a task has no terminal. This file is imported before it is forked.
_TERMINAL = sys.stdout.isatty()
_SHOWN_EVERY = {"live": 5.0, "lines": 60.0}
_LEAST_POLL = 0.5

_OPTIONS: dict[str, Any] = {
    "judge": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 0.0},
    "poll": {"type": "float", "default": 5.0},
    "unreachable_grace": {"type": "float", "default": 120.0},
    "stop_file": {"type": "path"},
    "progress": {"type": "str", "choices": ["auto", "live", "lines", "none"], "default": "auto"},
}


class ActionModule(ActionBase):
    """Asks the node once, or until its soak is over."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns, and whether waiting ended with the soak."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._given = self._checked()
        if not self._given["wait"] or self._task.check_mode:
            result.update(self._ask(self._given["judge"]))
            return result
        self._shown_at: float | None = None
        try:
            result.update(self._wait())
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _checked(self) -> dict[str, Any]:
        """Return our own options; the others are the module's to check."""
        ours = {name: value for name, value in self._task.args.items() if name in _OPTIONS}
        checked = ArgumentSpecValidator(_OPTIONS).validate(ours)
        if checked.error_messages:
            raise AnsibleActionFail("; ".join(checked.error_messages))
        given: dict[str, Any] = checked.validated_parameters
        if not given["poll"] >= _LEAST_POLL:
            raise AnsibleActionFail(f"poll must be {_LEAST_POLL:g} seconds or more")
        for name in ("wait_timeout", "unreachable_grace"):
            if not given[name] >= 0:
                raise AnsibleActionFail(f"{name} must be 0 or more seconds")
        return given

    def _ask(self, judge: bool) -> dict[str, Any]:
        others = {name: value for name, value in self._task.args.items() if name not in _OPTIONS}
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args={**others, "judge": judge}, task_vars=self._vars
        )
        return answer

    def _patiently(self, judge: bool) -> dict[str, Any]:
        """Ask again while the host is unreachable, until that has lasted too long."""
        lost_at: float | None = None
        while True:
            try:
                return self._ask(judge)
            except AnsibleConnectionFailure as exc:
                now = time.monotonic()
                if lost_at is None:
                    lost_at = now
                    self._say(f"{self._host()}: cannot be reached, asking again: {one_line(str(exc))}")
                if now - lost_at >= self._given["unreachable_grace"]:
                    raise
                self._forget_connection()
                time.sleep(self._given["poll"])

    def _forget_connection(self) -> None:
        """Begin anew at the next question: what the old connection knew may be gone with the host's boot."""
        self._connection._shell.tmpdir = None
        try:
            self._connection.reset()
        except (AttributeError, AnsibleConnectionFailure):
            return

    def _wait(self) -> dict[str, Any]:
        begin, over = time.monotonic(), self._given["wait_timeout"]
        while True:
            answer = self._patiently(judge=False)
            if answer.get("failed"):
                return answer
            soak, verdict = answer["soak"], answer["verdict"]
            ended = soak["state"] != "running" or verdict["certain"]
            early = not ended and (self._stopped() or (over and time.monotonic() - begin >= over))
            self._show(soak, verdict, last=bool(ended or early))
            if ended or early:
                break
            time.sleep(max(_LEAST_POLL, min(self._given["poll"], soak["remaining"] + _LEAST_POLL)))
        if self._given["judge"]:
            answer = self._patiently(judge=True)
        if not answer.get("failed"):
            answer["soak"]["waiting"] = bool(ended)
            self._tell_others(answer)
        return answer

    # --- other hosts ---

    def _stopped(self) -> bool:
        stop = self._given["stop_file"]
        return stop is not None and Path(stop).exists()

    def _tell_others(self, answer: dict[str, Any]) -> None:
        """End the wait of the other hosts when this one has failed."""
        if self._given["stop_file"] is None or answer["verdict"]["result"] != "FAIL":
            return
        path = Path(self._given["stop_file"])
        codes = ", ".join(str(one.get("code")) for one in answer["verdict"]["reasons"])
        try:
            with path.open("x", encoding="utf-8") as out:
                out.write(f"{self._host()}: {codes}\n")
        except FileExistsError:
            return
        except OSError as exc:
            warning = f"the other hosts are not told to stop waiting: {exc}"
            answer["warnings"] = [*answer.get("warnings", ()), warning]

    # --- progress ---

    def _host(self) -> str:
        return str(self._vars.get("inventory_hostname", self._task.delegate_to or "host"))

    def _show(self, soak: Mapping[str, Any], verdict: Mapping[str, Any], last: bool) -> None:
        """Show how far the host is, unless that was shown a moment ago; the last word always."""
        mode = self._given["progress"]
        if mode == "auto":
            mode = "live" if _TERMINAL else "lines"
        if mode == "none":
            return
        now = time.monotonic()
        if not last and self._shown_at is not None and now - self._shown_at < _SHOWN_EVERY[mode]:
            return
        self._shown_at = now
        hosts = self._vars.get("ansible_play_batch") or [self._host()]
        self._say(line(self._host(), max(len(str(host)) for host in hosts), soak, verdict))

    def _say(self, text: str) -> None:
        if self._given["progress"] != "none":
            Display().display(f"  {text}")
