# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every verb of the command. A new one is a :class:`Verb` in a file of ``verbs/`` and a name here."""

from __future__ import annotations

from .verb import Verb
from .verbs import about, availability, backups, control, health, keys, releases, soaks

VERBS: dict[str, Verb] = {
    verb.name: verb
    for group in (backups, keys, health, availability, control, releases, soaks, about)
    for verb in group.VERBS
}
