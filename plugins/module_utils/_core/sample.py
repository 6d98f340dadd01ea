# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One sample of a node: its OwnerCard, its state.db and what its API answers, each with its own ok or error.

The order matters. The API makes a healthy sample up when it cannot read state.db, and makes the file itself
when there is none: so state.db is looked at first, and where there is none, the calls that would make one are
left out. The newest metric samples are read once more at the end, since the pipeline may have written one
between the first look and the API's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from . import discovery, files, owner_card, state_history, times
from .control_answers import SEVERITIES, Alert, Status
from .metric_rows import MAX_NEWEST
from .node import Node
from .probes import Probe, not_asked, one_line, probe
from .sample_record import Card, Sample
from .state_history import History, Samples, Scope

__all__ = ["Card", "Questions", "Sample", "Scope", "take_sample"]

MAX_ALERTS = 100
_MAX_MESSAGE = 300
# The API would make the file, or its tables in it, and the evidence would be gone.
_WOULD_BE_MADE = ("not_found", "empty", "foreign")

Value = TypeVar("Value")


class Questions(Protocol):
    """What is asked of the control API; :class:`control_api.Api` answers."""

    def status(self) -> Status:
        """Return state and clock."""

    def alerts(self) -> list[Alert]:
        """Return the station's own alerts."""

    def metrics(self) -> dict[str, float]:
        """Return the seven gauges."""


def take_sample(
    node: Node,
    api: Questions,
    timeout: float,
    integrity: str = "light",
    scope: Scope | None = None,
) -> Sample:
    """Look at a node once. What cannot be seen is an error inside the sample; nothing is raised for it.

    ``timeout`` is how many seconds to wait for locks of state.db at each of the two looks; ``api`` brings its
    own. ``integrity`` and ``scope`` are those of :func:`state_history.read`, whose :class:`BadInput` for bad
    ones is raised.
    """
    state_history.require_known(integrity)
    looked, begin = scope or Scope(), times.now()
    card, allowlist = _card(node)
    state = probe(lambda: state_history.read(node, timeout, integrity, looked, begin))
    state = replace(state, value=_told(state.value, allowlist))
    asked = state.error is None or state.error.reason not in _WOULD_BE_MADE
    return Sample(
        begin,
        card=card,
        state=state,
        status=probe(api.status),
        alerts=_ask(lambda: _bounded(api.alerts()), asked),
        metrics=_ask(api.metrics, asked),
        later=_later(node, timeout, looked, state),
        until=times.now(),
    )


def _ask(call: Callable[[], Value], asked: bool) -> Probe[Value]:
    return probe(call) if asked else not_asked("the API would make a new state.db to answer this")


def _card(node: Node) -> tuple[Probe[Card], tuple[str, ...]]:
    """Return what the sample keeps of the card in the file, and its allowlist."""
    allowlist: list[str] = []

    def read() -> Card:
        data = files.read_bounded(node.owner_card, owner_card.MAX_BYTES)
        card = owner_card.parse(data, node.owner_card)
        allowlist.extend(card["search_policy"]["allowlist_domains"])
        return Card(files.sha256_hex(data), card["schedule_policy"]["commit_interval_minutes"])

    return probe(read), tuple(allowlist)


def _told(history: History | None, allowlist: tuple[str, ...]) -> History | None:
    """Return the history with what the allowlist says of each failing domain, and bounded."""
    if history is None or history.failures.value is None:
        return history
    failures = discovery.shortened(discovery.against(history.failures.value, allowlist))
    return replace(history, failures=replace(history.failures, value=failures))


def _bounded(alerts: list[Alert]) -> tuple[Alert, ...]:
    """Return the worst alerts, each a bounded line."""
    worst = sorted(alerts, key=lambda alert: SEVERITIES.index(alert.severity))
    return tuple(replace(one, message=one_line(one.message, _MAX_MESSAGE)) for one in worst[:MAX_ALERTS])


def _later(node: Node, timeout: float, scope: Scope, state: Probe[History]) -> Probe[Samples]:
    before = None if state.value is None else state.value.samples.value
    if before is None:
        return not_asked("the first look at the metric samples failed")

    def look() -> Samples:
        found = state_history.newest_samples(node, timeout, replace(scope, newest=MAX_NEWEST))
        news = [one for one in found.newest if not before.newest or one.at >= before.newest[0].at]
        return replace(found, newest=tuple(news), baseline=None)

    return probe(look)
