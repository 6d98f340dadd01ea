# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several hundred MiB from us to stock age and back, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE
from typing import IO

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import keys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.x25519 import X25519Identity
from tests.integration.helpers import CHECKOUT

MIB = 1 << 20
SIZE_MIB = 300
MOST_GROWTH_KIB = 16 * 1024

# Says at the end by how many KiB its memory grew at most. VmHWM, since ru_maxrss begins with the parent's.
_CHILD = """
import sys
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.keys import parse_identities
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Reader, Writer

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

with open(sys.argv[2], "rb") as file:
    identities = parse_identities(file.read())
source, sink, before = sys.stdin.buffer, sys.stdout.buffer, peak()
if sys.argv[1] == "seal":
    writer = Writer([identity.recipient for identity in identities], sink)
    while data := source.read(1 << 20):
        writer.write(data)
    writer.finish()
else:
    for data in Reader(source, identities):
        sink.write(data)
sink.flush()
print(peak() - before, file=sys.stderr)
"""


@pytest.fixture
def identity_file(tmp_path: Path) -> Path:
    """An identity for both."""
    path = tmp_path / "key.txt"
    path.write_bytes(keys.render_identities([X25519Identity.generate()]))
    path.chmod(0o600)
    return path


def start(command: Sequence[str | Path], source: int | IO[bytes] = PIPE) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "build/collections")}
    return subprocess.Popen(command, stdin=source, stdout=PIPE, stderr=PIPE, env=env)


def through(first: Sequence[str | Path], second: Sequence[str | Path]) -> tuple[str, str, list[bytes]]:
    """Send the data through two programs; return SHA-256 before and after, and what both said."""
    block = hashlib.shake_128(b"noise").digest(MIB - 8)
    before, after = hashlib.sha256(), hashlib.sha256()
    with start(first) as sender:
        assert sender.stdin and sender.stdout
        with start(second, sender.stdout) as receiver:
            sender.stdout.close()

            def feed() -> None:
                assert sender.stdin
                with sender.stdin:
                    for number in range(SIZE_MIB):
                        data = struct.pack(">Q", number) + block
                        before.update(data)
                        sender.stdin.write(data)

            feeding = threading.Thread(target=feed)
            feeding.start()
            assert receiver.stdout and receiver.stderr and sender.stderr
            while data := receiver.stdout.read(MIB):
                after.update(data)
            feeding.join()
            said = [sender.stderr.read(), receiver.stderr.read()]
    assert (sender.returncode, receiver.returncode) == (0, 0), said
    return before.hexdigest(), after.hexdigest(), said


def test_stock_age_opens_ours(identity_file: Path) -> None:
    ours = [sys.executable, "-c", _CHILD, "seal", identity_file]
    before, after, said = through(ours, ["age", "-d", "-i", identity_file])
    assert before == after
    assert int(said[0]) < MOST_GROWTH_KIB


def test_we_open_what_stock_age_makes(identity_file: Path) -> None:
    (identity,) = keys.parse_identities(identity_file.read_bytes())
    ours = [sys.executable, "-c", _CHILD, "open", identity_file]
    before, after, said = through(["age", "-r", str(identity.recipient)], ours)
    assert before == after
    assert int(said[1]) < MOST_GROWTH_KIB
