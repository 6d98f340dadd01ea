# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a key file holds, it ends in a key or in our error."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import keyring
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.vvtv.runbook.plugins.module_utils._core.node import Node

from .age.helpers import ME
from .nodes import START

SECRET = ME.secret_text().encode()
lines = st.sampled_from(
    [
        SECRET,
        SECRET[:-1],
        SECRET.lower(),
        b"# vvtv.runbook key 20260131T235959Z",
        b"# vvtv.runbook key ../../etc/passwd",
        b"# vvtv.runbook key \xff\xfe",
        b"# created: 2026-01-31T23:59:59Z",
        b"# created: 0001-01-01T00:00:00+23:59",
        b"# created: 9999-12-31T23:59:59-23:59",
        b"# created: yesterday",
        b"# follows: " + str(ME.recipient).encode(),
        b"# follows: \0",
        b"",
        b"age-encryption.org/v1",
        b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 99",
        b"-----BEGIN AGE ENCRYPTED FILE-----",
    ]
) | st.binary(max_size=40)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with one archived file, to be filled, and its copy in use."""
    found = Node.at(tmp_path)
    (found.key_dir / "archive").mkdir(mode=0o700, parents=True)
    found.key_dir.chmod(0o700)
    return found


def put(node: Node, place: str, data: bytes) -> None:
    path = node.key_dir / place
    path.write_bytes(data)
    path.chmod(0o600)


def require_key_or_problem(node: Node, data: bytes) -> None:
    put(node, "archive/some.key", data)
    ring = keyring.read(node)
    assert len(ring.archived) + len(ring.problems) == 1
    for key in ring.archived:
        assert key.id and "/" not in key.id
        assert key.fingerprint
        assert key.result(START)["kind"] in ("age", "legacy")
        assert SECRET.decode() not in repr(ring)
    for problem in ring.problems:
        assert SECRET.decode() not in problem
    put(node, "current.key", data)
    try:
        current = keyring.read(node).current
    except RunbookError:
        assert ring.problems
    else:
        assert current and not ring.problems
    (node.key_dir / "current.key").unlink()


@same_folder
@given(st.binary(max_size=400))
@example(b"x" * 8)
@example(b"x" * 1023)
@example(b"x" * 1024)
def test_any_bytes(node: Node, data: bytes) -> None:
    require_key_or_problem(node, data)


@same_folder
@given(st.lists(lines, max_size=6).map(b"\n".join))
def test_any_lines(node: Node, data: bytes) -> None:
    require_key_or_problem(node, data)


@same_folder
@given(st.binary(max_size=300))
def test_any_bytes_beside_the_current_key(node: Node, data: bytes) -> None:
    put(node, "current.key", SECRET)
    put(node, "current.key.id", data)
    ring = keyring.read(node)
    assert ring.current and "/" not in ring.current.id


@pytest.mark.parametrize(
    ("named", "inside", "expected"),
    [
        ("20250101T000000Z", b"", "20250101T000000Z"),
        ("20250101T000000Z-7", b"", "20250101T000000Z-7"),
        ("my-own", b"", "my-own"),
        ("my-own", b"# vvtv.runbook key 20260131T235959Z\n", "20260131T235959Z"),
        ("my-own", b"# vvtv.runbook key a/b\n", "20260131T235959Z"),
        ("ä", b"", "20260131T235959Z"),
    ],
)
def test_the_id_is_what_the_file_says_then_its_name_then_its_time(
    node: Node, named: str, inside: bytes, expected: str
) -> None:
    put(node, f"archive/{named}.key", inside + SECRET + b"\n")
    os.utime(node.key_dir / f"archive/{named}.key", (START.timestamp(), START.timestamp()))
    (key,) = keyring.read(node).archived
    assert key.id == expected


@pytest.mark.parametrize(
    ("named", "inside", "expected"),
    [
        ("20250101T000000Z", b"# created: 2026-01-31T23:59:59.5Z\n", START),
        ("20250101T000000Z", b"# created: whenever\n", datetime(2025, 1, 1, tzinfo=timezone.utc)),
        ("20250101T000000Z-3", b"", datetime(2025, 1, 1, tzinfo=timezone.utc)),
        ("20251301T000000Z", b"", START),
        ("my-own", b"", START),
    ],
)
def test_the_age_is_what_the_file_says_then_its_name_then_its_time(
    node: Node, named: str, inside: bytes, expected: datetime
) -> None:
    put(node, f"archive/{named}.key", inside + SECRET + b"\n")
    os.utime(node.key_dir / f"archive/{named}.key", (START.timestamp(), START.timestamp()))
    (key,) = keyring.read(node).archived
    assert key.created_at == expected
