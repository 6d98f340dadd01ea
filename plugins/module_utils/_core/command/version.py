# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The version of the command: the collection's, which an installed copy of the engine cannot look up."""

from __future__ import annotations

VERSION = "1.0.0"
