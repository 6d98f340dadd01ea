# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a node, in the words of a finding, and from where on it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from .errors import BadInput
from .metric_rows import MAX_NEWEST

# Worst first. ``low`` is ours: the station's own alerts are medium at least.
SEVERITIES = ("critical", "high", "medium", "low")
NEVER = "never"
FAIL_ON = (*SEVERITIES, NEVER)
QA_BASELINES = ("both", "floor", "history")

_MAX_MINUTES = 60.0 * 24 * 366
_MAX_COUNT = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a stable ``code``, a ``reason`` in plain English, and the numbers behind it.

    ``evidence`` holds what JSON holds; instants are RFC 3339 texts in UTC.
    """

    severity: str
    code: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, str]:
        """A key that sorts the worst first."""
        return SEVERITIES.index(self.severity), self.code

    def reaches(self, least: str) -> bool:
        """Whether it is of severity ``least`` or worse; nothing reaches ``never``."""
        return least != NEVER and SEVERITIES.index(self.severity) <= SEVERITIES.index(least)

    def result(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {
            "severity": self.severity,
            "code": self.code,
            "reason": self.reason,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Thresholds:
    """From where on something is wrong; the defaults are the runbook's and, where it has none, ours.

    Minutes of buffer: below ``buffer_critical`` is critical, below ``buffer_target`` low. Rates from 0 to 1:
    the QA rate below ``qa_floor``, or by more than ``qa_tolerance`` below the median of at least
    ``qa_history_min`` earlier samples, as ``qa_baseline`` says; the fallback rate above ``fallback_cap``, up
    by ``fallback_jump`` from one sample to the next, or growing strictly over ``fallback_growth_samples``
    distinct ones and by ``fallback_growth_min`` in all, so that noise is no growth. ``discovery_failures`` of
    one domain in the window. ``stale_grace_minutes`` come on top of the time between commit windows, which
    the OwnerCard says, or ``commit_interval_minutes`` while it cannot be read. Clocks may differ by
    ``clock_tolerance`` seconds. More stream disruptions than ``max_stream_disruptions``.
    """

    buffer_target: float = 60.0
    buffer_critical: float = 20.0
    qa_floor: float = 0.85
    qa_baseline: str = "both"
    qa_tolerance: float = 0.05
    qa_history_min: int = 8
    fallback_cap: float = 0.30
    fallback_jump: float = 0.15
    fallback_growth_samples: int = 4
    fallback_growth_min: float = 0.05
    discovery_failures: int = 3
    commit_interval_minutes: float = 30.0
    stale_grace_minutes: float = 10.0
    clock_tolerance: float = 60.0
    max_stream_disruptions: float = 0.0
    fail_on: str = "high"

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for a value that makes no sense."""
        _within(
            self, 0, 1, "qa_floor", "qa_tolerance", "fallback_cap", "fallback_jump", "fallback_growth_min"
        )
        _within(self, 0, _MAX_MINUTES, "buffer_target", "buffer_critical", "stale_grace_minutes")
        _within(self, 0, _MAX_COUNT, "max_stream_disruptions")
        _within(self, 0, 86_400, "clock_tolerance")
        _within(self, 1, _MAX_MINUTES, "commit_interval_minutes")
        _within(self, 1, _MAX_COUNT, "discovery_failures")
        _within(self, 2, MAX_NEWEST, "fallback_growth_samples")
        _within(self, 1, 1000, "qa_history_min")
        if self.buffer_critical > self.buffer_target:
            raise BadInput("buffer_critical must not be above buffer_target")
        if self.qa_baseline not in QA_BASELINES:
            raise BadInput(f"qa_baseline must be one of {', '.join(QA_BASELINES)}, not {self.qa_baseline!r}")
        if self.fail_on not in FAIL_ON:
            raise BadInput(f"fail_on must be one of {', '.join(FAIL_ON)}, not {self.fail_on!r}")

    @property
    def unhealthy_from(self) -> str:
        """The severity from which on a node is unhealthy; with ``never`` that of the default."""
        return "high" if self.fail_on == NEVER else self.fail_on


def _within(limits: Thresholds, least: float, most: float, *names: str) -> None:
    for name in names:
        value = getattr(limits, name)
        if not (isfinite(value) and least <= value <= most):
            raise BadInput(f"{name} must be from {least:g} to {most:g}, not {value}")
