# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the command: a small YAML file, read with bounds and checked to the last key.

Whoever can change it decides what the command does with the power of whoever runs it. So it must belong to
root or to the caller, and nobody else may write it. No message repeats what is in it, but for names of keys.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .. import files, strict_yaml
from ..errors import NotFound, Unsafe, guarded
from ..probes import one_line
from .exits import BadUsage
from .settings import Setting, of_yaml

MAX_BYTES = 64 * 1024
_SECRETS = ("control_token", "control_secret", "token", "secret", "password", "passphrase", "key", "identity")


def read(path: Path, required: bool, settings: Iterable[Setting]) -> dict[str, Any]:
    """Return what the file at ``path`` says, by the settings' names.

    One that is not ``required`` may be missing. Raise :class:`BadUsage` naming file and key,
    :class:`Unsafe` when somebody else can change the file, or another error of reading it.
    """
    target = Path(os.path.realpath(path))
    try:
        _require_trusted(target)
        data = files.read_bounded(target, MAX_BYTES)
    except NotFound:
        if not required:
            return {}
        raise
    known = {one.name: one for one in settings if one.configured}
    return {
        one.name: of_yaml(one, value, target) for one, value in _pairs(_parse(data, target), known, target)
    }


def _require_trusted(path: Path) -> None:
    with guarded("read the configuration", path):
        found = path.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise Unsafe(
            f"belongs to uid {found.st_uid}, neither to root nor to you, and says what is done",
            path=path,
            hint=f"run: chown root {shlex.quote(str(path))}",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unsafe(
            f"can be changed by others (mode {stat.S_IMODE(found.st_mode):04o}), and says what is done",
            path=path,
            hint=f"run: chmod go-w {shlex.quote(str(path))}",
        )


def _parse(data: bytes, path: Path) -> Any:
    try:
        return strict_yaml.load(data, "the configuration", path)
    except strict_yaml.NotYaml as exc:
        raise BadUsage(f"is no YAML that can be used{exc.place}", path=path) from None


def _pairs(document: Any, known: dict[str, Setting], path: Path) -> Iterator[tuple[Setting, Any]]:
    """Yield every setting that the document names; a value that is null says nothing."""
    if document is None:
        return
    yield from _below("", document, known, path)


def _below(prefix: str, mapping: Any, known: dict[str, Setting], path: Path) -> Iterator[tuple[Setting, Any]]:
    if not isinstance(mapping, dict):
        what = f"{prefix[:-1]} must be" if prefix else "must hold"
        raise BadUsage(f"{what} a mapping of names to values", path=path)
    groups = {name.partition(".")[0] for name in known if "." in name}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(key, str) and name in known:
            if value is not None:
                yield known[name], value
        elif isinstance(key, str) and not prefix and key in groups:
            if value is not None:
                yield from _below(f"{key}.", value, known, path)
        else:
            raise _unknown(name, prefix, known, path)


def _unknown(name: str, prefix: str, known: dict[str, Setting], path: Path) -> BadUsage:
    shown = one_line(name, 80)
    if name.rpartition(".")[2] in _SECRETS:
        hint = "secrets do not belong here: name a private file as control_env_file"
    else:
        names = sorted({one[len(prefix) :].partition(".")[0] for one in known if one.startswith(prefix)})
        near = get_close_matches(name[len(prefix) : len(prefix) + 80], names, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
    return BadUsage(f"unknown key {shown}", path=path, hint=hint)
