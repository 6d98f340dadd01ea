# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that several verbs share: where a node is, how its station is asked, what its backups are for."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from .. import availability, control_api, node, slo
from ..archive.compression import CHOICES
from ..availability_store import KEEP_DAYS
from ..health import FAIL_ON, QA_BASELINES, Thresholds
from ..key_states import MAX_AGE_DAYS, RETENTION_DAYS
from ..sample import Scope
from ..verify import INTEGRITY as CHECKS
from .kinds import DAYS, FLAG, NUMBER, PATH, SECONDS, TEXT, TEXTS, WHOLE, WINDOWS, choice
from .settings import Setting

CONFIG = "/etc/vvtv-runbook.yml"

ROOT = Setting(
    "root",
    PATH,
    None,
    "the node's folder; needed by every verb but version and emergency",
    configured=True,
    file=True,
)


def _path(name: str, variable: str, default: str, about: str) -> Setting:
    return Setting(name, PATH, default, f"{about}; relative to the root", variable, configured=True)


STATE_DB = _path("state_db", "VVTV_STATE_DB_PATH", node.STATE_DB, "the station's database")
OWNER_CARD = _path("owner_card", "VVTV_OWNER_CARD_PATH", node.OWNER_CARD, "the OwnerCard in force")
BACKUP_DIR = _path("backup_dir", "VVTV_BACKUP_DIR", node.BACKUP_DIR, "the folder of the backups")
KEY_DIR = _path("key_dir", "VVTV_BACKUP_KEY_DIR", node.KEY_DIR, "the folder of the keys")
LOCK_TIMEOUT = Setting(
    "lock_timeout",
    SECONDS,
    30.0,
    "how long to wait for whoever operates the node, and for its database",
    configured=True,
)
NODE = (STATE_DB, OWNER_CARD, BACKUP_DIR, KEY_DIR, LOCK_TIMEOUT)

RECOVERY = Setting(
    "recovery_recipients",
    TEXTS,
    (),
    "a public key (age1...) that opens archives when the node is lost; may be given more than once, then "
    "instead of all that are configured",
    configured=True,
)
IDENTITY_FILE = Setting(
    "identity_file",
    PATH,
    None,
    "a private file (0600) with an age identity to try beside the node's keys",
    file=True,
)
CHECK_OF_DATABASE = Setting(
    "integrity", choice(CHECKS), "quick", "which check of SQLite's; full also compares indexes with tables"
)

API_URL = Setting(
    "api_url",
    TEXT,
    control_api.DEFAULT_URL,
    "where the station's control API listens; http on the loopback only",
    "VVTV_API_URL",
    configured=True,
)
API_TIMEOUT = Setting(
    "api_timeout", SECONDS, control_api.DEFAULT_TIMEOUT, "how long one request may take", configured=True
)
CONTROL_ENV_FILE = Setting(
    "control_env_file",
    PATH,
    None,
    "a file with VVTV_CONTROL_TOKEN=... and VVTV_CONTROL_SECRET=..., private; both may come from the "
    "environment instead, never from the command line or the configuration",
    configured=True,
    file=True,
)
ENV = Setting(
    "env",
    TEXT,
    "production",
    "what the node is used for; only dev allows the token and the secret that everybody knows",
    "VVTV_ENV",
    configured=True,
)
ASKING = (API_URL, API_TIMEOUT)
COMMANDING = (*ASKING, CONTROL_ENV_FILE, ENV)

ENCRYPT = Setting(
    "encrypt",
    FLAG,
    True,
    "whether backups are encrypted",
    configured=True,
    switches=(
        ("--encrypt", True, "an encrypted one, which is the default"),
        ("--plain", False, "a plain one, in the layout of the station's own tools"),
    ),
)
COMPRESSION = Setting(
    "compression",
    choice(CHOICES),
    "auto",
    "of encrypted backups; auto is zstd where it is installed",
    configured=True,
)
MAX_AGE = Setting(
    "max_age",
    DAYS,
    MAX_AGE_DAYS,
    "a current key this old is rotated; 0 for never",
    "VVTV_BACKUP_KEY_MAX_AGE_DAYS",
    configured=True,
)
RETENTION = Setting(
    "retention",
    DAYS,
    RETENTION_DAYS,
    "archived keys stay this long after they were succeeded, and longer if a backup needs them",
    "VVTV_BACKUP_KEY_ARCHIVE_RETENTION_DAYS",
    configured=True,
)

