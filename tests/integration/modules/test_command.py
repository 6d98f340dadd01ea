# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's command beside the modules: for the same node both say and do the same."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import stock
from tests.integration.helpers import good, module, sqlite3, tree
from tests.integration.stations import SECRET, TOKEN, started, state_of
from tests.simulator import fleet, owner_card
from tests.unit.core.command.installed import Done, Installed, install

# In one journal mode: how a database is read in either is for the tests of engine, health and backups.
JOURNALS = ["delete"]

OTHER = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
KNOWN = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": SECRET}
_ONLY_A_MODULES = {"invocation", "failed", "msg", "deprecations"}
# What Ansible adds to a result that holds a path.
_OF_A_PATH = {"gid", "group", "mode", "owner", "secontext", "size", "state", "uid"}

# What two runs that do the same differ in.
_FORMS = (
    (re.compile(r"\d{8}T\d{6}Z(-\d+)?"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "INSTANT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DAY"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"age1[a-z0-9]{58}"), "RECIPIENT"),
    (re.compile(r'"latency_ms":[0-9.]+'), "LATENCY"),
)
_VARIES = {"size", "waited", "age_days", "latency_ms", "seconds_left"}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The command as the role installs it."""
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node whose station was stopped; it is only copied."""
    root = tmp_path_factory.mktemp("stopped") / "node"
    with fleet.start_node(root, size="300K") as node:
        node.wait_commits(3)
    return root


@pytest.fixture
def two(stopped: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two nodes that are equal: one for the module, one for the command."""
    for name in ("module", "command"):
        shutil.copytree(stopped, tmp_path / name / "node", ignore=shutil.ignore_patterns("sim"))
    return tmp_path / "module" / "node", tmp_path / "command" / "node"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[fleet.Node]:
    """A running station with a token and a secret of its own."""
    with started(tmp_path / "node") as node:
        yield node


def run(command: Installed, root: Path, *words: Any, **env: str) -> Done:
    """Run a verb on a node, for a program."""
    empty = command.folder / "empty.yml"
    empty.write_text("")
    empty.chmod(0o644)
    return command(*words, "--json", "--root", root, "--config", empty, env=env)


def plain(value: Any, root: Path) -> Any:
    """A result without what differs between two runs that do the same."""
    if isinstance(value, dict):
        return {
            plain(key, root): "..." if key in _VARIES and item is not None else plain(item, root)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [plain(item, root) for item in value]
    if isinstance(value, str):
        value = value.replace(str(root), "ROOT")
        for form, name in _FORMS:
            value = form.sub(name, value)
    return value


def same(told: Done, result: dict[str, Any], roots: tuple[Path, Path]) -> dict[str, Any]:
    """Make sure that the command told what the module did; return the command's result."""
    found = told.json()
    warnings, wanted = found.pop("warnings", []), result.pop("warnings")
    assert len(warnings) == len(wanted)
    for warning, shown in zip(warnings, wanted):
        assert str(plain(warning, roots[1])) in str(plain(shown, roots[0]))
    dropped = _ONLY_A_MODULES | (_OF_A_PATH if "path" in result else set())
    known = {name: value for name, value in result.items() if name not in dropped}
    if result.get("failed"):
        assert told.code != 0
        known["error"] = {**result["error"], "msg": result["msg"]}
        known.pop("changed", None)
    else:
        assert told.code == 0, told
    assert plain(found, roots[1]) == plain(known, roots[0])
    return found


# --- what changes nothing: on one and the same node ---

LOOKS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "backups": (["backups"], "backup_info", {}),
    "keys": (["keys"], "backup_key_info", {}),
    "verify": (["verify"], "backup_verify", {}),
    "verify all": (
        ["verify", "all", "--integrity", "full"],
        "backup_verify",
        {"id": "all", "integrity": "full"},
    ),
    "verify none": (["verify", "20200101T000000Z"], "backup_verify", {"id": "20200101T000000Z"}),
    "verify nonsense": (["verify", "x"], "backup_verify", {"id": "x"}),
    "audit": (["audit", "--window-hours", "9000"], "audit_event_info", {"window_hours": 9000}),
    "audit of all": (
        ["audit", "--all", "--limit", "3", "--details", "--modules", "p*", "--modules", "q*"],
        "audit_event_info",
        {"failures_only": False, "limit": 3, "details": True, "modules": ["p*", "q*"]},
    ),
    "slo": (["slo", "--target", "0.9", "--max-gap", "3"], "slo_info", {"target": 0.9, "max_gap": 3}),
    "slo enforced": (["slo", "--enforce"], "slo_info", {"fail_below": True}),
}
FORETOLD: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "backup": (["backup", "--force"], "backup", {"force": True}),
    "backup plain": (["backup", "--plain", "--name", "x"], "backup", {"encrypt": False, "name": "x"}),
    "backup for others": (
        ["backup", "--recovery-recipients", OTHER, "--compression", "gzip"],
        "backup",
        {"recovery_recipients": [OTHER], "compression": "gzip"},
    ),
    "restore": (["restore", "latest"], "backup_restore", {"id": "latest"}),
    "key-ensure": (["key-ensure"], "backup_key", {}),
    "key-ensure old": (["key-ensure", "--max-age", "0.0000001"], "backup_key", {"max_age": 1e-7}),
    "key-rotate": (["key-rotate", "--rekey"], "backup_key", {"state": "rotated", "rekey": True}),
    "key-prune": (["key-prune", "--retention", "0"], "backup_key", {"state": "pruned", "retention": 0}),
}


