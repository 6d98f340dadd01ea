# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a running node through its files: ask for faults, read what it says, wait for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Callable

from . import process
from .faults import NOW, FaultValue, write_control
from .layout import AnyPath, layout, write_atomic

POLL_SECONDS = 0.01


@dataclass(frozen=True)
class NodeState:
    """What a node last said about itself (``runtime/sim/state.json``)."""

    pid: int
    port: int
    url: str
    journal_mode: str
    #: Transactions of the pipeline that this process has committed; lease renewals do not count.
    commits: int
    #: Metric samples that this process has committed.
    samples: int
    #: Lease renewals that this process has committed.
    renewals: int
    #: Failed attempts of the writer, and the text of the last one ("" when there was none).
    errors: int
    last_error: str
    #: Generation of the faults in force, in the API and in the writer; 0 means none was ever asked for.
    faults_seen: int
    #: Version of the release that the process runs ("" when there is none), and how many of its phases have
    #: begun, in the API and in the writer.
    release: str
    phase: int
    #: Does the API listen?
    ready: bool
    #: Why the control file as it is now could not be taken over ("" when it could).
    control_error: str
    #: SHA-256 (hex) of the OwnerCard in force, "" when none is valid.
    owner_card_sha256: str
    running: bool
    #: When this was said, in nanoseconds since 1970.
    reported_ns: int

    def write(self, root: AnyPath) -> None:
        write_atomic(layout(root).state, json.dumps(asdict(self), indent=2) + "\n")


def read_state(root: AnyPath) -> NodeState | None:
    """The last words of the node in ``root``, also after its death; None when no node ever ran there."""
    try:
        data = json.loads(layout(root).state.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return NodeState(**{one.name: data[one.name] for one in fields(NodeState)})


def wait_for(root: AnyPath, predicate: Callable[[NodeState], bool], timeout: float = 10.0) -> NodeState:
    """Wait until the state of the node in ``root`` satisfies ``predicate``, and return that state.

    TimeoutError after ``timeout`` seconds; it carries the last state.
    """
    deadline = time.monotonic() + timeout
    while True:
        state = read_state(root)
        if state is not None and predicate(state):
            return state
        if time.monotonic() > deadline:
            raise TimeoutError(f"{layout(root).root}: not so within {timeout:g} s: {state}")
        time.sleep(POLL_SECONDS)


def fresh_state(root: AnyPath, timeout: float = 10.0) -> NodeState:
    """What the node in ``root`` says after this call began; TimeoutError when it says nothing."""
    now = time.time_ns()
    return wait_for(root, lambda state: state.reported_ns >= now, timeout)


def set_faults(root: AnyPath, *, wait: bool = False, timeout: float = 10.0, **faults: FaultValue) -> int:
    """Ask the node in ``root`` for exactly these faults (none: a healthy node); returns their generation.

    With ``wait`` it returns when the API and the writer have taken them over. Then no pipeline transaction is
    in flight that began before, a frozen or quiet pipeline has committed its last one, data faults are in the
    newest metric sample (if the pipeline runs and could write), and a node told to crash now is dead.

    FaultError for unknown keys or bad values, TimeoutError after ``timeout`` seconds, ProcessLookupError when
    there is no node to wait for.
    """
    return apply_faults(root, faults, wait, timeout)


def apply_faults(root: AnyPath, faults: Mapping[str, FaultValue], wait: bool, timeout: float = 10.0) -> int:
    """The same as :func:`set_faults` for faults that come as a mapping."""
    state = read_state(root)
    generation = write_control(root, faults, seen=state.faults_seen if state else 0)
    if wait:
        _wait_taken_over(root, generation, faults.get("crash") == NOW, timeout)
    return generation


def _wait_taken_over(root: AnyPath, generation: int, dies: bool, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        alive = process.node_pid(root) is not None
        if not alive and dies:
            return
        if not alive:
            raise ProcessLookupError(f"{layout(root).root}: no node runs here, nobody takes the faults over")
        state = read_state(root)
        if not dies and state is not None and state.faults_seen == generation:
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{layout(root).root}: faults not taken over within {timeout:g} s: {read_state(root)}")
