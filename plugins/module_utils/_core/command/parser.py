# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: options out of settings, and a help that serves as the manual."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from . import exits, manual, shared
from .registry import VERBS
from .settings import Setting
from .verb import Verb
from .version import VERSION

PROG = "vvtv-runbook"
_WIDEST = 100
_NO_VERB = "name a verb, such as backup or health"


class Told(Exception):
    """A text was asked for and nothing else."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True)
class Asked:
    """What the command line says: ``given`` by the settings' names, the rest applies to every verb."""

    verb: Verb
    given: dict[str, Any]
    config: str | None
    json: bool
    check: bool
    quiet: bool


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print, so that it is told in one place and as JSON too."""

    def error(self, message: str) -> NoReturn:
        raise exits.BadUsage(message, hint=f"see {self.prog} --help")

    def print_help(self, file: Any = None) -> NoReturn:
        raise Told(self.format_help())


class _Version(argparse.Action):
    def __call__(self, *_arguments: Any, **_more: Any) -> NoReturn:
        raise Told(f"{PROG} {VERSION}\n")


def _width() -> int:
    return max(60, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=_width())


def parse(arguments: Sequence[str]) -> Asked:
    """Return what was asked for; raise :class:`BadUsage`, or :class:`Told` for a help text."""
    parser = _build()
    found, rest = parser.parse_known_args(list(arguments))
    if rest:
        raise exits.BadUsage(_unknown(rest), hint=f"see {PROG} {found.verb or ''} --help".replace("  ", " "))
    if found.verb is None:
        raise exits.BadUsage(_NO_VERB, hint=f"see {PROG} --help")
    values = vars(found)
    verb = VERBS[values.pop("verb")]
    common = {name: values.pop(name, None) for name in ("config", "json", "check", "quiet")}
    if common["json"] and common["quiet"]:
        raise exits.BadUsage("--json and --quiet are two things", hint="choose one")
    return Asked(
        verb,
        values,
        common["config"],
        bool(common["json"]),
        bool(common["check"]),
        bool(common["quiet"]),
    )


def _unknown(rest: Sequence[str]) -> str:
    """Name what is not known, but never a value: it may be a secret."""
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if options:
        return f"unknown option {options[0][:40]}"
    return "a word too many" if len(rest) == 1 else f"{len(rest)} words too many"


def _build() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROG,
        usage=f"{PROG} VERB [options]\n       {PROG} VERB --help",
        description=_wrapped(manual.ABOUT),
        epilog=manual.whole(),
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="show the version and end"
    )
    _add_common(parser)
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", title="verbs", parser_class=_Parser, required=False
    )
    for verb in VERBS.values():
        _add_verb(verbs, verb)
    return parser


def _add_verb(verbs: Any, verb: Verb) -> None:
    words = "".join(f" {_word(one)}" for one in verb.options if one.positional)
    parser = verbs.add_parser(
        verb.name,
        help=verb.summary,
        usage=f"{PROG} {verb.name}{words} [options]",
        description=_wrapped((f"{verb.summary[0].upper()}{verb.summary[1:]}.", *verb.about)),
        epilog=manual.of_verb(verb),
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    own = [one for one in verb.settings if not one.configured]
    configured = [one for one in verb.settings if one.configured]
    _add(parser.add_argument_group(f"options of {verb.name}"), own)
    _add(parser.add_argument_group("settings, which may also stand in the configuration"), configured)
    _add_common(parser)


def _word(setting: Setting) -> str:
    return setting.said if setting.needed else f"[{setting.said}]"


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add what may be said before the verb and after it; unsaid it leaves no trace, so either counts."""
    group = parser.add_argument_group("options of every verb")
    unsaid = argparse.SUPPRESS
    group.add_argument(
        "--config", metavar="FILE", default=unsaid, help=f"the configuration (default: {shared.CONFIG})"
    )
    _add(group, (shared.ROOT,))
    group.add_argument(
        "--check", action="store_true", default=unsaid, help="tell what would be done, and do nothing"
    )
    told = group.add_mutually_exclusive_group()
    told.add_argument(
        "--json", action="store_true", default=unsaid, help="print one JSON object, for a program"
    )
    told.add_argument(
        "--quiet", action="store_true", default=unsaid, help="print nothing but warnings and errors"
    )


def _add(group: Any, settings: Iterable[Setting]) -> None:
    for one in settings:
        about = f"{one.about}{_origin(one)}".replace("%", "%%")
        unsaid = {"dest": one.name, "default": argparse.SUPPRESS}
        if one.positional:
            nargs = None if one.needed else "?"
            group.add_argument(one.name, metavar=one.said, nargs=nargs, default=argparse.SUPPRESS, help=about)
        elif one.switches:
            for option, value, what in one.switches:
                group.add_argument(option, action="store_const", const=value, help=what, **unsaid)
        elif one.kind.of_text is not None:
            action = "append" if one.kind.repeats else "store"
            group.add_argument(one.option, metavar=one.kind.metavar, action=action, help=about, **unsaid)


def _origin(setting: Setting) -> str:
    """Say the default, the variable, and the name in the configuration where the option has another."""
    default = manual.default_of(setting)
    parts = [f"default: {default}"] if default and not isinstance(setting.default, (bool, tuple)) else []
    if setting.variable:
        parts.append(setting.variable)
    if setting.configured and setting.name != setting.short:
        parts.append(f"configuration: {setting.name}")
    return f" ({'; '.join(parts)})" if parts else ""


def _wrapped(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(textwrap.fill(paragraph, _width(), break_on_hyphens=False) for paragraph in paragraphs)
