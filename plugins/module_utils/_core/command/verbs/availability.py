# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verbs about the SLO: take a sample, compute what the samples come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import availability, slo
from ...outcome import Outcome
from .. import exits, shared, show
from ..settings import switch
from ..verb import Call, Verb
from .health import limits


def objective(call: Call) -> availability.Objective:
    """Return what availability is judged by."""
    maintenance = availability.maintenance_of(call["slo.maintenance"])
    return availability.Objective(call["slo.target"], maintenance, call["slo.max_gap"])


def _take(call: Call) -> Outcome:
    request = slo.Request(call["slo.interval"], call["slo.keep_days"], call["lock_timeout"])
    return slo.take(call.node(), call.api(), request, call.check, *limits(call))


def _taken(facts: Mapping[str, Any]) -> list[str]:
    sample = facts["sample"]
    return show.pairs(
        (
            ("available", sample["available"]),
            ("because of", None if sample["available"] else show.listed(sample["reasons"])),
            ("at", show.instant(sample["ts"])),
            ("buffer", None if sample["buffer"] is None else f"{sample['buffer']:g} min"),
            ("API took", None if sample["latency_ms"] is None else f"{sample['latency_ms']:g} ms"),
        )
    )


SLO_SAMPLE = Verb(
    "slo-sample",
    "note whether the station is available now",
    (
        "Looks at the node once and appends one line to its store, runtime/slo. A station that is down is a "
        "good sample; the run fails only when the sample cannot be stored. It takes no lock of the node.",
    ),
    _take,
    _taken,
    options=shared.SAMPLING,
    shared=(
        *shared.ASKING,
        *shared.NODE,
        *shared.LIMITS,
        *shared.SCOPE,
        *shared.OBJECTIVE,
        shared.METRICS_DIR,
    ),
    exits=(exits.BUSY,),
    examples=(("vvtv-runbook slo-sample --interval 60 --quiet", "what a timer runs every minute"),),
    measured="availability",
)


def _tell(call: Call) -> Outcome:
    return slo.tell(call.node(), objective(call), call["enforce"])


def _told(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            one["name"],
            one["status"],
            None if one["availability"] is None else slo.percent(one["availability"]),
            show.seconds(one["unavailable_seconds"]),
            show.seconds(one["gap_seconds"]),
            show.seconds(one["budget_left_seconds"]),
            show.instant(one["measured_since"]),
        )
        for one in facts["windows"]
    ]
    titles = ("WINDOW", "STATUS", "AVAILABLE", "DOWN", "NO SAMPLES", "BUDGET LEFT", "MEASURED SINCE")
    reasons = facts["samples"]["reasons"]
    lines = [f"target: {slo.percent(facts['objective']['target'])}", *show.table(titles, rows)]
    if reasons:
        lines.append(f"down because of: {show.listed(f'{code} {count}' for code, count in reasons.items())}")
    return lines


SLO = Verb(
    "slo",
    "compute the availability of the node against its target",
    (
        "Computes availability over the last hour, day, 7 and 30 days from the samples. Time is weighted; "
        "what no sample speaks for counts as not available, unless it lies in a maintenance window "
        "(slo.maintenance in the configuration). Without samples there is no availability, neither 100 % nor "
        "0 %.",
    ),
    _tell,
    _told,
    options=(
        switch("enforce", "end with 4 when a window misses the target, and when there are no samples"),
        *shared.OBJECTIVE,
    ),
    shared=shared.NODE,
    exits=(exits.SICK,),
    changes=False,
    examples=(
        ("vvtv-runbook slo", "how the station did"),
        ("vvtv-runbook slo --enforce --target 0.999", "as a check"),
    ),
)

VERBS = (SLO_SAMPLE, SLO)
