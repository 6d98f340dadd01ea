# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m tests.simulator``: run nodes, set faults, make databases and releases.

From elsewhere: ``python3 CHECKOUT/tests/simulator``.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # called by the folder's path: its modules must not pass for top-level ones
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.simulator.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