TARGET = Setting(
    "slo.target", NUMBER, availability.TARGET, "the share of time for which the station is to be available"
)
MAX_GAP = Setting(
    "slo.max_gap", NUMBER, availability.MAX_GAP, "for how many of its intervals a sample speaks at most"
)
INTERVAL = Setting("slo.interval", SECONDS, slo.INTERVAL, "when the next sample is due")
KEEP = Setting("slo.keep_days", WHOLE, KEEP_DAYS, "for how many days samples are kept")
MAINTENANCE = Setting(
    "slo.maintenance",
    WINDOWS,
    (),
    "times that count neither for nor against the station: a list of start, end, reason",
)
SLO = tuple(replace(one, configured=True) for one in (TARGET, MAX_GAP, INTERVAL, KEEP, MAINTENANCE))
OBJECTIVE = tuple(one for one in SLO if one.short in ("target", "max_gap", "maintenance"))
SAMPLING = tuple(one for one in SLO if one.short in ("interval", "keep_days"))

_LIMITS: dict[str, str] = {
    "buffer_target": "minutes of buffer below which a finding of severity low is made",
    "buffer_critical": "minutes of buffer below which a finding of severity critical is made",
    "qa_floor": "QA pass rate below which it is too low, from 0 to 1",
    "qa_baseline": "what the QA pass rate is compared with: the floor, the node's own history, or both",
    "qa_tolerance": "how far below the median of its history the QA pass rate may be",
    "qa_history_min": "how many earlier samples make a history",
    "qa_history_hours": "how many hours before the newest sample the history begins",
    "fallback_cap": "fallback rate above which it is too high, from 0 to 1",
    "fallback_jump": "by how much the fallback rate may not rise from one sample to the next",
    "fallback_growth_samples": "over how many samples the fallback rate may not rise without a break",
    "fallback_growth_min": "what such a rise must come to in all before it counts",
    "discovery_failures": "how many discovery failures of one allowed domain make a finding",
    "discovery_window_hours": "how many hours back they are counted",
    "commit_interval_minutes": "minutes between two metric samples, for when the OwnerCard cannot be read",
    "stale_grace_minutes": "minutes by which a metric sample may be late",
    "clock_tolerance": "seconds by which clocks may differ",
    "max_stream_disruptions": "more stream disruptions than this make a finding",
    "fail_on": "the severity from which on the node is not healthy; never: always end with 0",
}
_CHOICES = {"qa_baseline": QA_BASELINES, "fail_on": FAIL_ON}


def _limit(name: str, default: Any) -> Setting:
    numbers = WHOLE if isinstance(default, int) else NUMBER
    kind = choice(_CHOICES[name]) if name in _CHOICES else numbers
    return Setting(f"thresholds.{name}", kind, default, _LIMITS[name], configured=True)


SCOPE = tuple(_limit(name, getattr(Scope(), name)) for name in ("discovery_window_hours", "qa_history_hours"))
# By what the operator asks for first: from where on the command fails, then the thresholds.
LIMITS = tuple(
    _limit(name, getattr(Thresholds(), name))
    for name in sorted((one.name for one in fields(Thresholds)), key=lambda name: name != "fail_on")
)

METRICS_DIR = Setting(
    "metrics_dir",
    PATH,
    None,
    "a folder of node_exporter's textfile collector, where how the run went is written",
    configured=True,
    file=True,
)

# All that the configuration may hold.
CONFIGURED = (
    ROOT,
    *NODE,
    RECOVERY,
    ENCRYPT,
    COMPRESSION,
    *COMMANDING,
    MAX_AGE,
    RETENTION,
    *LIMITS,
    *SCOPE,
    *SLO,
    METRICS_DIR,
)
