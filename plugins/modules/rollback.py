#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Take a node back to what it was before a rollout
version_added: 1.0.0
description:
  - Ends the rollout's soak, puts the former OwnerCard and the former release back, restores the state from
    the backup that the rollout made, restarts the station, and waits until the node is healthy. What the
    rollout found when it began on the node is all that is needed for it, and lies on the node.
  - Nothing is restored and nothing is restarted when neither the release nor the OwnerCard was changed.
  - The state that is discarded is kept as a backup, which RV(rollback.discarded) names, with the time that it
    covers. When the rollout began with the state policy C(keep) the state is left alone.
  - When only an OwnerCard was brought, the station is told to read the former one, and restarted if it does
    not confirm that.
  - Emergency mode that was on before the restart is on after it. Without a token and a secret that cannot be
    done, and the task fails.
  - The pipeline's metric samples from before the rollback are waited out; when O(wait_timeout) is over
    without a new one, what they say does not count, with a warning.
  - Each step is noted in the rollout's record on the node. A run that is killed is finished by the next one.
  - A node that is C(ROLLED_BACK) already is left as it is.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
  - vvtv.runbook._rollout
  - vvtv.runbook._recovery
  - vvtv.runbook._health
attributes:
  check_mode:
    support: full
    details: Proves that the former release is there and that the backup can be restored.
  diff_mode:
    support: partial
    details: In check mode it shows what the backup would replace by what.
  idempotent:
    support: full
options:
  reason:
    description: Why; one line for the record.
    type: str
    default: asked for by an operator
  wait_timeout:
    description: How many seconds the node may take to be healthy after it.
    type: float
    default: 120.0
  restart_timeout:
    description: After how many seconds a restart that is not over counts as failed.
    type: float
    default: 300.0
  release_dir:
    description:
      - The folder of the releases; relative paths are below O(root).
      - By default the one that the rollout began with.
    type: path
  current:
    description:
      - The link to the release in force; relative paths are below O(root).
      - By default the one that the rollout began with.
    type: path
seealso:
  - module: vvtv.runbook.rollback_guard
  - module: vvtv.runbook.release
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: See what a rollback would do
  vvtv.runbook.rollback:
    root: /srv/vvtv
    rollout: 20260131T235959Z
  check_mode: true

- name: Take the node back
  vvtv.runbook.rollback:
    root: /srv/vvtv
    rollout: 20260131T235959Z
    reason: the picture is green
    control_env_file: /etc/vvtv/control.env
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
rollback:
  description: What the node came back to; none in check mode.
  type: dict
  returned: always
  contains:
    release:
      description: The release in force; none when there was none before.
      type: str
    card_sha256:
      description: The SHA-256 of the OwnerCard in place.
      type: str
    backup:
      description: The id of the backup that was restored; none when the state was left alone.
      type: str
    discarded:
      description:
        - The state that was discarded, from C(since) to C(until); C(backup) is the id of the backup that
          keeps it. When it was too damaged for one, its files are in the folder C(path).
      type: dict
    healthy:
      description: Whether the node is healthy.
      type: bool
    emergency:
      description: Whether emergency mode is on.
      type: bool
    reason:
      description: Why the node was rolled back.
      type: str
    problems:
      description: What could not be done, if anything.
      type: list
      elements: str
record:
  description: The C(state) of the node in the rollout.
  type: dict
  returned: always
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description:
        - V(needs_operator) when the node was not brought back whole or is not healthy; the record says so
          too.
        - V(not_found) when the rollout never began on the node.
      type: str
"""

from typing import Any

from ..module_utils import _adapter, _argspec, _health_options, _rollback_options
from ..module_utils._core.outcome import Outcome
from ..module_utils._core.rollout.rollback import roll_back


def operate(params: dict[str, Any], check: bool) -> Outcome:
    api, warnings = _rollback_options.api_from(params)
    folder = _argspec.rollout_at(params)
    outcome = roll_back(folder, api, _rollback_options.request_from(params), check)
    outcome.warnings += warnings
    return outcome


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        **_argspec.rollout_options(),
        **_argspec.recovery_options(),
        **_health_options.health_options(),
        **_rollback_options.rollback_options(),
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
