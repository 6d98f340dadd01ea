# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads every module of the collection, once, into the process whose forks run them; see ``forked``."""

from __future__ import annotations

import importlib
import sys

from tests.integration.helpers import CHECKOUT, COLLECTIONS, MODULES

sys.path.insert(0, str(COLLECTIONS))
for found in sorted((CHECKOUT / "plugins/modules").glob("[!_]*.py")):
    importlib.import_module(f"{MODULES}.{found.stem}")
