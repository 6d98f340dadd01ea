# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Soaks as tests want them: samples of a healthy node at each tick, and what is wrong in some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_answers import Status
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.probes import Fault, Probe
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Sample
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import judge, observe, request, store
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak.limits import Limits, limits_of
from ansible_collections.vvtv.runbook.plugins.module_utils._core.state_history import Lease, MetricSample
from tests.unit.core import sample_maker

START = sample_maker.NOW
ROLLOUT = "20261124T090000Z"
Change = Callable[[Sample], Sample]


def limits(**wanted: Any) -> Limits:
    """The default limits with some changed."""
    return limits_of(wanted)


def asked(wanted: Limits | None = None, **plan: Any) -> request.Request:
    """A soak of ten ticks, a minute apart, unless told otherwise."""
    values = {"hours": 9 / 60, "interval": 60.0, "limits": wanted or Limits(), **plan}
    node = Node(*(Path("/srv/vvtv") / name for name in ("", "db", "card", "backups", "keys")))
    return request.Request(ROLLOUT, 1, START, START, "me@here", node, request.Plan(**values))


def plan(**wanted: Any) -> request.Plan:
    """A soak of six minutes of a station that does not answer."""
    return request.Plan(**{"hours": 0.1, "interval": 1.0, "api_url": "http://127.0.0.1:9", **wanted})


def at(tick: float, interval: float = 60.0) -> datetime:
    """The instant of a tick."""
    return START + timedelta(seconds=tick * interval)


def sample_at(instant: datetime, **gauges: float) -> Sample:
    """A healthy sample whose newest metric sample was written 20 s before, unless gauges say otherwise."""
    good = sample_maker.gauges(**gauges)
    rows = tuple(
        MetricSample(instant - timedelta(seconds=20 + 60 * back), good if back == 0 else sample_maker.GOOD)
        for back in range(2)
    )
    made = sample_maker.make(
        metrics=dict(good),
        samples=_seen(sample_maker.samples(rows), instant),
        lease=Probe(instant, 0.01, Lease("orchestrator-1", instant + timedelta(seconds=20))),
        later=_seen(sample_maker.samples(rows[:1], None), instant),
    )
    return replace(
        made, at=instant, until=instant, status=Probe(instant, 0.01, Status("RUNNING", 60, instant))
    )


def _seen(probe: Probe[Any], instant: datetime) -> Probe[Any]:
    return replace(probe, at=instant)


def failing(part: str, reason: str = "refused", status: int | None = None) -> Change:
    """A change that lets a part of a sample be an error."""

    def change(sample: Sample) -> Sample:
        error = Fault(reason, f"{part} went wrong", status)
        return replace(sample, **{part: replace(getattr(sample, part), value=None, error=error)})

    return change


def down(sample: Sample) -> Sample:
    """Nobody answers."""
    for part in ("status", "metrics", "alerts"):
        sample = failing(part)(sample)
    return sample


def busy(sample: Sample) -> Sample:
    """state.db was locked: we could not read it, and the API made its gauges up."""
    made_up = sample_maker.seen({**sample_maker.GOOD, **_MADE_UP})
    return replace(
        failing("later", "not_asked")(failing("state", "busy")(sample)),
        metrics=replace(made_up, at=sample.at),
    )


_MADE_UP = {
    "buffer_minutes": 60.0, "plans_created": 42.0, "plans_committed": 18.0, "qa_pass_rate": 0.94,
    "fallback_rate": 0.12, "curator_actions": 3.0, "stream_disruptions": 0.0,
}  # fmt: skip


def gauges(**wanted: float) -> Change:
    """A change that lets the newest metric sample have these gauges."""
    return lambda sample: sample_at(sample.at, **wanted)


def emergency(sample: Sample) -> Sample:
    """Emergency mode is on."""
    return replace(sample, status=replace(sample.status, value=Status("EMERGENCY", 60, sample.at)))


def samples(
    wanted: request.Request, changes: Mapping[int, Change] | None = None, missing: Any = ()
) -> dict[int, Sample]:
    """The samples of a soak by their ticks."""
    found = {}
    for tick in range(wanted.plan.last_tick + 1):
        if tick not in missing:
            made = sample_at(at(tick, wanted.plan.interval))
            found[tick] = (changes or {}).get(tick, lambda one: one)(made)
    return found


OVER = store.Ended(at(9), store.TIME_OVER, "its time was over", "sampler 1")


def case(
    wanted: request.Request,
    changes: Mapping[int, Change] | None = None,
    missing: Any = (),
    **more: Any,
) -> judge.Case:
    """A soak that ended by itself, unless told otherwise."""
    seen = observe.Observations(wanted.plan.thresholds)
    for tick, sample in samples(wanted, changes, missing).items():
        seen.take(tick, sample)
    over = replace(OVER, at=wanted.window[1])
    return judge.Case(wanted, seen, **{"now": wanted.window[1], "over": over, **more})


def verdict(
    wanted: request.Request,
    changes: Mapping[int, Change] | None = None,
    missing: Any = (),
    **more: Any,
) -> judge.Verdict:
    """The verdict over it."""
    return judge.judge(case(wanted, changes, missing, **more))


def codes(found: judge.Verdict) -> list[str]:
    """Why it is no PASS."""
    return [one.code for one in found.reasons]
