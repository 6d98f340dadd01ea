# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OwnerCard: a plausible one for a new node, and the check that the station makes before it obeys one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Callable

import yaml

SAMPLE = """\
---
schema_version: 1
editorial_profile:
  target_avg_duration_sec: 900
  max_consecutive_same_theme: 2
  min_unique_themes_per_block: 3
search_policy:
  allowlist_domains:
    - archive.example.org
    - films.example.net
    - media.example.com
  blacklist_domains:
    - spam.example.com
  blocked_keywords:
    - trailer
    - reaction
schedule_policy:
  planning_horizon_hours: 24
  commit_lead_hours: 4
  commit_interval_minutes: 30
  buffer_target_minutes: 120
  buffer_critical_minutes: 20
quality_policy:
  min_resolution_height: 720
  target_audio_lufs: -16.0
  max_audio_deviation_lufs: 2.5
music_policy:
  preferred_moods:
    - calm
    - warm
  block_music_ratio: 0.35
curator_policy:
  auto_apply: false
  min_confidence: 0.8
  max_reorders_per_hour: 6
safety_policy:
  require_hd_playback_confirmation: true
  reject_suspicious_watermark: true
autotune_policy:
  max_daily_adjustment_pct: 5.0
  enabled: true
"""

Check = Callable[[object], bool]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _real(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


SECTIONS: dict[str, dict[str, Check]] = {
    "editorial_profile": {
        "target_avg_duration_sec": _whole,
        "max_consecutive_same_theme": _whole,
        "min_unique_themes_per_block": _whole,
    },
    "search_policy": {"allowlist_domains": _texts, "blacklist_domains": _texts, "blocked_keywords": _texts},
    "schedule_policy": {
        "planning_horizon_hours": _whole,
        "commit_lead_hours": _whole,
        "commit_interval_minutes": _whole,
        "buffer_target_minutes": _whole,
        "buffer_critical_minutes": _whole,
    },
    "quality_policy": {
        "min_resolution_height": _whole,
        "target_audio_lufs": _real,
        "max_audio_deviation_lufs": _real,
    },
    "music_policy": {"preferred_moods": _texts, "block_music_ratio": _real},
    "curator_policy": {"auto_apply": _flag, "min_confidence": _real, "max_reorders_per_hour": _whole},
    "safety_policy": {"require_hd_playback_confirmation": _flag, "reject_suspicious_watermark": _flag},
    "autotune_policy": {"max_daily_adjustment_pct": _real, "enabled": _flag},
}


class CardError(ValueError):
    """A card that the station would not obey."""


def check(text: str) -> None:
    """Raise CardError, which names the field, unless ``text`` is a valid card."""
    try:
        card = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"not YAML: {error}") from error
    if not isinstance(card, dict):
        raise CardError("not a mapping")
    version = card.get("schema_version")
    if not (isinstance(version, int) and not isinstance(version, bool) and version >= 1):
        raise CardError("schema_version: not a whole number from 1 on")
    for name, wanted in SECTIONS.items():
        section = card.get(name)
        if not isinstance(section, dict):
            raise CardError(f"{name}: missing or not a mapping")
        for key, fits in wanted.items():
            if not fits(section.get(key)):
                raise CardError(f"{name}.{key}: missing or of the wrong type")
    if not card["search_policy"]["allowlist_domains"]:
        raise CardError("search_policy.allowlist_domains: empty")
    schedule = card["schedule_policy"]
    if schedule["buffer_critical_minutes"] >= schedule["buffer_target_minutes"]:
        raise CardError("schedule_policy.buffer_critical_minutes: not below buffer_target_minutes")
    if card["autotune_policy"]["max_daily_adjustment_pct"] > 20:
        raise CardError("autotune_policy.max_daily_adjustment_pct: above 20")


def load(path: Path) -> str:
    """SHA-256 (hex) of the valid card at ``path``; CardError or OSError otherwise."""
    content = path.read_bytes()
    try:
        check(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CardError(f"not UTF-8: {error}") from error
    return hashlib.sha256(content).hexdigest()


def write_sample(path: Path) -> None:
    """Give a new node its card; one that exists stays as it is."""
    if not path.exists():
        path.write_text(SAMPLE, encoding="utf-8")
