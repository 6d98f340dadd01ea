# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at a node until it is healthy, or until the time for that is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from .errors import BadInput, RunbookError
from .health import NEVER, Health, Thresholds, judge, summary
from .node import Node
from .outcome import Outcome
from .sample import Questions, Scope, take_sample

INTEGRITY = "quick"
WAIT_INTERVAL = 5.0
_LEAST_INTERVAL = 0.1
_MAX_WAIT = 86_400.0


class Unhealthy(RunbookError):
    """The node was looked at, and it is not healthy; ``facts`` say why."""

    code = "unhealthy"

    def __init__(self, msg: str, facts: dict[str, Any], **where: Any) -> None:
        super().__init__(msg, **where)
        self.facts = facts


def thresholds_from(values: Mapping[str, Any]) -> Thresholds:
    """Return the thresholds among these values by name, which must all be there; others may be there too."""
    return Thresholds(**{one.name: values[one.name] for one in fields(Thresholds)})


def scope_from(values: Mapping[str, Any]) -> Scope:
    """Return how far back such values say to look: as far as the thresholds need it."""
    return Scope(
        discovery_window_hours=values["discovery_window_hours"],
        qa_history_hours=values["qa_history_hours"],
        newest=max(Scope().newest, values["fallback_growth_samples"]),
    )


@dataclass(frozen=True)
class Request:
    """How to look: ``integrity``, ``scope`` and ``timeout`` (seconds) are :func:`take_sample`'s.

    An unhealthy node is looked at again every ``wait_interval`` seconds, for the last time when
    ``wait_timeout`` seconds are over.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    scope: Scope = field(default_factory=Scope)
    integrity: str = INTEGRITY
    timeout: float = 30.0
    wait_timeout: float = 0.0
    wait_interval: float = WAIT_INTERVAL

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        if not (isfinite(self.wait_timeout) and 0 <= self.wait_timeout <= _MAX_WAIT):
            raise BadInput(f"wait_timeout must be from 0 to {_MAX_WAIT:g} seconds, not {self.wait_timeout}")
        if not (isfinite(self.wait_interval) and _LEAST_INTERVAL <= self.wait_interval <= _MAX_WAIT):
            raise BadInput(
                f"wait_interval must be from {_LEAST_INTERVAL:g} to {_MAX_WAIT:g} seconds, not"
                f" {self.wait_interval}"
            )


def check(node: Node, api: Questions, request: Request) -> Outcome:
    """Return the health of a node: ``health``, how many ``attempts`` it took, and the seconds ``waited``.

    Raise :class:`Unhealthy`, which holds the same, when findings of the severity that was asked for are left
    at the end. A look that has begun is finished: it may take longer than ``wait_timeout``.
    """
    begin = time.monotonic()
    attempts = 0
    while True:
        attempts += 1
        sample = take_sample(node, api, request.timeout, request.integrity, request.scope)
        health = judge(sample, request.thresholds)
        waited = time.monotonic() - begin
        if health.healthy or waited >= request.wait_timeout:
            break
        time.sleep(min(request.wait_interval, request.wait_timeout - waited))
    facts = {"health": health.result(), "attempts": attempts, "waited": round(waited, 3)}
    if not health.healthy and request.thresholds.fail_on != NEVER:
        raise Unhealthy(_message(health, request, attempts, waited), facts, path=node.root)
    return Outcome(facts=facts)


def _message(health: Health, request: Request, attempts: int, waited: float) -> str:
    after = f" after {attempts} looks in {waited:.0f} s" if request.wait_timeout else ""
    return f"the node is not healthy{after}: {summary(health.findings, request.thresholds.unhealthy_from)}"
