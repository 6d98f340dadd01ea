# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with an age file or an age key, each as a :class:`RunbookError` of its own."""

from __future__ import annotations

from typing import ClassVar

from ..errors import BadInput, Damaged, NotFound


class HeaderFailure(Damaged):
    """The header breaks the format's grammar or limits, or a stanza of a known type is malformed."""

    code: ClassVar[str] = "age_header"


class MacFailure(Damaged):
    """The header was changed after it was made: its MAC does not fit the file key."""

    code: ClassVar[str] = "age_mac"


class PayloadFailure(Damaged):
    """The encrypted data were changed, cut off, reordered or continued."""

    code: ClassVar[str] = "age_payload"


class ArmorFailure(Damaged):
    """The text form of an age file (PEM) is not the strict one."""

    code: ClassVar[str] = "age_armor"


class NoMatch(NotFound):
    """None of the identities opens the file."""

    code: ClassVar[str] = "age_no_match"


class BadKey(BadInput):
    """A recipient, an identity or a file of identities cannot be used. Never quotes what it refuses."""

    code: ClassVar[str] = "age_key"
