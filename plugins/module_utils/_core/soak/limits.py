# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From where on a soak fails: how many failures of a check, errors of the sampler, and how much evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any

from ..availability import TARGET
from ..errors import BadInput

JUDGE, OBSERVE = MODES = ("judge", "observe")
NO_CYCLE = ("inconclusive", "fail", "pass")
MAX_COUNT = 1_000_000
_MAX_CHECKS = 200
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Check:
    """Limits of one check, by its finding's code; ``None`` means those of all checks.

    With the mode ``observe`` it is measured and told, and fails nothing.
    """

    max_failures: int | None = None
    max_consecutive_failures: int | None = None
    mode: str = JUDGE

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        _counts(self, "max_failures", "max_consecutive_failures")
        if self.mode not in MODES:
            raise BadInput(f"mode must be one of {', '.join(MODES)}, not {str(self.mode)[:40]!r}")


@dataclass(frozen=True)
class Limits:
    """What a soak must show.

    At least ``min_samples`` samples without an error, and samples in the share ``min_coverage`` of the ticks
    that were due. ``no_cycle`` says what it means when the pipeline wrote no metric sample in all that time.
    A check may fail in ``max_failures`` samples, ``max_consecutive_failures`` of them in a row (``None``: as
    many), unless ``checks`` says otherwise for its code. Errors are what could not be seen: ``max_errors``
    samples may have one, the API may fail in ``max_consecutive_errors`` of them in a row. The station must
    have been available in the share ``slo_target`` of the samples without an error.
    """

    min_samples: int = 3
    min_coverage: float = 0.8
    no_cycle: str = NO_CYCLE[0]
    max_failures: int = 0
    max_consecutive_failures: int | None = None
    max_errors: int = 2
    max_consecutive_errors: int = 2
    slo_target: float = TARGET
    checks: Mapping[str, Check] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for values that make no sense."""
        names = ("min_samples", "max_failures", "max_consecutive_failures", "max_errors")
        _counts(self, *names, "max_consecutive_errors")
        if self.min_samples < 1:
            raise BadInput("min_samples must be 1 or more: a soak without samples proves nothing")
        for name in ("min_coverage", "slo_target"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
                raise BadInput(f"{name} must be a number")
            if not 0 <= value <= 1:
                raise BadInput(f"{name} must be from 0 to 1, not {value}")
        if self.no_cycle not in NO_CYCLE:
            raise BadInput(f"no_cycle must be one of {', '.join(NO_CYCLE)}, not {str(self.no_cycle)[:40]!r}")

    def of(self, code: str) -> tuple[int, int, str]:
        """Return how often a check may fail in all, how often in a row, and its mode."""
        own = self.checks.get(code, Check())
        total = self.max_failures if own.max_failures is None else own.max_failures
        row = own.max_consecutive_failures
        if row is None and own.max_failures is None:
            row = self.max_consecutive_failures
        return total, total if row is None else row, own.mode

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; :func:`limits_of` reads it."""
        return asdict(self)


def limits_of(given: Mapping[str, Any], base: Limits | None = None) -> Limits:
    """Return ``base`` (by default the defaults) with what is ``given`` by name; ``None`` counts as not given.

    Raise :class:`BadInput` naming what is no limit, or is none that can be.
    """
    known = {one.name for one in fields(Limits)}
    values = {one.name: getattr(base or Limits(), one.name) for one in fields(Limits)}
    for name, value in given.items():
        if name not in known:
            raise BadInput(f"{str(name)[:60]!r} is no limit of a soak; there are {', '.join(sorted(known))}")
        if name == "checks":
            values[name] = _checks_of(value)
        elif value is not None:
            values[name] = value
    return Limits(**values)


def _checks_of(given: Any) -> dict[str, Check]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or len(given) > _MAX_CHECKS:
        raise BadInput(f"checks must be a mapping of at most {_MAX_CHECKS} codes")
    known = {one.name for one in fields(Check)}
    found: dict[str, Check] = {}
    for code, own in given.items():
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise BadInput(f"checks: {str(code)[:60]!r} is no code of a finding")
        if not isinstance(own, Mapping) or not set(own) <= known:
            raise BadInput(f"checks: {code} may hold {', '.join(sorted(known))} and nothing else")
        try:
            found[code] = Check(**own)
        except BadInput as exc:
            raise BadInput(f"checks: {code}: {exc.msg}") from exc
    return found


def _counts(holder: object, *names: str) -> None:
    for name in names:
        value = getattr(holder, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
            raise BadInput(f"{name} must be a whole number from 0 to {MAX_COUNT}")
