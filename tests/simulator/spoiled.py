# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers as the faults want them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Callable

from .faults import Faults, Rule
from .station import Answer, text_answer

BROKEN_JSON = b'{"broken": ['
HTML = b"<!doctype html>\n<html><head><title>Welcome</title></head><body>It works!</body></html>\n"
_SAMPLE = re.compile(r"^(vvtv_\S+) (\S+)$", re.MULTILINE)

Change = Callable[[float], float]


def holds(rule: Rule | None, path: str) -> bool:
    return rule is not None and rule.applies(path)


def instead(faults: Faults, path: str) -> Answer | None:
    """What is answered in place of the station's own words; None leaves it to the station."""
    if holds(faults.http_500, path):
        return text_answer("internal server error", 500)
    if faults.status is not None and faults.status.applies(path):
        return text_answer("as asked for", int(faults.status.amount))
    if holds(faults.html, path):
        return Answer(200, "text/html; charset=utf-8", HTML)
    if holds(faults.malformed, path):
        return Answer(200, "application/json", BROKEN_JSON)
    return None


def numbers(faults: Faults, path: str, answer: Answer) -> Answer:
    """The answer with every number in it NaN or negative, where the faults want that."""
    if holds(faults.nan, path):
        return _changed(answer, lambda _value: float("nan"))
    if holds(faults.negative, path):
        return _changed(answer, lambda value: -abs(value) - 1)
    return answer


def _changed(answer: Answer, change: Change) -> Answer:
    text = answer.body.decode()
    if answer.content_type == "application/json":
        text = json.dumps(_inside(json.loads(text), change))
    else:
        text = _SAMPLE.sub(lambda sample: f"{sample[1]} {change(float(sample[2]))}", text)
    return replace(answer, body=text.encode())


def _inside(value: object, change: Change) -> object:
    if isinstance(value, dict):
        return {key: _inside(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_inside(one, change) for one in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    # A count stays a whole number, so that only its sign is wrong.
    changed = change(value)
    return int(changed) if isinstance(value, int) and math.isfinite(changed) else changed
