# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide lists every finding there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
ENGINE = CHECKOUT / "plugins/module_utils/_core"


def test_the_guide_lists_every_code_of_a_finding() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in ENGINE.glob("health_*.py"))
    codes = set(re.findall(r'"([A-Z]{2,}(?:_[A-Z]+)+|NO_SAMPLES)"', text))
    guide = (CHECKOUT / "docs/health.md").read_text(encoding="utf-8")
    table = guide.partition("| code | severity |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert len(codes) > 25
    assert set(re.findall(r"`([A-Z_]+)`", " ".join(rows))) == codes
