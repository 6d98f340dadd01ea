# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plausible rows for state.db: words, UUIDs and numbers that compress like a real station's."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from . import clock

Row = tuple[str, str, str]

_VOCABULARY = """
amber archive atlas aurora autumn balcony ballad basement beacon blossom boulevard bridge cabin camera
canyon carnival cathedral cellar chorus cinema circuit coast compass concert copper coral corridor
crystal dance delta desert dialogue diary distant dream echo ember evening factory festival field film
fjord flight forest fountain fragment garden ghost glacier glass gravity harbor harvest hidden horizon
hotel hour island jazz journey kitchen lantern late letter lighthouse lost machine marble market meadow
memory metro midnight mirror monsoon montage moon morning motion mountain museum neon night ocean open
orbit orchestra palace paper parade passage pier piano planet portrait quiet radio railway rain red river
road rooftop room saffron salt satellite season secret shadow shore signal silent silver sketch sky slow
snow solar song southern spiral station stone storm story street studio summer sunrise tape temple
theatre thread tide tower traffic train travel tropical tunnel twilight under valley velvet village vinyl
violet voice voyage walk water wave winter wooden yellow young zenith
"""
WORDS = tuple(_VOCABULARY.split())
DOMAINS = ("archive.example.org", "films.example.net", "media.example.com", "open.example.edu")
THEMES = ("travel", "music", "nature", "city", "history", "craft", "science", "night", "sport", "food")
FEATURES = ("warm_palette", "cold_palette", "handheld", "static_shot", "aerial", "low_light", "faces")
SIGNALS = ("hd", "stable_audio", "no_watermark", "clean_cuts", "full_length", "verified_uploader")
REASONS = ("theme_balance", "high_policy_match", "buffer_refill", "fresh_content", "curator_pick")
STEPS = (
    ("planner", "commit_plan", "PLAN_COMMITTED"),
    ("fetcher", "download", "ASSET_FETCHED"),
    ("qa", "inspect", "QA_PASSED"),
    ("curator", "reorder", "CURATOR_REORDER"),
    ("discovery", "discover", "DISCOVERY_OK"),
)
FAILED_DOMAIN = "DISCOVERY_FAILED_DOMAIN"
_FAILED_SEARCH = ("discovery", "discover")


class CommitRows(NamedTuple):
    """What one commit of the pipeline inserts, one row for each table: key, (time,) payload, (time)."""

    plan: Row
    asset: Row
    queue_entry: Row
    audit_event: Row


class Content:
    """A stream of rows that depends on nothing but its random generator and the times asked for.

    The JSON is written by hand and the generator is asked seldom: a database of 2 GiB takes a million
    commits. Every text comes from the lists above, so nothing needs escaping.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def commit_rows(self, ns: int) -> CommitRows:
        """Rows of a commit made at ``ns`` (nanoseconds since 1970)."""
        column = clock.column(ns)
        payload = clock.as_payload(column)
        digits = f"{self.rng.getrandbits(808):0202x}"
        plan_id, asset_id, entry_id = uuid(digits[:32]), uuid(digits[32:64]), uuid(digits[64:96])
        checksum, slug = digits[128:192], digits[192:]
        return CommitRows(
            (plan_id, self._plan(plan_id, slug, payload), column),
            (asset_id, self._asset(asset_id, plan_id, checksum, column[:10]), column),
            (entry_id, column, self._queue_entry(entry_id, asset_id, payload)),
            self._audit(uuid(digits[96:128]), column, *self._pick_step()),
        )

    def failed_domain_row(self, ns: int, domain: str | None) -> Row:
        """An audit event that says ``domain`` could not be searched; None leaves the domain out."""
        reason = FAILED_DOMAIN if domain is None else f"{FAILED_DOMAIN}:{domain}"
        return self._audit(
            uuid(f"{self.rng.getrandbits(128):032x}"), clock.column(ns), *_FAILED_SEARCH, reason
        )

    def _plan(self, plan_id: str, slug: str, payload: str) -> str:
        random, pick = self.rng.random, self._pick
        words = self.rng.choices(WORDS, k=9)
        domain = pick(DOMAINS)
        return (
            f'{{"plan_id":"{plan_id}","source_url":"https://{domain}/watch/{words[6]}-{slug}",'
            f'"source_domain":"{domain}","discovered_at":"{payload}",'
            f'"title":"{" ".join(words[:6]).capitalize()}","duration_sec":{90 + int(random() * 5310)},'
            f'"theme_tags":["{pick(THEMES)}","{pick(THEMES)}"],'
            f'"visual_features":["{pick(FEATURES)}","{pick(FEATURES)}","{pick(FEATURES)}"],'
            f'"quality_signals":["{pick(SIGNALS)}","{pick(SIGNALS)}"],'
            f'"selection_reason":"{pick(REASONS)}: {words[7]} {words[8]}",'
            f'"policy_match_score":{random():.4f},"state":"Committed"}}'
        )

    def _asset(self, asset_id: str, plan_id: str, checksum: str, day: str) -> str:
        random = self.rng.random
        return (
            f'{{"asset_id":"{asset_id}","plan_id":"{plan_id}",'
            f'"local_path":"runtime/assets/{day}/{asset_id}.mp4","checksum":"{checksum}",'
            f'"resolution":{{"width":1920,"height":1080}},"audio_lufs":{-14 - random() * 4:.2f},'
            f'"qa_status":"{"Rejected" if random() < 0.05 else "Passed"}"}}'
        )

    def _queue_entry(self, entry_id: str, asset_id: str, payload: str) -> str:
        return (
            f'{{"entry_id":"{entry_id}","asset_id":"{asset_id}","start_at":"{payload}",'
            f'"slot_type":"Main","fallback_level":{int(self.rng.random() < 0.1)}}}'
        )

    def _audit(self, event_id: str, column: str, module: str, action: str, reason: str) -> Row:
        payload = (
            f'{{"event_id":"{event_id}","ts":"{clock.as_payload(column)}","actor":"system",'
            f'"module":"{module}","action":"{action}","decision_score":{self.rng.random():.4f},'
            f'"reason_code":"{reason}"}}'
        )
        return (event_id, column, payload)

    def _pick(self, texts: Sequence[str]) -> str:
        return texts[int(self.rng.random() * len(texts))]

    def _pick_step(self) -> tuple[str, str, str]:
        return STEPS[int(self.rng.random() * len(STEPS))]


def uuid(digits: str) -> str:
    """A UUID of version 4 out of 32 hexadecimal digits."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
