# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a node to become healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import health_check
from ansible_collections.vvtv.runbook.plugins.module_utils._core.control_api import Api
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import BadInput
from ansible_collections.vvtv.runbook.plugins.module_utils._core.findings import Thresholds
from ansible_collections.vvtv.runbook.plugins.module_utils._core.health_check import Request, Unhealthy, check
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node
from ansible_collections.vvtv.runbook.plugins.module_utils._core.sample import Sample

from .sample_maker import gauges, make

HEALTHY, SICK = make(), make(gauges(buffer_minutes=5))
NEVER = Thresholds(fail_on="never")


class Clock:
    """A clock that only sleeping moves, and looks that take a quarter of a second each."""

    def __init__(self, *samples: Sample) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._samples = list(samples)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def look(self, *_arguments: Any) -> Sample:
        self.now += 0.25
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]


def wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *samples: Sample, **wishes: Any
) -> tuple[dict[str, Any], Clock]:
    """Check a node that is as ``samples`` say, one look after the other; return the facts."""
    clock = Clock(*samples)
    monkeypatch.setattr(health_check, "time", clock)
    monkeypatch.setattr(health_check, "take_sample", clock.look)
    return check(Node.at(tmp_path), Api(), Request(**wishes)).facts, clock


def test_a_healthy_node_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts, clock = wait(monkeypatch, tmp_path, HEALTHY, wait_timeout=60)
    assert facts["health"]["healthy"]
    assert (facts["attempts"], facts["waited"], clock.slept) == (1, 0.25, [])


def test_waiting_ends_when_the_node_is_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts, clock = wait(monkeypatch, tmp_path, SICK, SICK, HEALTHY, wait_timeout=60, wait_interval=2)
    assert facts["health"]["healthy"]
    assert (facts["attempts"], facts["waited"], clock.slept) == (3, 4.75, [2, 2])


def test_the_last_look_is_at_the_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        Unhealthy, match="not healthy after 3 looks in 5 s: critical BUFFER_CRITICAL"
    ) as caught:
        wait(monkeypatch, tmp_path, SICK, wait_timeout=5, wait_interval=3)
    assert caught.value.facts["attempts"] == 3
    assert caught.value.facts["waited"] == 5.25
    assert not caught.value.facts["health"]["healthy"]
    assert str(caught.value).startswith(f"{tmp_path}: the node is not healthy")
    assert caught.value.result()["code"] == "unhealthy"


def test_without_a_wait_a_sick_node_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Unhealthy, match=r"the node is not healthy: critical") as caught:
        wait(monkeypatch, tmp_path, SICK)
    assert caught.value.facts["attempts"] == 1


def test_never_waits_too_and_does_not_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts, _clock = wait(monkeypatch, tmp_path, SICK, thresholds=NEVER)
    assert not facts["health"]["healthy"]
    facts, _clock = wait(monkeypatch, tmp_path, SICK, HEALTHY, thresholds=NEVER, wait_timeout=9)
    assert facts["health"]["healthy"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wait_timeout", -1),
        ("wait_timeout", float("nan")),
        ("wait_timeout", 1e9),
        ("wait_interval", 0),
        ("wait_interval", float("inf")),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=name):
        Request(**{name: value})
