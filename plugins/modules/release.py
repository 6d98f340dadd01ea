#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Bring a release to a node, and put it in force
version_added: 1.0.0
description:
  - A release is a folder below O(release_dir) with the release's id as its name, unpacked from an archive.
    The link O(current) leads to the one that the station runs.
  - With O(state=present) the archive's SHA-256 is checked, and it is unpacked beside the other releases and
    gets its name when it is whole and on disk. A release that is there never changes; a digest of its files
    is kept beside it.
  - An archive is refused, and nothing of it stays, when it holds an absolute name or one that leads upwards,
    a link that leads out of its folder, a device, more than 50000 members or 4 GiB.
  - With O(state=current) the release's files are compared with their digest, the link is replaced in one
    step, and the station is restarted. A run that is killed in between owes the restart, and the next one
    makes up for it.
  - A station in emergency mode is refused, since a restart would end the emergency.
  - Older releases are removed, but never the one in force, the one before it, and those that a rollout which
    is not settled needs for its way back.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
attributes:
  check_mode:
    support: full
    details: What an earlier task would bring to the node is taken for granted, with a warning.
  diff_mode:
    support: full
    details: Shows which release is in force.
  idempotent:
    support: full
options:
  id:
    description: The release's id, up to 64 of letters, digits, dots, underscores and dashes.
    type: str
    required: true
  state:
    description: Whether the release is to be there, or to be the one that the station runs.
    type: str
    choices: [present, current]
    default: present
  src:
    description:
      - The archive on the node, a tar, plain or packed with gzip or zstd. Must be absolute.
      - What the station finds in O(current) is what the archive holds, without a folder of its own on top.
      - Needed with O(state=present).
    type: path
  sha256:
    description: The archive's SHA-256. Needed with O(state=present).
    type: str
  keep:
    description: How many releases stay on the node; at least 1.
    type: int
    default: 5
  restart:
    description: How the station is restarted. Without it the station runs the release from its next start on.
    type: dict
    default: {}
    suboptions:
      units:
        description: The systemd units to restart, by their full names. Needs root.
        type: list
        elements: str
        default: []
      command:
        description:
          - Or else the words of a command that restarts the station and ends when that is done. The first
            one must be an absolute path; no shell is involved.
        type: list
        elements: str
        default: []
  restart_timeout:
    description: After how many seconds a restart that is not over counts as failed.
    type: float
    default: 300.0
  release_dir:
    description: The folder of the releases; relative paths are below O(root).
    type: path
    default: releases
  current:
    description: The link to the release in force; relative paths are below O(root).
    type: path
    default: current
  canary_dir:
    description: The folder that holds one folder for each rollout; relative paths are below O(root).
    type: path
    default: runtime/canary
seealso:
  - module: vvtv.runbook.rollback
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Bring a release to the node
  vvtv.runbook.release:
    root: /srv/vvtv
    id: "2.1.0"
    src: /srv/vvtv/incoming/vvtv-2.1.0.tar.gz
    sha256: "{{ vvtv_release_sha256 }}"

- name: Let the station run it
  vvtv.runbook.release:
    root: /srv/vvtv
    id: "2.1.0"
    state: current
    restart:
      units: [vvtv-station.service]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
release:
  description: The release.
  type: dict
  returned: success
  contains:
    id:
      description: Its id.
      type: str
    sha256:
      description: The SHA-256 of the archive that it was unpacked from.
      type: str
    path:
      description: Its folder.
      type: str
    current:
      description: Whether it is the one in force.
      type: bool
    previous:
      description: The one that it took the place of; none when there was none, or it never was in force.
      type: str
    restarted:
      description: Whether the station was restarted, or in check mode would be.
      type: bool
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description:
        - V(damaged) for an archive that is another, or may not be unpacked, and for a release that was
          changed.
        - V(emergency) for a station in emergency mode.
        - V(not_restarted) when the release is in force and the station was not restarted; that stays owed.
      type: str
"""

from pathlib import Path
from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core import release_change, releases, station
from ..module_utils._core.errors import require_absolute
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout import folder


def source(params: dict[str, Any]) -> Path | None:
    given = params["src"]
    return None if given is None else require_absolute(given, "src")


def operate(params: dict[str, Any], check: bool) -> Outcome:
    request = release_change.Request(
        params["id"],
        params["state"],
        source(params),
        params["sha256"],
        params["keep"],
        release_change.of_words(params["restart"]["units"], params["restart"]["command"]),
        params["restart_timeout"],
        params["lock_timeout"],
        params["release_dir"],
        params["current"],
        params["canary_dir"],
    )
    return release_change.bring_about(_argspec.node_at(params), _argspec.api_from(params), request, check)


def main() -> None:
    words = {"type": "list", "elements": "str", "default": []}
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        "id": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(release_change.STATES), "default": "present"},
        "src": {"type": "path"},
        "sha256": {"type": "str"},
        "keep": {"type": "int", "default": releases.KEEP},
        "restart": {"type": "dict", "default": {}, "options": {"units": words, "command": words}},
        "restart_timeout": {"type": "float", "default": station.SECONDS},
        "release_dir": {"type": "path", "default": releases.RELEASE_DIR},
        "current": {"type": "path", "default": releases.CURRENT},
        "canary_dir": {"type": "path", "default": folder.CANARY_DIR},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
