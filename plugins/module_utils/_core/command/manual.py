# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the help that options do not make: examples, exit codes, files, variables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from . import exits, shared
from .settings import Setting
from .verb import Verb

_WIDTH = 96
_INDENT = "  "
_LONG = 40

ABOUT = (
    "Operates one node of a VVTV station by the runbook, on the node itself: the same functions as the "
    "modules of the collection vvtv.runbook, whether the bastion is there or not.",
    "Every verb can be run again: what is as it should be already is left alone. A run that is killed leaves "
    "the old state or the new one, and the next one finishes or cleans up.",
)

FILES = (
    (
        shared.CONFIG,
        "the configuration, YAML; must belong to root or to the caller, and nobody else may write it",
    ),
    ("runtime/runbook.lock", "below the root: whoever holds it operates the node; it names the holder"),
    ("runtime/slo/", "below the root: the availability samples"),
)
VARIABLES = {
    "VVTV_CONTROL_TOKEN": "the token of the station's commands",
    "VVTV_CONTROL_SECRET": "the secret that they are signed with",
}

_CONFIGURATION = """\
The configuration holds the settings by their names, for instance

  root: /srv/vvtv
  control_env_file: /etc/vvtv/station.env
  recovery_recipients: [age1...]
  thresholds: {buffer_critical: 20, fail_on: high}
  slo: {target: 0.995, interval: 60, keep_days: 40, maintenance: []}
  metrics_dir: /var/lib/prometheus/node-exporter

An option counts before its variable, that before the configuration, that before the default.
An unknown name is an error. Options are called like the last part of a name, with - for _. Paths
are absolute in the configuration, or relative to the root where their option says so. All names:
"""


def whole() -> str:
    """Return what follows the list of verbs."""
    examples = (
        ("vvtv-runbook health", "is the node well?"),
        ("vvtv-runbook backup", "a verified backup, if anything has changed"),
        ("vvtv-runbook restore latest", "what a restore would replace; --yes does it"),
        ("vvtv-runbook backup --json --check", "what a backup would do, for a program"),
    )
    names = [(one.name, default_of(one)) for one in shared.CONFIGURED]
    width = max(len(name) for name, _value in names)
    listed = "\n".join(f"{_INDENT}{name.ljust(width)}  {value}".rstrip() for name, value in names)
    configuration = f"{_CONFIGURATION}\n{listed}"
    return "\n\n".join(
        (
            _section("examples", examples),
            _codes(exits.MEANINGS),
            _section("files", FILES),
            _section("environment", sorted({**_variables(shared.CONFIGURED), **VARIABLES}.items())),
            f"configuration:\n{textwrap.indent(configuration, _INDENT)}",
            "output:\n" + textwrap.indent(_OUTPUT, _INDENT),
        )
    )


_OUTPUT = """\
Without --json: what was done on standard output, warnings and errors on standard error. With
--json exactly one object on standard output: {"changed", "actions", "warnings", "diff", ...} as
the module of the same purpose returns, or {"error": {"code", "msg", "path", "hint", ...}, ...}.

A verb with --metrics-dir leaves vvtv_runbook_VERB.prom there, which says how its last run went,
and vvtv_runbook_node_backups.prom, _node_keys.prom or _node_availability.prom, which say what
the node has."""


def default_of(setting: Setting) -> str:
    """Return a setting's default as the help shows it."""
    value = setting.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def of_verb(verb: Verb) -> str:
    """Return what follows the options of a verb."""
    parts = [_section("examples", verb.examples)] if verb.examples else []
    parts.append(_codes(verb.codes))
    if verb.settings:
        known = _variables((shared.ROOT, *verb.settings))
        if shared.CONTROL_ENV_FILE in verb.settings:
            known.update(VARIABLES)
        if known:
            parts.append(_section("environment", sorted(known.items())))
        parts.append(_section("files", FILES[:2]))
    return "\n\n".join(parts)


def _variables(settings: Iterable[Setting]) -> dict[str, str]:
    return {one.variable: f"comes before {one.name} of the configuration" for one in settings if one.variable}


def _codes(codes: Iterable[int]) -> str:
    return _section("exit codes", ((str(code), exits.MEANINGS[code]) for code in codes))


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return names beside what they mean; under them where a name is long."""
    known = list(rows)
    width = max((len(name) for name, _about in known), default=0)
    beside = width + max((len(about) for _name, about in known), default=0) + 4 <= _WIDTH or width <= _LONG
    lines = [f"{title}:"]
    for name, about in known:
        head = f"{_INDENT}{name.ljust(width)}  " if beside else " " * 6
        if not beside:
            lines.append(f"{_INDENT}{name}")
        lines += textwrap.wrap(
            about,
            _WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        )
    return "\n".join(lines)
