# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m <package>.command``: the command of a node."""

from __future__ import annotations

from .main import run

if __name__ == "__main__":
    raise SystemExit(run())
