# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The token and the secret of the control API: where they come from, and the signature made with them.

No error and no ``repr`` holds either.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import files
from .errors import BadInput, Unsafe, guarded

TOKEN_VARIABLE = "VVTV_CONTROL_TOKEN"  # noqa: S105 - a name
SECRET_VARIABLE = "VVTV_CONTROL_SECRET"  # noqa: S105 - a name
DEV = "dev"

# The station's own defaults, which everybody knows.
_DEFAULTS = {TOKEN_VARIABLE: "dev-token", SECRET_VARIABLE: "dev-secret"}
_OPTIONS = {TOKEN_VARIABLE: "control_token", SECRET_VARIABLE: "control_secret"}
_MAX_FILE = 64 * 1024
_MAX_CHARS = 1024
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
_ESCAPED = re.compile(r'\\(["\\$`])')
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


@dataclass(frozen=True)
class Credentials:
    """What a signed call needs."""

    token: str = field(repr=False)
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise :class:`BadInput` for a token that fits in no header, or for a secret that is no text."""
        if not _TOKEN.fullmatch(self.token) or len(self.token) > _MAX_CHARS:
            raise BadInput(f"control_token must be 1 to {_MAX_CHARS} visible ASCII characters")
        if not self.secret or not self.secret.isprintable() or len(self.secret) > _MAX_CHARS:
            raise BadInput(f"control_secret must be 1 to {_MAX_CHARS} printable characters")

    def headers(self, method: str, path: str, ts: int) -> dict[str, str]:
        """Return the headers of a call made at ``ts`` (Unix seconds).

        The station checks the signature over an empty body (node-contract, "Control API").
        """
        message = f"{method}\n{path}\n{ts}\n"
        signature = hmac.new(self.secret.encode(), message.encode(), hashlib.sha256).hexdigest()
        return {
            "Authorization": f"Bearer {self.token}",
            "x-vvtv-ts": str(ts),
            "x-vvtv-signature": signature,
        }


def credentials(
    token: str | None = None,
    secret: str | None = None,
    env_file: Path | None = None,
    env: str = "production",
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """Return token and secret, each from the first place that names it.

    The places: the option, ``env_file`` (as systemd's ``EnvironmentFile``), the process's environment, and
    where ``env`` is ``dev`` the station's defaults. Raise :class:`BadInput` when one is missing or is a
    default elsewhere, and :class:`Unsafe` when others can read the file.
    """
    places: list[Mapping[str, str]] = [
        {key: value for key, value in ((TOKEN_VARIABLE, token), (SECRET_VARIABLE, secret)) if value},
        {} if env_file is None else read_env_file(env_file),
        os.environ if environ is None else environ,
        _DEFAULTS if env == DEV else {},
    ]
    found = {name: next((place[name] for place in places if place.get(name)), None) for name in _DEFAULTS}
    for name, value in found.items():
        where = f"give {_OPTIONS[name]}, or {name} in control_env_file or in the environment"
        if value is None:
            raise BadInput(f"the control API needs {_OPTIONS[name]} and there is none", hint=where)
        if value == _DEFAULTS[name] and env != DEV:
            raise BadInput(
                f"{_OPTIONS[name]} is the default that everybody knows, which is refused outside env: dev",
                hint=where,
            )
    return Credentials(str(found[TOKEN_VARIABLE]), str(found[SECRET_VARIABLE]))


def read_env_file(path: Path) -> dict[str, str]:
    """Return token and secret from a file of ``NAME=value`` lines; other names in it are left alone.

    Quotes and backslashes are read as systemd.exec(5) says for one line; the last line of a name counts.
    Raise :class:`Unsafe` when others can read the file or the group can write it.
    """
    target = Path(os.path.realpath(path))
    with guarded("read the control credentials", target):
        mode = stat.S_IMODE(target.stat().st_mode)
    if mode & _OTHERS:
        raise Unsafe(
            f"holds the control secret and has mode {mode:04o}",
            path=target,
            hint=f"run: chmod o-rwx,g-w {shlex.quote(os.fspath(target))}",
        )
    try:
        text = files.read_bounded(target, _MAX_FILE).decode()
    except UnicodeDecodeError:
        raise BadInput("is no UTF-8 text", path=target) from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if equals and name.strip() in _DEFAULTS:
            found[name.strip()] = _unquoted(value.strip(), number, target)
    return found


def _unquoted(value: str, number: int, path: Path) -> str:
    quote = value[:1]
    if quote not in ("'", '"'):
        return re.sub(r"\\(.)", r"\1", value)
    if len(value) < 2 or value[-1] != quote:
        raise BadInput(f"line {number}: the quotes do not close", path=path)
    inside = value[1:-1]
    return inside if quote == "'" else _ESCAPED.sub(r"\1", inside)
