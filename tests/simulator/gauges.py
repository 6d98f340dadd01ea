# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seven gauges of a metric sample, and what the pipeline puts into the next one."""

from __future__ import annotations

import json
from random import Random
from typing import Union

from .faults import Faults

Number = Union[int, float]
Gauges = dict[str, Number]

NAMES = (
    "buffer_minutes",
    "plans_created",
    "plans_committed",
    "qa_pass_rate",
    "fallback_rate",
    "curator_actions",
    "stream_disruptions",
)

#: What the API says when it can read nothing at all.
MADE_UP: Gauges = {
    "buffer_minutes": 60,
    "plans_created": 42,
    "plans_committed": 18,
    "qa_pass_rate": 0.94,
    "fallback_rate": 0.12,
    "curator_actions": 3,
    "stream_disruptions": 0,
}


def parse(payload: str) -> Gauges:
    """The gauges in the JSON text ``payload``; ValueError when one is missing or is no number."""
    data = json.loads(payload)
    if not isinstance(data, dict):
        raise ValueError("a metric sample is not a JSON object")
    gauges: Gauges = {}
    for name in NAMES:
        value = data.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"metric sample: {name} is not a number")
        gauges[name] = value
    return gauges


def dump(gauges: Gauges) -> str:
    """The JSON text that state.db keeps."""
    return json.dumps(gauges, separators=(",", ":"))


def next_sample(rng: Random, commits: int, last_fallback: float, faults: Faults) -> Gauges:
    """The sample of a pipeline that has made ``commits`` commits so far.

    ``last_fallback`` is the fallback rate of the sample before this one.
    With nothing checked yet the QA rate is 0.0, as on the real station.
    """
    qa = round(rng.uniform(0.92, 0.97), 4) if commits else 0.0
    fallback = round(rng.uniform(0.08, 0.12), 4)
    if faults.fallback_step is not None:
        fallback = min(1.0, round(last_fallback + faults.fallback_step, 6))
    return {
        "buffer_minutes": rng.randint(114, 126) if faults.buffer is None else faults.buffer,
        "plans_created": commits,
        "plans_committed": commits * 3 // 4,
        "qa_pass_rate": qa if faults.qa is None else faults.qa,
        "fallback_rate": fallback,
        "curator_actions": rng.randint(0, 5),
        "stream_disruptions": 0,
    }
