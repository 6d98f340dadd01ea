# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release does to a station, its archive, and restarts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator import auth, cli, database, fleet, memory, process, releases
from tests.simulator.control import wait_for
from tests.simulator.layout import layout
from tests.simulator.release import Phase, Release, ReleaseError, parse_release, read_release

from .http_helper import call, codes_of, gauges_of, post


def install(root: Path, release: Release) -> None:
    """As an operator would by hand: unpack it, then let ``current`` lead there."""
    archive = releases.make(root / "release.tar.gz", release)
    target = root / "releases" / release.version
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    (root / "current").unlink(missing_ok=True)
    (root / "current").symlink_to(target.relative_to(root))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[fleet.Node]:
    """A node of this test alone, whose samples come with every fifth commit."""
    with fleet.start_node(tmp_path, size="256K", commit_interval=0.02, sample_every=5) as node:
        yield node


def restart(node: fleet.Node) -> None:
    done = subprocess.run(
        fleet.restart_command(node.root), cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_restart_keeps_port_and_options_and_clears_the_emergency(own: fleet.Node) -> None:
    pid, port, before = own.pid, own.port, process.command_line(own.pid)
    post(own, "/v1/control/emergency-mode")
    assert call(own, "/v1/status").json["state"] == "EMERGENCY"
    restart(own)
    assert own.pid != pid
    state = wait_for(own.root, lambda state: state.ready)
    assert (state.pid, state.port, state.release) == (own.pid, port, "")
    assert call(own, "/v1/status").json["state"] == "RUNNING"
    after = [str(port) if word == "0" else word for word in before]  # it had chosen its port
    assert list(process.command_line(own.pid)) == after
    # Its pipeline goes on with the same database.
    own.wait_commits(6)
    wait_for(own.root, lambda state: state.samples >= 1)
    own.stop()
    assert not own.alive()
    database.check_invariant(own.state_db)


def test_a_restart_keeps_credentials_and_faults_by_hand(tmp_path: Path) -> None:
    mine = auth.Credentials("a token", "a secret")
    with fleet.start_node(tmp_path, size="256K", credentials=mine) as node:
        node.faults(buffer=7)
        restart(node)
        wait_for(node.root, lambda state: state.faults_seen == 2)
        assert gauges_of(node)["vvtv_buffer_minutes"] == 7
        assert post(node, "/v1/control/curator-mode").status == 200
    kept = layout(tmp_path).memory
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "a secret" not in kept.read_text()


def test_a_restart_starts_a_dead_node_and_needs_one_that_was_started(own: fleet.Node, tmp_path: Path) -> None:
    own.kill()
    assert not own.alive()
    restart(own)
    assert wait_for(own.root, lambda state: state.ready).port == own.port
    with pytest.raises(fleet.StartError, match="was ever started"):
        fleet.restart_node(tmp_path / "elsewhere")


def test_up_takes_what_it_is_not_told_from_the_run_before(own: fleet.Node) -> None:
    own.stop()
    try:
        assert cli.main(["up", str(own.root), "--sample-every", "7"]) == 0
        start = memory.recall(own.root)
    finally:
        own.stop()
    assert start is not None
    assert (start.port, start.commit_interval, start.sample_every) == (own.port, 0.02, 7)


def test_a_release_gets_sick_by_itself_and_again_after_each_restart(own: fleet.Node) -> None:
    install(own.root, Release("2.1.0", (Phase(0.5, {"qa": 0.4}), Phase(1, {"buffer": 5}))))
    for _unused in range(2):
        restart(own)
        well = wait_for(own.root, lambda state: state.ready)
        assert (well.release, well.phase) == ("2.1.0", 0)
        sick = wait_for(own.root, lambda state: state.phase == 1)
        assert sick.faults_seen == 1
        # The takeover of a phase ends with a sample, as that of faults by hand does.
        assert gauges_of(own)["vvtv_qa_pass_rate"] == 0.4
        wait_for(own.root, lambda state: state.phase == 2)
        assert codes_of(own) == {"BUFFER_CRITICAL"}
        assert gauges_of(own)["vvtv_qa_pass_rate"] != 0.4


def test_the_former_release_is_well_again(own: fleet.Node) -> None:
    install(own.root, Release("1.0.0"))
    install(own.root, Release("1.1.0", (Phase(0, {"qa": 0.4}),)))
    restart(own)
    wait_for(own.root, lambda state: state.phase == 1 and state.ready)
    assert codes_of(own) == {"QA_PASS_RATE_LOW"}
    install(own.root, Release("1.0.0"))
    restart(own)
    state = wait_for(own.root, lambda state: state.samples >= 1)
    assert (state.release, state.phase, codes_of(own)) == ("1.0.0", 0, set())


def test_a_fault_by_hand_wins_over_the_release(own: fleet.Node) -> None:
    install(own.root, Release("1.1.0", (Phase(0, {"qa": 0.4, "buffer": 5}),)))
    restart(own)
    wait_for(own.root, lambda state: state.phase == 1 and state.ready)
    own.faults(qa=0.95)
    assert codes_of(own) == {"BUFFER_CRITICAL"}
    own.faults(http_500="/metrics")
    assert call(own, "/metrics").status == 500
    assert codes_of(own) == {"BUFFER_CRITICAL", "QA_PASS_RATE_LOW"}
    own.faults()
    assert gauges_of(own)["vvtv_qa_pass_rate"] == 0.4


def test_a_qa_fault_is_in_a_sample_at_once(tmp_path: Path) -> None:
    with fleet.start_node(tmp_path, size="256K", commit_interval=60, sample_every=1000) as node:
        for rate in (0.4, 0.5):
            samples = node.state.samples
            node.faults(qa=rate)
            assert node.state.samples == samples + 1
            assert gauges_of(node)["vvtv_qa_pass_rate"] == rate


@pytest.mark.parametrize("ready_after", [1.0, None])
def test_the_api_refuses_callers_until_it_is_ready(own: fleet.Node, ready_after: float | None) -> None:
    install(own.root, Release("1.1.0", ready_after=ready_after))
    restart(own)
    with pytest.raises(ConnectionRefusedError):
        call(own, "/v1/status")
    state = own.wait_commits(2)
    assert (state.release, state.port) == ("1.1.0", own.port)
    if ready_after is None:
        assert not own.wait_commits(2).ready
    else:
        wait_for(own.root, lambda state: state.ready)
        assert call(own, "/v1/status").status == 200
    assert fleet.stop_node(own.root)


def test_a_crash_of_a_phase_happens_each_time(own: fleet.Node) -> None:
    install(own.root, Release("1.1.0", (Phase(0.3, {"crash": "now"}),)))
    for _unused in range(2):
        child = fleet.restart_node(own.root)
        assert child._child.wait(10) == 70


def test_a_broken_release_does_not_start(own: fleet.Node, capsys: pytest.CaptureFixture[str]) -> None:
    archive = releases.does_not_start(own.root / "bad.tar", "1.1.0")
    with tarfile.open(archive) as packed:
        packed.extractall(own.root / "current", filter="data")
    assert cli.main(["restart", "--root", str(own.root)]) == 1
    assert "station.json: not JSON" in capsys.readouterr().err
    assert not own.alive()


def test_an_archive_is_always_the_same(tmp_path: Path) -> None:
    made = {
        "a.tar.gz": releases.good(tmp_path / "a.tar.gz", "2.0.0"),
        "b.tar.gz": releases.good(tmp_path / "b.tar.gz", "2.0.0"),
        "c.tar.gz": releases.sick(tmp_path / "c.tar.gz", "2.0.0", "qa", after=5),
        "d.tar": releases.good(tmp_path / "d.tar", "2.0.0"),
    }
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in made.items()}
    assert digests["a.tar.gz"] == digests["b.tar.gz"]
    assert len(set(digests.values())) == 3
    listing = subprocess.run(["tar", "tf", made["d.tar"]], capture_output=True, text=True, check=True).stdout
    assert {"station.json", "VERSION", "bin/vvtv-station"} <= set(listing.split())