def prepared(root: Path) -> None:
    """Give a node two keys, two backups, and something new since."""
    good(module("backup_key", root=root))
    good(module("backup", root=root))
    good(module("backup_key", root=root, state="rotated"))
    good(module("backup", root=root, force=True))
    sqlite3(root / "runtime/state/vvtv.db", "DELETE FROM plans")


@pytest.fixture(scope="module")
def full(stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node with keys and backups, which nobody changes."""
    root = tmp_path_factory.mktemp("full") / "node"
    shutil.copytree(stopped, root, ignore=shutil.ignore_patterns("sim"))
    prepared(root)
    return root


@pytest.mark.parametrize("name", [*LOOKS, *FORETOLD])
def test_a_look_says_what_the_module_says(command: Installed, full: Path, name: str) -> None:
    words, called, params = {**LOOKS, **FORETOLD}[name]
    before = tree(full)
    foretold = name in FORETOLD
    result = module(called, check=foretold, root=full, **params)
    told = run(command, full, *words, *(["--check"] if foretold else []))
    same(told, result, (full, full))
    assert tree(full) == before


# --- what changes: on two equal nodes ---

CHANGES: dict[str, list[tuple[list[str], str, dict[str, Any]]]] = {
    "plain backups": [
        (["backup", "--plain"], "backup", {"encrypt": False}),
        (["backup", "--plain"], "backup", {"encrypt": False}),
        (["backup", "--plain", "--method", "vacuum", "--force"], "backup",
         {"encrypt": False, "method": "vacuum", "force": True}),
    ],
    "a backup without a key": [(["backup"], "backup", {})],
    "keys and archives": [
        (["key-ensure"], "backup_key", {}),
        (["key-ensure"], "backup_key", {}),
        (["backup", "--recovery-recipients", OTHER], "backup", {"recovery_recipients": [OTHER]}),
        (["key-rotate", "--rewrap", "--recovery-recipients", OTHER], "backup_key",
         {"state": "rotated", "rewrap": True, "recovery_recipients": [OTHER]}),
        (["key-prune", "--retention", "0"], "backup_key", {"state": "pruned", "retention": 0}),
        (["verify"], "backup_verify", {}),
        (["keys"], "backup_key_info", {}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_the_modules(command: Installed, two: tuple[Path, Path], name: str) -> None:
    for words, called, params in CHANGES[name]:
        same(run(command, two[1], *words), module(called, root=two[0], **params), two)
    assert plain(sorted(tree(two[0])), two[0]) == plain(sorted(tree(two[1])), two[1])


def test_a_restore_is_the_modules(command: Installed, two: tuple[Path, Path]) -> None:
    rows = []
    for root in two:
        good(module("backup_key", root=root))
        good(module("backup", root=root))
        rows.append(sqlite3(root / "runtime/state/vvtv.db", "SELECT count(*) FROM plans"))
        sqlite3(root / "runtime/state/vvtv.db", "DELETE FROM plans")
    told = run(command, two[1], "restore", "latest", "--yes")
    found = same(told, module("backup_restore", root=two[0], id="latest"), two)
    assert found["changed"]
    assert [sqlite3(root / "runtime/state/vvtv.db", "SELECT count(*) FROM plans") for root in two] == rows


def test_a_module_and_the_command_see_each_others_work(
    command: Installed, two: tuple[Path, Path], tmp_path: Path
) -> None:
    root = two[0]
    assert run(command, root, "key-ensure").json()["changed"]
    assert not good(module("backup_key", root=root))["changed"]
    made = run(command, root, "backup").json()
    assert made["changed"]
    assert not good(module("backup", root=root))["changed"]
    assert good(module("backup_verify", root=root))["backup"]["id"] == made["backup"]["id"]
    (archive,) = Path(made["backup"]["path"]).glob("*.age")
    stock.unpack(archive, root / "runtime/keys/current.key", tmp_path / "by-hand")


# --- with a running station ---


def test_health_is_the_modules(command: Installed, station: fleet.Node) -> None:
    station.faults(pipeline="quiet")
    params = {"root": station.root, "api_url": station.url}
    for fail_on in ("critical", "never"):
        told = run(command, station.root, "health", "--api-url", station.url, "--fail-on", fail_on)
        result = module("node_health", **params, fail_on=fail_on)
        same(told, result, (station.root, station.root))
    station.faults(buffer=5)
    station.wait_commits(25)  # the simulator samples at every 20th
    station.faults(pipeline="quiet")
    told = run(command, station.root, "health", "--api-url", station.url)
    same(told, module("node_health", **params), (station.root, station.root))
    assert told.code == 4


def test_a_threshold_of_the_configuration_is_the_modules_option(
    command: Installed, station: fleet.Node, tmp_path: Path
) -> None:
    config = tmp_path / "runbook.yml"
    config.write_text(
        json.dumps(
            {
                "root": str(station.root),
                "api_url": station.url,
                "thresholds": {"buffer_critical": 500, "buffer_target": 600, "fallback_growth_samples": 20},
            }
        )
    )
    config.chmod(0o644)
    told = command("health", "--json", "--config", config)
    assert told.code == 4
    result = module(
        "node_health", root=station.root, api_url=station.url, buffer_critical=500, buffer_target=600
    )
    codes = [[one["code"] for one in found["health"]["findings"]] for found in (told.json(), result)]
    assert "BUFFER_CRITICAL" in codes[0]
    assert codes[0] == codes[1]


def test_a_sample_is_the_modules(command: Installed, station: fleet.Node) -> None:
    station.faults(pipeline="quiet")
    roots = (station.root, station.root)
    for check in (True, False):
        result = module("slo_sample", check=check, root=station.root, api_url=station.url, interval=30)
        words = ["slo-sample", "--api-url", station.url, "--interval", "30", *(["--check"] if check else [])]
        same(run(command, station.root, *words), result, roots)
    lines = [
        line
        for path in (station.root / "runtime/slo").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 2


def test_emergency_mode_is_the_modules(command: Installed, station: fleet.Node) -> None:
    params = {"root": station.root, "api_url": station.url, "control_token": TOKEN, "control_secret": SECRET}
    roots = (station.root, station.root)
    for state in ("on", "off"):
        wanted = [module("emergency_mode", **params, state=state, check=True)]
        words = [f"emergency-{state}", "--api-url", station.url]
        same(run(command, station.root, *words, "--check", **KNOWN), wanted[0], roots)
        changed = good(module("emergency_mode", **params, state=state))
        other = "off" if state == "on" else "on"
        good(module("emergency_mode", **params, state=other))
        told = run(command, station.root, *words, **KNOWN)
        same(told, changed, roots)
        assert state_of(station) == state
        shown = run(command, station.root, "emergency", "--api-url", station.url).json()
        assert shown["emergency"] == (state == "on")
        same(
            run(command, station.root, *words, **KNOWN),
            module("emergency_mode", **params, state=state),
            roots,
        )


def test_without_a_secret_the_module_and_the_command_say_the_same(
    command: Installed, station: fleet.Node
) -> None:
    for env, params in (({}, {}), ({"VVTV_CONTROL_TOKEN": TOKEN}, {"control_token": TOKEN})):
        told = run(command, station.root, "emergency-on", "--api-url", station.url, **env)
        result = module("emergency_mode", root=station.root, api_url=station.url, state="on", **params)
        same(told, result, (station.root, station.root))
        assert told.code == 2
    assert state_of(station) == "off"


def test_an_owner_card_is_the_modules(command: Installed, station: fleet.Node, tmp_path: Path) -> None:
    params = {"root": station.root, "api_url": station.url, "control_token": TOKEN, "control_secret": SECRET}
    roots, words = (station.root, station.root), ["reload-owner-card", "--api-url", station.url]
    # In place: the module has no way of its own for that, but this comes to the same.
    result = module("owner_card", **params, src=station.owner_card, reload="always")
    same(run(command, station.root, *words, **KNOWN), result, roots)

    card = tmp_path / "card.yaml"
    for number, check in enumerate((True, False)):
        card.write_text(owner_card.SAMPLE + f"# {number}\n")
        result = module("owner_card", **params, src=card, check=True)
        same(run(command, station.root, *words, card, "--check", **KNOWN), result, roots)
        if not check:
            assert run(command, station.root, *words, card, **KNOWN).json()["changed"]
            assert station.owner_card.read_bytes() == card.read_bytes()
            assert not good(module("owner_card", **params, src=card))["changed"]
    card.write_text("no: card\n")
    told = run(command, station.root, *words, card, **KNOWN)
    same(told, module("owner_card", **params, src=card), roots)
    assert told.code == 2


def test_a_fault_of_the_api_is_told_as_the_module_tells_it(command: Installed, station: fleet.Node) -> None:
    wrong = {"VVTV_CONTROL_TOKEN": TOKEN, "VVTV_CONTROL_SECRET": "another"}
    told = run(command, station.root, "emergency-on", "--api-url", station.url, **wrong)
    params = {"control_token": TOKEN, "control_secret": "another"}
    result = module("emergency_mode", root=station.root, api_url=station.url, state="on", **params)
    same(told, result, (station.root, station.root))
    assert told.code == 1
    assert "another" not in told.out.replace("another place", "")
