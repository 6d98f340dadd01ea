# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # The twin of api_options in plugins/module_utils/_argspec.py.
    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - Where the station's control API listens. Plain HTTP is for the loopback only, so run the task on the
        node; elsewhere it must be C(https).
      - Redirects are not followed and the proxies of the environment are not asked.
    type: str
    default: http://127.0.0.1:7070
  api_timeout:
    description:
      - How many seconds one request may take as a whole, 600 at most.
      - A question that nobody answers is asked again within twice that; a command is sent once.
    type: float
    default: 5.0
  control_token:
    description:
      - The token of the station's commands; questions need none.
      - Without it the token is C(VVTV_CONTROL_TOKEN) in O(control_env_file), else in the environment of the
        task.
    type: str
  control_secret:
    description:
      - The secret that the station's commands are signed with.
      - Without it the secret is C(VVTV_CONTROL_SECRET) in O(control_env_file), else in the environment of the
        task.
    type: str
  control_env_file:
    description:
      - A file on the node with lines C(VVTV_CONTROL_TOKEN=...) and C(VVTV_CONTROL_SECRET=...), as systemd's
        C(EnvironmentFile) has them, so that the secrets stay on the node. Must be absolute.
      - It is refused when others can read it.
    type: path
  env:
    description:
      - What the node is used for. Only V(dev) allows the token and the secret that everybody knows
        (C(dev-token), C(dev-secret)), and there they are the default.
    type: str
    default: production
"""
