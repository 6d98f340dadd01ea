# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit tests say at their end."""

from __future__ import annotations

from collections import Counter

import pytest

# What a test of an official age vector notes: how the vector ended.
AGE_VECTOR = "age vector"
UNSUPPORTED = "unsupported"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the reports of the age vectors; where pytest-xdist gathers reports, no deeper file is loaded."""
    reports = [
        (outcome, result)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, result in report.user_properties
        if name == AGE_VECTOR and report.when == "call"
    ]
    if not reports:
        return
    passed = Counter(result for outcome, result in reports if outcome == "passed")
    refused = passed.pop(UNSUPPORTED, 0)
    told = ", ".join(f"{count} {result}" for result, count in passed.most_common())
    terminalreporter.write_line(
        f"age test vectors: {sum(passed.values())} of {len(reports)} end as they must ({told})"
    )
    if refused:
        terminalreporter.write_line(
            f"age test vectors: {refused} more need post-quantum keys, which this cryptography lacks, "
            "and are refused for that"
        )
