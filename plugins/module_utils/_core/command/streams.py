# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing the result: once, whatever becomes of whoever reads it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO


def make_sure_of_descriptors() -> None:
    """Open the standard descriptors that the caller closed, or a file of the node would get their numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one


def tell(lines: Iterable[str]) -> str | None:
    """Write lines to standard output; return why that failed. A reader who has gone is no failure."""
    return _write(sys.stdout, "".join(f"{line}\n" for line in lines))


def note(lines: Iterable[str]) -> None:
    """Write lines to standard error, if it can be."""
    _write(sys.stderr, "".join(f"{line}\n" for line in lines))


def to_json(document: dict[str, Any]) -> str:
    """Return one object as one line of ASCII, so that no locale can spoil it."""
    return json.dumps(document, allow_nan=False)


def _write(stream: TextIO | None, text: str) -> str | None:
    if stream is None or not text:
        return None
    try:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except OSError as exc:
        _silence(stream)
        return exc.strerror or str(exc)
    return None


def _silence(stream: TextIO) -> None:
    """Let what is still in the buffer go nowhere, or Python complains as it ends."""
    with suppress(OSError, ValueError):
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
