# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sample as a value, and as one bounded line of JSON that can be kept and judged again later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, TypeVar

from . import times
from .control_answers import GAUGES, SEVERITIES, STATES, Alert, Status
from .discovery import DomainFailures, Failures
from .errors import BadInput, Damaged
from .metric_rows import Baseline, MetricSample, Samples
from .probes import Fault, Probe
from .state_db import Integrity
from .state_history import History, Lease

VERSION = 1
MAX_LINE = 256 * 1024

Value = TypeVar("Value")


@dataclass(frozen=True)
class Card:
    """What a sample keeps of the OwnerCard: its SHA-256 (hex) and the minutes between commit windows."""

    sha256: str
    commit_interval_minutes: int


@dataclass(frozen=True)
class Sample:
    """What was seen of a node from ``at`` to ``until``.

    ``later`` are the metric samples after the API was asked, from the newest one that ``state`` holds on. The
    domains in ``state`` say which entry of the card's allowlist covers them, if ``card`` could be read.
    """

    at: datetime
    until: datetime
    card: Probe[Card]
    state: Probe[History]
    status: Probe[Status]
    metrics: Probe[dict[str, float]]
    alerts: Probe[tuple[Alert, ...]]
    later: Probe[Samples]

    def to_json(self) -> str:
        """Return the sample as one line of JSON of at most :data:`MAX_LINE` characters, without a newline."""
        document = {
            "v": VERSION,
            "at": times.to_text(self.at),
            "until": times.to_text(self.until),
            "card": _out(self.card, lambda card: [card.sha256, card.commit_interval_minutes]),
            "state": _out(self.state, _history_out),
            "status": _out(self.status, _status_out),
            "metrics": _out(self.metrics, _gauges_out),
            "alerts": _out(self.alerts, lambda alerts: [[a.code, a.severity, a.message] for a in alerts]),
            "later": _out(self.later, _samples_out),
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Sample:
        """Return the sample that :meth:`to_json` wrote; raise :class:`Damaged` for anything else."""
        if len(line) > MAX_LINE:
            raise Damaged(f"is no sample: longer than {MAX_LINE} characters")
        try:
            found = json.loads(line)
            if found["v"] != VERSION:
                raise Damaged(f"is a sample of version {str(found['v'])[:20]}, not {VERSION}")
            return cls(
                _instant(found["at"]),
                _instant(found["until"]),
                _in(found["card"], lambda value: Card(_text(value[0]), _whole(value[1]))),
                _in(found["state"], _history_in),
                _in(found["status"], _status_in),
                _in(found["metrics"], _gauges_in),
                _in(found["alerts"], lambda value: tuple(_alert_in(one) for one in value)),
                _in(found["later"], _samples_in),
            )
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            BadInput,
        ) as exc:
            raise Damaged(f"is no sample: {type(exc).__name__}: {str(exc)[:80]}") from exc


# --- writing ---


def _out(probe: Probe[Value], encode: Callable[[Value], Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"at": times.to_text(probe.at), "s": probe.seconds}
    if probe.error is not None:
        document["error"] = [probe.error.reason, probe.error.msg, probe.error.status]
    elif probe.value is not None:
        document["value"] = encode(probe.value)
    return document


def _status_out(status: Status) -> list[Any]:
    return [status.state, status.buffer_minutes, times.to_text(status.timestamp)]


def _gauges_out(gauges: dict[str, float]) -> list[float]:
    return [gauges[name] for name in GAUGES]


def _history_out(history: History) -> dict[str, Any]:
    return {
        "integrity": _out(history.integrity, lambda integrity: [integrity.asked, integrity.done]),
        "failures": _out(history.failures, _failures_out),
        "assets": _out(history.assets, bool),
        "lease": _out(history.lease, lambda lease: lease and [lease.owner, times.to_text(lease.expires_at)]),
        "samples": _out(history.samples, _samples_out),
    }


def _failures_out(failures: Failures) -> list[Any]:
    domains = [
        [one.domain, one.count, times.to_text(one.first), times.to_text(one.last), one.entry]
        for one in failures.domains
    ]
    return [times.to_text(failures.since), failures.omitted, failures.malformed, domains]


def _samples_out(samples: Samples) -> list[Any]:
    newest = [[times.to_text(one.at), *_gauges_out(one.gauges)] for one in samples.newest]
    base, spoilt = samples.baseline, samples.malformed_at
    baseline = base and [base.median, base.count, times.to_text(base.since), times.to_text(base.until)]
    return [newest, baseline, samples.malformed, spoilt and times.to_text(spoilt)]


# --- reading: every value is checked, a stored line may be anybody's ---


def _in(document: dict[str, Any], decode: Callable[[Any], Value], optional: bool = False) -> Probe[Value]:
    value: Value | None = None
    error: Fault | None = None
    if "error" in document:
        reason, msg, status = document["error"]
        error = Fault(_text(reason), _text(msg), None if status is None else _whole(status))
    elif not optional or document.get("value") is not None:
        value = decode(document["value"])
    return Probe(_instant(document["at"]), _number(document["s"]), value, error)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError("an unknown word")
    return _text(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise TypeError("no finite number")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no whole number")
    return value


def _instant(value: Any) -> datetime:
    return times.parse(_text(value))


def _status_in(value: Any) -> Status:
    state, minutes, timestamp = value
    return Status(_one_of(state, STATES), _whole(minutes), _instant(timestamp))


def _gauges_in(value: Any) -> dict[str, float]:
    if len(value) != len(GAUGES):
        raise ValueError("not seven gauges")
    return {name: _number(one) for name, one in zip(GAUGES, value)}


def _alert_in(value: Any) -> Alert:
    code, severity, message = value
    return Alert(_text(code), _one_of(severity, SEVERITIES), _text(message))


def _history_in(value: Any) -> History:
    return History(
        _in(value["integrity"], lambda found: Integrity(_text(found[0]), _text(found[1]))),
        _in(value["failures"], _failures_in),
        _in(value["assets"], lambda found: found is True),
        _in(value["lease"], _lease_in, optional=True),
        _in(value["samples"], _samples_in),
    )


def _lease_in(value: Any) -> Lease:
    return Lease(_text(value[0]), _instant(value[1]))


def _failures_in(value: Any) -> Failures:
    since, omitted, malformed, domains = value
    return Failures(
        _instant(since), tuple(_domain_in(one) for one in domains), _whole(omitted), _whole(malformed)
    )


def _domain_in(value: Any) -> DomainFailures:
    domain, count, first, last, entry = value
    return DomainFailures(
        None if domain is None else _text(domain),
        _whole(count),
        _instant(first),
        _instant(last),
        None if entry is None else _text(entry),
    )


def _samples_in(value: Any) -> Samples:
    newest, baseline, malformed, spoilt = value
    return Samples(
        tuple(MetricSample(_instant(one[0]), _gauges_in(one[1:])) for one in newest),
        None if baseline is None else _baseline_in(baseline),
        _whole(malformed),
        None if spoilt is None else _instant(spoilt),
    )


def _baseline_in(value: Any) -> Baseline:
    median, count, since, until = value
    return Baseline(_number(median), _whole(count), _instant(since), _instant(until))
