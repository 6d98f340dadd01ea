# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a verb of the command is, and what it gets to work with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..control_api import Api, credentials
from ..credentials import SECRET_VARIABLE, TOKEN_VARIABLE
from ..errors import BadInput
from ..node import Node
from ..outcome import Outcome
from . import exits
from .settings import COMMAND_LINE, Setting, Settings


@dataclass(frozen=True)
class Call:
    """One run of a verb: the settings that hold, whether it is only to tell (``check``), the environment.

    ``named`` gathers the paths of files that the operator named: a fault of theirs is bad input.
    """

    settings: Settings
    check: bool
    environ: Mapping[str, str]
    named: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> Any:
        """Return the value of a setting."""
        return self.settings[name]

    def names(self, path: str) -> Path:
        """Return a path that the operator named, and remember that."""
        self.named.update((path, os.path.realpath(path)))
        return Path(path)

    def node(self) -> Node:
        """Return the node that the settings name."""
        if self["root"] is None:
            hint = "give --root, or set root in the configuration"
            raise exits.BadUsage("it is not said where the node is", hint=hint)
        if self["lock_timeout"] < 0:
            raise BadInput("lock_timeout must be 0 or more seconds")
        if self.settings.source("root") == COMMAND_LINE:
            self.names(self["root"])
        paths = (self[name] for name in ("state_db", "owner_card", "backup_dir", "key_dir"))
        return Node.at(self["root"], *paths)

    def api(self, signed: bool = False) -> Api:
        """Return the station's control API; only a ``signed`` one can give commands."""
        known = None
        if signed:
            env_file, named = self["control_env_file"], self.settings.source("control_env_file")
            # The engine takes a token from the file before one from the environment; the order here is the
            # command line, the environment, the configuration.
            first = {} if named == COMMAND_LINE else self.environ
            token, secret = first.get(TOKEN_VARIABLE), first.get(SECRET_VARIABLE)
            wanted = None if env_file is None or (token and secret) else self.names(env_file)
            known = credentials(token, secret, wanted, self["env"], self.environ)
        return Api(self["api_url"], known, self["api_timeout"])

    def identity_file(self) -> Path | None:
        """Return the file with an identity to try beside the node's keys."""
        given = self["identity_file"]
        return None if given is None else self.names(given)


Show = Callable[[Mapping[str, Any]], "list[str]"]


@dataclass(frozen=True)
class Verb:
    """``run`` calls the engine, ``show`` makes lines for a person of the facts that it returned.

    ``options`` are the verb's own settings, ``shared`` those it has in common with others. ``exits`` are the
    codes it may end with beside those that every verb may. ``examples`` are command lines, each with what it
    is for. ``changes`` says whether it can change the node at all. ``measured`` names what of the node is
    measured after a run, if metrics are wanted at all.
    """

    name: str
    summary: str
    about: tuple[str, ...]
    run: Callable[[Call], Outcome]
    show: Show
    options: tuple[Setting, ...] = ()
    shared: tuple[Setting, ...] = ()
    exits: tuple[int, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    changes: bool = True
    measured: str | None = None
    next_step: Callable[[Mapping[str, Any]], str | None] | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings that count for it."""
        return (*self.options, *self.shared)

    @property
    def codes(self) -> tuple[int, ...]:
        """All exit codes it may end with."""
        return tuple(sorted({*exits.COMMON, *self.exits}))


def document_of(outcome: Outcome) -> dict[str, Any]:
    """Return what a module of the collection would return."""
    return {
        "changed": outcome.changed,
        "actions": outcome.actions,
        "warnings": outcome.warnings,
        "diff": outcome.diff,
        **outcome.facts,
    }
