# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make release archives: the same arguments give the same bytes, so a release has one digest."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from .faults import FaultValue
from .layout import AnyPath
from .release import Phase, Release, parse_release

_LAUNCHER = '#!/bin/sh\nexec /opt/vvtv-station/bin/vvtv-station "$@"\n'
_TEMPLATES = {f"share/templates/{name}.txt": f"{name}\n" for name in ("bumper", "ident", "slate")}
#: 2026-01-01, as in a release that was built from a tag.
_MTIME = 1_767_225_600

#: The ways in which a release gets bad after a while, and the faults that it has from then on.
SICKNESSES: Mapping[str, Mapping[str, FaultValue]] = {
    "qa": {"qa": 0.4},
    "buffer": {"buffer": 5},
    "fallback": {"fallback_step": 0.2},
    "frozen": {"pipeline": "frozen"},
    "api_500": {"http_500": "all"},
    "api_hangs": {"hang": 600},
    "crash": {"crash": "now"},
}


def good(path: AnyPath, version: str) -> Path:
    """A release that is healthy for good."""
    return make(path, Release(version))


def sick(path: AnyPath, version: str, sickness: str, after: float = 0.0) -> Path:
    """A release that is healthy for ``after`` seconds and then has one of :data:`SICKNESSES`."""
    return make(path, Release(version, (Phase(after, SICKNESSES[sickness]),)))


def never_ready(path: AnyPath, version: str) -> Path:
    """A release whose process runs and whose API never listens."""
    return make(path, Release(version, ready_after=None))


def does_not_start(path: AnyPath, version: str) -> Path:
    """A release whose process ends as soon as it begins."""
    return _pack(path, {**_files(Release(version)), "station.json": "{"})


def make(path: AnyPath, release: Release, extra: Mapping[str, str] | None = None) -> Path:
    """Make the archive at ``path``: ``.tar``, or ``.tar.gz`` and the like. ReleaseError for a bad release.

    The tree has no folder of its own on top. ``extra`` adds files by their paths, or replaces them.
    """
    parse_release(release.text())
    return _pack(path, {**_files(release), **(extra or {})})


def _files(release: Release) -> dict[str, str]:
    return {
        "VERSION": f"{release.version}\n",
        "bin/vvtv-station": _LAUNCHER,
        "station.json": release.text(),
        **_TEMPLATES,
    }


def _pack(path: AnyPath, files: Mapping[str, str]) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in _folders(files):
            archive.addfile(_member(folder, tarfile.DIRTYPE, 0o755))
        for name, text in sorted(files.items()):
            content = text.encode()
            member = _member(name, tarfile.REGTYPE, 0o755 if name.startswith("bin/") else 0o644)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    target = Path(path)
    packed = raw.getvalue() if target.suffix == ".tar" else gzip.compress(raw.getvalue(), mtime=0)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed)
    return target


def _folders(files: Iterable[str]) -> list[str]:
    """The folders that the files lie in, each after the one that it lies in."""
    return sorted({str(folder) for name in files for folder in Path(name).parents if str(folder) != "."})


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, _MTIME
    return member
