# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks health, slo and audit: tables over the fleet, and an honest exit code."""

from __future__ import annotations

import re

import pytest

from tests.integration.helpers import good, module, playbook

from .conftest import Fleet


def test_a_healthy_fleet_is_shown_and_ends_with_0(three: Fleet) -> None:
    run = playbook("health", three.inventory)
    assert run.code == 0, run.output
    for host in three.nodes:
        assert re.search(
            rf"^  {host} +ok +RUNNING +1[12]\d +0\.9\d* +0\.\d+ +- +-$", run.output, re.MULTILINE
        )
        assert run.count(host, "changed") == 0
        assert run.count(host, "ok") <= 6


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_each_sick_host_is_named_with_why_and_fails_alone(three: Fleet) -> None:
    three.nodes["node1"].faults(buffer=5)
    three.nodes["node3"].kill()
    run = playbook("health", three.inventory)
    assert run.code == 2
    assert [run.count(host, "failed") for host in three.nodes] == [1, 0, 1]
    assert "buffer is 5 min, below 20 (state.db and /metrics: 5 min)" in run.output
    assert re.search(r"^  node3 +critical +CONTROL_API_UNREACHABLE", run.output, re.MULTILINE)
    assert playbook("health", three.inventory, "-e", "vvtv_fail_on=never").code == 0


def test_a_host_without_news_is_never_healthy(three: Fleet) -> None:
    three.lose("node1")
    three.change("node2", vvtv_root="/no/such/node")
    run = playbook("health", three.inventory, "-e", "vvtv_fail_on=never")
    assert run.code == 2
    assert [run.count(host, "failed") for host in three.nodes] == [1, 1, 0]
    assert re.search(r"^  node1 +unreachable", run.output, re.MULTILINE)
    assert re.search(r"^  node2 +failed .*the node's root is no folder", run.output, re.MULTILINE)
    assert "none on the hosts that answered" in run.output


def test_thresholds_come_from_the_inventory(three: Fleet) -> None:
    three.change("node2", vvtv_buffer_target=500, vvtv_buffer_critical=400)
    run = playbook("health", three.inventory, "--limit", "node1,node2")
    assert (run.code, run.count("node1", "failed"), run.count("node2", "failed")) == (2, 0, 1)
    assert re.search(r"below 400", run.output)


# Over SSH make fleet has it.
@pytest.mark.thorough
def test_audit_shows_failures_by_domain(three: Fleet) -> None:
    three.nodes["node2"].faults(failing_domain="4@films.example.com")
    run = playbook("audit", three.inventory)
    assert run.code == 0
    assert run.output.count("DISCOVERY_FAILED_DOMAIN:films.example.com") >= 4
    assert re.search(r'^  node2 +ok +4 +0 .*"films.example.com": 4', run.output, re.MULTILINE)
    none = playbook("audit", three.inventory, "-e", '{"vvtv_audit_domains": ["other.*"]}')
    assert re.search(r"^  node2 +ok +0 +0", none.output, re.MULTILINE)
    three.nodes["node3"].kill()
    three.nodes["node3"].state_db.write_bytes(b"no database")
    broken = playbook("audit", three.inventory)
    assert (broken.code, broken.count("node3", "failed"), broken.count("node1", "failed")) == (2, 1, 0)


def test_slo_without_samples_is_no_data_and_never_good(three: Fleet) -> None:
    run = playbook("slo", three.inventory)
    assert run.code == 0
    assert len(re.findall(r"^  node\d +30d +no_data +- ", run.output, re.MULTILINE)) == 3
    enforced = playbook("slo", three.inventory, "-e", "vvtv_slo_enforce=true")
    assert [enforced.count(host, "failed") for host in three.nodes] == [1, 1, 1]


def test_slo_counts_an_outage(three: Fleet) -> None:
    for node in three.nodes.values():
        node.faults(**({"buffer": 5} if node is three.nodes["node2"] else {}))
        good(module("slo_sample", root=node.root, api_url=node.url))
    run = playbook("slo", three.inventory, "-e", "vvtv_slo_enforce=true")
    assert run.code == 2
    assert [run.count(host, "failed") for host in three.nodes] == [0, 1, 0]
    assert re.search(r"^  node2 +1h +missed +0 ", run.output, re.MULTILINE)
    assert re.search(r"^  node1 +1h +met +1 ", run.output, re.MULTILINE)
