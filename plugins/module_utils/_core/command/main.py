# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the command line to the exit code."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunbookError
from ..outcome import Outcome
from ..probes import one_line
from . import config, exits, metrics, shared, show, signals, streams
from .parser import Asked, Told, parse
from .settings import Settings, resolve
from .signals import Interrupted
from .verb import Call, document_of

_MAX_MESSAGE = 4000


@dataclass
class Result:
    """How a run ended: its exit code, the object for a program, what a person is told."""

    code: int
    document: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Do what the command line says, tell it, and return the exit code."""
    streams.make_sure_of_descriptors()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        asked = parse(words)
    except Told as exc:
        return _deliver(exits.DONE, exc.text.splitlines())
    except RunbookError as exc:
        return _report(_failure(exc, exits.BAD_INPUT), "--json" in words, False)
    with signals.watched() as watch:
        try:
            result = _carry_out(asked, os.environ if environ is None else environ, watch)
        except Interrupted:
            result = _interrupted(watch)
        watch.over()
        return _report(result, asked.json, asked.quiet)


def _report(result: Result, as_json: bool, quiet: bool) -> int:
    if as_json:
        return _deliver(result.code, [streams.to_json(result.document)])
    streams.note(result.notes)
    return _deliver(result.code, [] if quiet else result.lines)


def _deliver(code: int, lines: Sequence[str]) -> int:
    """Write the result; one that could not be written is a failure even after a success."""
    why = streams.tell(lines)
    if why is None:
        return code
    streams.note([f"error: cannot write the result: {why}"])
    return code or exits.FAILED


def _carry_out(asked: Asked, environ: Mapping[str, str], watch: signals.Watch) -> Result:
    """Run the verb and leave its metrics."""
    begin = time.monotonic()
    try:
        call = _call(asked, environ)
    except RunbookError as exc:
        return _failure(exc, exits.BAD_INPUT)
    try:
        result = _attempt(asked, call)
    except Interrupted:
        result = _interrupted(watch)
    if watch.number is not None and result.code != exits.DONE:
        result = _interrupted(watch)  # what failed may have failed for that, such as a child that it ended
    watch.over()
    if not asked.check:
        _measure(asked, call, result, time.monotonic() - begin)
    return result


def _attempt(asked: Asked, call: Call) -> Result:
    try:
        return _success(asked, asked.verb.run(call))
    except RunbookError as exc:
        return _failure(exc, exits.code_of(exc, call.named), asked)
    except Exception as exc:  # noqa: BLE001 - said as a bug, with where it is
        return _bug(exc)


def _call(asked: Asked, environ: Mapping[str, str]) -> Call:
    """Return what the verb gets to work with; raise a :class:`RunbookError` about what was given."""
    verb = asked.verb
    if not verb.settings:
        return Call(Settings({}), asked.check, environ)
    path = Path(os.path.abspath(asked.config or shared.CONFIG))
    configured = config.read(path, asked.config is not None, shared.CONFIGURED)
    return Call(
        resolve((shared.ROOT, *verb.settings), asked.given, environ, configured), asked.check, environ
    )


# --- what is told ---


def _success(asked: Asked, outcome: Outcome) -> Result:
    verb = asked.verb
    lines = show.actions(outcome.actions, asked.check) if verb.changes else []
    if asked.check:
        lines += show.diff(outcome.diff)
    lines += verb.show(outcome.facts)
    step = verb.next_step(outcome.facts) if verb.next_step and outcome.changed and not asked.check else None
    if step:
        lines.append(f"next: {step}")
    return Result(exits.DONE, document_of(outcome), lines, _warnings(outcome.warnings))


def _failure(exc: RunbookError, code: int, asked: Asked | None = None) -> Result:
    """Tell what went wrong, and what is known all the same, such as the findings about a sick node."""
    facts = exc.facts
    lines: list[str] = []
    if asked is not None and facts:
        lines = show.actions(facts["actions"], False) if "actions" in facts else []
        lines += asked.verb.show(facts)
    notes = [*_warnings(facts.get("warnings", ())), f"error: {one_line(str(exc), _MAX_MESSAGE)}"]
    return Result(code, {"error": {**exc.result(), "msg": str(exc)}, **facts}, lines, notes)


def _warnings(warnings: Sequence[str]) -> list[str]:
    return [f"warning: {one_line(warning, _MAX_MESSAGE)}" for warning in warnings]


def _interrupted(watch: signals.Watch) -> Result:
    msg = f"ended by {watch.name}; the node is in its old state or the new one, run it again"
    error = {"code": "interrupted", "msg": msg, "path": None, "hint": None}
    return Result(128 + (watch.number or 0), {"error": error}, [], [f"error: {msg}"])


def _bug(exc: Exception) -> Result:
    """Say where a bug is, and not what the values were: they may be secret."""
    frames = traceback.extract_tb(exc.__traceback__)
    places = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    msg = f"a bug of vvtv-runbook: {type(exc).__name__}"
    error = {"code": "bug", "msg": msg, "path": None, "hint": "report it with these places", "places": places}
    return Result(exits.FAILED, {"error": error}, [], [f"error: {msg}", *places])


# --- metrics ---


def _measure(asked: Asked, call: Call, result: Result, seconds: float) -> None:
    """Leave metrics where that is wanted; what the verb did stays true if that fails."""
    if not call.settings.has("metrics_dir") or call["metrics_dir"] is None:
        return
    succeeded = result.code == exits.DONE
    measured = metrics.Run(asked.verb.name, time.time(), seconds, succeeded)
    try:
        metrics.leave(Path(call["metrics_dir"]), asked.verb, measured, call)
        return
    except RunbookError as exc:
        why = str(exc)
    except Exception as exc:  # noqa: BLE001 - the verb's own result must not be lost for it
        why = _bug(exc).document["error"]["msg"]
    warning = f"no metrics were written: {why}"
    result.notes += _warnings([warning])
    result.document["warnings"] = [*result.document.get("warnings", ()), warning]
