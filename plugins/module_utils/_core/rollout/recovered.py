# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a node is healthy after it was changed a moment ago.

The pipeline writes a metric sample in each commit window only. Until the first one after the change, its
gauges and its silence speak of what ran before: they are waited for, and pass in the end with a warning.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

from ..findings import Thresholds
from ..health import Health, judge, summary
from ..node import Node
from ..outcome import Outcome
from ..sample import Questions, Scope, take_sample

_LOOK_EVERY = 1.0
# What is concluded from the newest metric sample alone.
_OF_SAMPLE = (
    "BUFFER_",
    "FALLBACK_",
    "PIPELINE_STALE",
    "QA_",
    "STREAM_DISRUPTIONS",
)


def wait(
    node: Node,
    api: Questions,
    limits: Thresholds,
    scope: Scope,
    timeout: float,
    wait_timeout: float,
    changed_at: datetime | None,
    outcome: Outcome,
) -> Health:
    """Look until the node is healthy or ``wait_timeout`` seconds are over; return what was seen last.

    ``changed_at`` is when it was changed, ``None`` when it was not. ``timeout`` is for the database.
    """
    deadline = time.monotonic() + wait_timeout
    while True:
        health = judge(take_sample(node, api, timeout, "light", scope), limits)
        over = time.monotonic() >= deadline
        if health.healthy:
            return health
        if over:
            return _without_old_news(health, limits, changed_at, outcome)
        time.sleep(_LOOK_EVERY)


def _without_old_news(
    health: Health, limits: Thresholds, changed_at: datetime | None, outcome: Outcome
) -> Health:
    if changed_at is None or health.sampled_at is None or health.sampled_at >= changed_at:
        return health
    old = [one for one in health.findings if one.code.startswith(_OF_SAMPLE)]
    rest = tuple(one for one in health.findings if one not in old)
    if any(one.reaches(limits.unhealthy_from) for one in rest):
        return health
    outcome.warnings.append(
        "the pipeline has written no metric sample since the change; what the one before it says does not"
        f" count: {summary(old, limits.unhealthy_from)}"
    )
    return replace(health, healthy=True, findings=rest)
