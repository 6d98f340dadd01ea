# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release for twenty nodes over SSH, in waves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import check
from tests.fleet import fleet as fleets
from tests.integration.controllers import done
from tests.integration.helpers import Play
from tests.integration.rollout_records import CALM_SOAK, FORMER, ROLLOUT, TWENTY_SECONDS
from tests.simulator.release import Release

from .rollout_fleet import RolloutFleet, rollouts

#: There a guard must outlast a wave of fifteen.
PATIENT = {"vvtv_guard_margin_minutes": 60, "vvtv_ready_secs": 120, **CALM_SOAK}
#: A station that is starved takes a sample when it can; the length of the soak is not what is tested.
CALM = ("--commit-interval", "1", "--sample-every", "2")


def play(field: RolloutFleet, name: str, **wanted: Any) -> Play:
    with field.playing(name, **wanted) as running:
        return running.finish(TWENTY_SECONDS)


@pytest.mark.thorough
def test_twenty_nodes_get_a_release_in_waves_and_give_it_back() -> None:
    check.require()
    with fleets.up(20, name="twenty", station_options=CALM) as fleet, rollouts(fleet) as field:
        assert set(field.running().values()) == {FORMER}
        done(play(field, "canary", vvtv_release=field.release(Release("2.0.0")), **PATIENT))
        assert field.running() == {**dict.fromkeys(field.hosts, FORMER), "node1": "2.0.0"}
        done(play(field, "promote"))
        store = field.store(ROLLOUT)
        assert [len(wave) for wave in store.plan["waves"]] == [1, 3, 15]
        assert store.last() == dict.fromkeys(field.hosts, "PROMOTED")
        assert set(field.running().values()) == {"2.0.0"}
        batches = [store.plan["canaries"], *store.plan["waves"]]
        begun = [[store.began(host) for host in batch] for batch in batches]
        assert all(max(one) < min(later) for one, later in zip(begun, begun[1:]))
        done(play(field, "rollback", vvtv_reason="twenty were enough"))
        assert set(store.last().values()) == {"ROLLED_BACK"}
        assert set(field.running().values()) == {FORMER}