@pytest.mark.parametrize("sickness", releases.SICKNESSES)
def test_every_sickness_is_one_that_the_station_knows(tmp_path: Path, sickness: str) -> None:
    with tarfile.open(releases.sick(tmp_path / "a.tar", "1.0.0", sickness, after=2)) as packed:
        packed.extractall(tmp_path / "current", filter="data")
    (phase,) = read_release(tmp_path).phases
    assert (phase.after, phase.faults) == (2, releases.SICKNESSES[sickness])


def test_make_release_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep" / "a.tar"
    args = ["make-release", str(path), "--version", "2.1.0"]
    assert cli.main([*args, "--phase", "after=5 qa=0.4", "--phase", "after=9", "--ready-after", "never"]) == 0
    with tarfile.open(path) as packed:
        packed.extractall(tmp_path / "current", filter="data")
    release = read_release(tmp_path)
    assert release == Release("2.1.0", (Phase(5, {"qa": "0.4"}), Phase(9, {})), None)
    assert [release.phase(at) for at in (0, 5, 8.9, 9)] == [0, 1, 1, 2]
    assert cli.main([*args, "--phase", "after=5 quality=0.4"]) == 1
    assert "quality" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*args, "--phase", "qa=0.4"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not JSON"),
        ("[]", "version"),
        ('{"version": 2}', "version"),
        ('{"version": ""}', "version"),
        ('{"version": "1", "more": 1}', "keys"),
        ('{"version": "1", "phases": {}}', "phases"),
        ('{"version": "1", "phases": [{"after": 1}]}', "phases"),
        ('{"version": "1", "phases": [{"after": -1, "faults": {}}]}', "after"),
        ('{"version": "1", "phases": [{"after": 1, "faults": {"qa": 2}}]}', "qa"),
        (
            '{"version": "1", "phases": [{"after": 2, "faults": {}}, {"after": 1, "faults": {}}]}',
            "order",
        ),
        ('{"version": "1", "ready_after": true}', "ready_after"),
        ('{"version": "1", "ready_after": 1e999}', "ready_after"),
        ('{"version": "1", "ready_after": NaN}', "ready_after"),
        (f'{{"version": "1", "ready_after": {10**400}}}', "ready_after"),
    ],
)
def test_bad_releases_are_named(text: str, named: str) -> None:
    with pytest.raises(ReleaseError, match=named):
        parse_release(text)


def test_a_huge_station_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    layout(tmp_path).release.write_bytes(b" " * (64 * 1024 + 1))
    with pytest.raises(ReleaseError, match="more than"):
        read_release(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["version", "phases", "ready_after"]), JSON), st.text(max_size=40))
def test_hostile_releases(raw: dict[str, object], text: str) -> None:
    for hostile in (json.dumps(raw), text):
        try:
            release = parse_release(hostile)
        except ReleaseError as error:
            assert str(error)
        else:
            assert parse_release(release.text()) == release
