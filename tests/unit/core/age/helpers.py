# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Short ways to make and to open age files in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple, Optional

from ansible_collections.vvtv.runbook.plugins.module_utils._core.age import hybrid
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.envelope import Identity
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.sealed import Reader, Writer
from ansible_collections.vvtv.runbook.plugins.module_utils._core.age.x25519 import X25519Identity
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import RunbookError, Unsupported

CHUNK = 64 * 1024
SEALED = CHUNK + 16
ME = X25519Identity(bytes(range(32)))
OTHER = X25519Identity(bytes(range(1, 33)))


class Outcome(NamedTuple):
    """What came out of an age file, and the error that ended it."""

    plain: bytes
    error: Optional[RunbookError]  # noqa: UP045 - evaluated by Python 3.9


def seal(plain: bytes, *identities: X25519Identity) -> bytes:
    sink = io.BytesIO()
    writer = Writer([identity.recipient for identity in identities or (ME,)], sink)
    writer.write(plain)
    writer.finish()
    return sink.getvalue()


def attempt(data: bytes, identities: Sequence[Identity] = (ME,)) -> Outcome:
    """Open an age file as far as it goes; anything but one of our errors fails the test."""
    plain = b""
    try:
        for chunk in Reader(io.BytesIO(data), identities):
            plain += chunk
    except RunbookError as exc:
        return Outcome(plain, exc)
    return Outcome(plain, None)


def post_quantum() -> bool:
    """Whether this Python's cryptography can use post-quantum keys."""
    try:
        hybrid.suite()
    except Unsupported:
        return False
    return True
