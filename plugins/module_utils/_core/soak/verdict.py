# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a verdict says, and why: the values, without the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PASS, FAIL, INCONCLUSIVE = RESULTS = ("PASS", "FAIL", "INCONCLUSIVE")

CODES = {
    "no_data": "there is no sample to judge",
    "low_coverage": "too few samples, or too few of the ticks that were due",
    "interrupted": "the soak was ended by somebody, or its sampler died",
    "running": "the soak is not over",
    "stale": "the API's clock stood still: somebody answers for the station",
    "emergency": "the station was in emergency mode",
    "card_changed": "another OwnerCard came into force meanwhile",
    "cycle_not_seen": "the pipeline wrote no metric sample meanwhile",
    "api_errors": "the API gave no good answer too many times in a row",
    "errors": "too much could not be seen",
    "slo": "the station was not available for long enough",
    "damaged_samples": "lines of the samples' file are none",
    "baseline_sick": "most of the baseline hosts fail in the same way",
    "qa_below_baseline_hosts": "the QA pass rate is below that of the baseline hosts",
}


@dataclass(frozen=True)
class Reason:
    """Why a verdict is no ``PASS``; ``certain`` says that no further sample can take it back."""

    code: str
    reason: str
    result: str
    evidence: dict[str, Any] = field(default_factory=dict)
    certain: bool = False

    def told(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {"code": self.code, "result": self.result, "reason": self.reason, "evidence": self.evidence}


@dataclass(frozen=True)
class Run:
    """A check's failures among the judged samples: how many, how many in a row at most, and when."""

    code: str
    severity: str
    failures: int
    row: int
    first: datetime
    last: datetime
    reason: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """``certain``: a running soak can only fail any more. ``samples`` are those judged."""

    result: str
    reasons: tuple[Reason, ...]
    samples: int
    cycles: int
    certain: bool
    checks: tuple[dict[str, Any], ...]
    warmup: dict[str, Any]
    hosts: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """Return it for a program to read."""
        return {
            "result": self.result,
            "reasons": [one.told() for one in self.reasons],
            "samples": self.samples,
            "cycles": self.cycles,
            "certain": self.certain,
            "checks": list(self.checks),
            "warmup": self.warmup,
            "baseline_hosts": list(self.hosts),
        }
