# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings: each has a name, an option, perhaps a variable and a place in the configuration, and a default.

The command line comes before the environment, that before the configuration, that before the default. Names,
options and defaults are those of the modules.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exits import BadUsage
from .kinds import FLAG, Kind, Unfit


@dataclass(frozen=True)
class Setting:
    """One setting. In the configuration, if it may be there, its name's dots are levels of mappings.

    ``variable`` is the runbook's name for it. ``switches`` are options without a value: for each what it sets
    and what the help says of it. ``positional`` is a word of its own on the command line, ``needed`` one that
    may not be left out. A ``file`` is found from where the caller stands when it is given on the command
    line; elsewhere it must be absolute.
    """

    name: str
    kind: Kind
    default: Any
    about: str
    variable: str | None = None
    configured: bool = False
    switches: tuple[tuple[str, Any, str], ...] = ()
    positional: bool = False
    needed: bool = False
    file: bool = False

    @property
    def short(self) -> str:
        """The last part of the name: what the modules call it."""
        return self.name.rpartition(".")[2]

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + self.short.replace("_", "-")

    @property
    def said(self) -> str:
        """How the command line calls it, for messages."""
        return self.short.upper() if self.positional else self.option


def switch(name: str, about: str) -> Setting:
    """Return a setting that is off until its option is given."""
    option = "--" + name.replace("_", "-")
    return Setting(name, FLAG, False, about, switches=((option, True, about),))


@dataclass(frozen=True)
class Found:
    """A value and the place it comes from."""

    value: Any
    source: str


COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
CONFIGURATION = "configuration"
DEFAULT = "default"


class Settings:
    """What holds for one run."""

    def __init__(self, found: Mapping[str, Found]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Any:
        """Return a value by the setting's name."""
        return self._found[name].value

    def source(self, name: str) -> str:
        """Return the place a value comes from."""
        return self._found[name].source

    def has(self, name: str) -> bool:
        """Whether this run knows the setting at all."""
        return name in self._found


def resolve(
    settings: Iterable[Setting],
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    configured: Mapping[str, Any],
) -> Settings:
    """Return each setting's value from the first place that names it.

    ``given`` is what the command line said, as texts; ``configured`` comes from :mod:`config`. A variable
    that is empty says nothing. Raise :class:`BadUsage` naming the option or the variable.
    """
    return Settings({one.name: _find(one, given, environ, configured) for one in settings})


def _find(
    setting: Setting, given: Mapping[str, Any], environ: Mapping[str, str], configured: Mapping[str, Any]
) -> Found:
    if setting.name in given:
        return Found(_of_command_line(setting, given[setting.name]), COMMAND_LINE)
    text = environ.get(setting.variable, "") if setting.variable else ""
    if text:
        return Found(_of_text(setting, text, str(setting.variable)), ENVIRONMENT)
    if setting.name in configured:
        return Found(configured[setting.name], CONFIGURATION)
    return Found(setting.default, DEFAULT)


def _of_command_line(setting: Setting, said: Any) -> Any:
    if isinstance(said, list):
        return tuple(_of_text(setting, text, setting.said) for text in said)
    if not isinstance(said, str):
        return said  # what a switch stands for
    value = _of_text(setting, said, setting.said)
    return os.path.abspath(value) if setting.file else value


def _of_text(setting: Setting, text: str, where: str) -> Any:
    of_text = setting.kind.of_text
    try:
        if of_text is None:
            raise Unfit("takes no value")
        return of_text(text)
    except Unfit as exc:
        raise BadUsage(f"{where} {exc}") from None


def of_yaml(setting: Setting, value: Any, path: Path) -> Any:
    """Return a value of the configuration at ``path``; raise :class:`BadUsage` naming file and key."""
    try:
        found = setting.kind.of_yaml(value)
        if setting.file and not os.path.isabs(found):
            raise Unfit("must be an absolute path")
    except Unfit as exc:
        raise BadUsage(f"{setting.name} {exc}", path=path) from None
    return found
