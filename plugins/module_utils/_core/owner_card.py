# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OwnerCard: the station's YAML policy, checked as strictly as the station reads it.

An invalid card silently keeps the previous one in force on a node, so it has to be found before. The station
reads YAML 1.2: ``yes`` is a text there and a boolean in YAML 1.1, hence :mod:`strict_yaml`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Optional

from . import files, strict_yaml
from .errors import Damaged

MAX_BYTES = 1 << 20

Check = Callable[[Any], Optional[str]]


def _whole(value: Any, least: float = -math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _integer(value: Any) -> str | None:
    return None if _whole(value, 0) else "must be a whole number, 0 or more"


def _number(value: Any) -> str | None:
    good = _whole(value) or (isinstance(value, float) and math.isfinite(value))
    return None if good else "must be a finite number"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _texts(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if good else "must be a list of texts"


def _some_texts(value: Any) -> str | None:
    return _texts(value) or (None if value else "must not be empty")


def _at_most_20(value: Any) -> str | None:
    return _number(value) or (None if value <= 20 else "must be at most 20")


# The eight sections and their fields, by the station's rules.
SECTIONS: dict[str, dict[str, Check]] = {
    "editorial_profile": {
        "target_avg_duration_sec": _integer,
        "max_consecutive_same_theme": _integer,
        "min_unique_themes_per_block": _integer,
    },
    "search_policy": {
        "allowlist_domains": _some_texts,
        "blacklist_domains": _texts,
        "blocked_keywords": _texts,
    },
    "schedule_policy": {
        "planning_horizon_hours": _integer,
        "commit_lead_hours": _integer,
        "commit_interval_minutes": _integer,
        "buffer_target_minutes": _integer,
        "buffer_critical_minutes": _integer,
    },
    "quality_policy": {
        "min_resolution_height": _integer,
        "target_audio_lufs": _number,
        "max_audio_deviation_lufs": _number,
    },
    "music_policy": {"preferred_moods": _texts, "block_music_ratio": _number},
    "curator_policy": {"auto_apply": _boolean, "min_confidence": _number, "max_reorders_per_hour": _integer},
    "safety_policy": {"require_hd_playback_confirmation": _boolean, "reject_suspicious_watermark": _boolean},
    "autotune_policy": {"max_daily_adjustment_pct": _at_most_20, "enabled": _boolean},
}


class InvalidCard(Damaged):
    """A card that breaks rules; ``errors`` lists every one as ``place in the document: what is wrong``."""

    def __init__(self, path: Path, errors: list[str]) -> None:
        super().__init__(
            f"is no valid OwnerCard: {'; '.join(errors)}", path=path, hint="mend the card and run again"
        )
        self.errors = errors

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read, with every broken rule in ``errors``."""
        return {**super().result(), "errors": self.errors}


def read(path: Path) -> bytes:
    """Return the bytes of the valid card at ``path``; raise :class:`InvalidCard` or another error."""
    data = files.read_bounded(path, MAX_BYTES)
    parse(data, path)
    return data


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """Return the card in ``data``; ``path`` is for messages. Raise :class:`InvalidCard` with every error."""
    try:
        card = strict_yaml.load(data, "the OwnerCard", path)
    except strict_yaml.NotYaml as exc:
        raise InvalidCard(path, [f"it is no YAML: {exc}"]) from None
    errors = find_errors(card)
    if errors:
        raise InvalidCard(path, errors)
    return dict(card)


def find_errors(card: Any) -> list[str]:
    """Return every broken rule of a parsed card, each with its place in the document."""
    if not isinstance(card, dict):
        return ["it must be a mapping of sections"]
    version = card.get("schema_version")
    errors = [] if _whole(version, 1) else ["schema_version: must be a whole number, 1 or more"]
    for section, fields in SECTIONS.items():
        found = card.get(section)
        if not isinstance(found, dict):
            errors.append(f"{section}: {'must be a mapping' if section in card else 'is missing'}")
            continue
        errors += [
            f"{section}.{field}: {wrong}"
            for field, check in fields.items()
            if (wrong := check(found[field]) if field in found else "is missing")
        ]
    return errors + _contradictions(card)


def _contradictions(card: dict[str, Any]) -> list[str]:
    schedule = card.get("schedule_policy")
    if not isinstance(schedule, dict):
        return []
    critical: Any = schedule.get("buffer_critical_minutes")
    target: Any = schedule.get("buffer_target_minutes")
    if _whole(critical, 0) and _whole(target, 0) and critical >= target:
        return ["schedule_policy.buffer_critical_minutes: must be below buffer_target_minutes"]
    return []
