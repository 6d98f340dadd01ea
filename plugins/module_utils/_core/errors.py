# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way an operation of the engine can end badly, as one family of exceptions.

An error says what failed, on which path and what to do next; its ``code`` is the machine's word for the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Union

AnyPath = Union[str, "os.PathLike[str]"]


class RunbookError(Exception):
    """The base: ``msg`` (what failed), ``path`` (where), ``hint`` (what to do next).

    ``facts`` are what the operation found before it failed; a module returns them as if it had succeeded.
    """

    code: ClassVar[str] = "error"

    def __init__(self, msg: str, *, path: AnyPath | None = None, hint: str | None = None) -> None:
        super().__init__(msg)
        self.msg = msg
        self.path = None if path is None else os.fspath(path)
        self.hint = hint
        self.facts: dict[str, Any] = {}

    def result(self) -> dict[str, Any]:
        """Return the error for a program to read: ``code``, ``path``, ``hint``."""
        return {"code": self.code, "path": self.path, "hint": self.hint}

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path and self.path not in self.msg else ""
        then = f"; {self.hint}" if self.hint else ""
        return f"{where}{self.msg}{then}"


class BadInput(RunbookError):
    """An option or a document the operator gave cannot be used."""

    code = "bad_input"


class NotFound(RunbookError):
    """Something named does not exist."""

    code = "not_found"


class MissingKey(NotFound):
    """No key at hand opens an archive."""

    code = "missing_key"


class Damaged(RunbookError):
    """Data on disk are not what they must be: wrong hash, no database, truncated."""

    code = "damaged"


class Busy(RunbookError):
    """Somebody else holds what is needed, and the time to wait is over."""

    code = "busy"


class DiskFull(RunbookError):
    """The file system has no room for what must be written."""

    code = "disk_full"


class Denied(RunbookError):
    """The operating system refused to read or write a path."""

    code = "denied"


class Unsafe(RunbookError):
    """Something that must be private can be used by others."""

    code = "unsafe"


class MissingLibrary(RunbookError):
    """The node's Python lacks a library the operation needs."""

    code = "missing_library"


class Unsupported(RunbookError):
    """What was asked for cannot be done safely in this situation."""

    code = "unsupported"


class SystemFault(RunbookError):
    """Any other error of the operating system, such as an I/O error."""

    code = "system"


def from_os_error(exc: OSError, doing: str, path: AnyPath | None = None) -> RunbookError:
    """Say an operating system's error in the engine's terms.

    ``doing`` completes "cannot ..."; ``path`` is used when the error names none.
    """
    where = exc.filename if isinstance(exc.filename, str) else path
    why = exc.strerror or str(exc)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"cannot {doing}: {why}", path=where, hint="free some space and run again")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"cannot {doing}: {why}", path=where, hint="run as the service user or with become")
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"cannot {doing}: {why}", path=where)
    return SystemFault(f"cannot {doing}: {why}", path=where)


@contextmanager
def guarded(doing: str, path: AnyPath | None = None) -> Iterator[None]:
    """Turn any ``OSError`` of the body into a :class:`RunbookError` that says what was being done."""
    try:
        yield
    except OSError as exc:
        raise from_os_error(exc, doing, path) from exc


def require_absolute(value: AnyPath, what: str) -> Path:
    """Return ``value`` as a path, or raise :class:`BadInput` when it is not an absolute one."""
    text = os.fspath(value)
    if "\0" in text or not os.path.isabs(text):
        raise BadInput(f"{what} must be an absolute path, not {text!r}")
    return Path(os.path.normpath(text))
