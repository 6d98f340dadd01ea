#!/usr/bin/python
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: owner_card
short_description: Install an OwnerCard and let the station read it
version_added: 1.0.0
description:
  - Checks the card as strictly as the station does and lists every error at once, each with its place in the
    document. An invalid card changes nothing and leaves the one in force as it is.
  - Keeps the card that is replaced as a dated copy in a folder beside it, such as
    C(config/owner_card.sample.history), replaces it in one step, and lets the station read it.
  - When the station does not confirm that it reads the card, the former one is put back and the task fails.
  - A run that is killed leaves the old card or the new one; the next run lets the station read it if that is
    still owed.
  - The station says nothing about which card it has in force; it takes any that this module accepts.
extends_documentation_fragment:
  - vvtv.runbook._attributes
  - vvtv.runbook._node
  - vvtv.runbook._api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: O(reload=always) lets the station read its card each time.
options:
  src:
    description:
      - A file on the node with the card. Must be absolute.
      - It may be the card in place, such as one that was edited there; then nothing is replaced, and with
        O(reload=always) the station reads it.
      - Exactly one of O(src) and O(content) is needed.
    type: path
  content:
    description: The card itself, as a text.
    type: str
  keep:
    description: How many of the former cards to keep; at least 1.
    type: int
    default: 30
  reload:
    description:
      - When to let the station read its card. V(changed) is when the card was replaced, or a run that was
        killed still owes it.
      - With V(never) no token and no secret are needed, and the station reads the card at its next start or
        reload.
    type: str
    choices: [changed, always, never]
    default: changed
  validate_only:
    description: Check the card and do nothing else, neither now nor in check mode.
    type: bool
    default: false
seealso:
  - module: vvtv.runbook.emergency_mode
  - module: vvtv.runbook.backup_restore
author: the vvtv.runbook authors (@vvtv)
"""

EXAMPLES = r"""
- name: Bring a card from the bastion to the node
  vvtv.runbook.owner_card:
    root: /srv/vvtv
    content: "{{ lookup('ansible.builtin.file', 'owner_card.yaml', rstrip=false) }}"
    control_env_file: /etc/vvtv/control.env
  register: installed

- name: Go back to the one before
  vvtv.runbook.owner_card:
    root: /srv/vvtv
    src: "{{ installed.previous }}"
    control_env_file: /etc/vvtv/control.env
  when: installed.previous is not none

- name: See whether a card is valid
  vvtv.runbook.owner_card:
    root: /srv/vvtv
    src: /srv/vvtv/config/owner_card.next.yaml
    validate_only: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
path:
  description: The card in place.
  type: str
  returned: success
previous:
  description: The copy of the card that was replaced; none when nothing was, and in check mode.
  type: str
  returned: success
sha256:
  description: The SHA-256 of the card that was given, which is the one in place unless O(validate_only).
  type: str
  returned: success
sha256_before:
  description: The SHA-256 of the card that was in place before; none if there was none.
  type: str
  returned: success
reloaded:
  description: Whether the station was told to read its card, or in check mode would be.
  type: bool
  returned: success
error:
  description: What went wrong, for a program to read.
  type: dict
  returned: failure
  contains:
    code:
      description: V(damaged) for an invalid card, V(not_reloaded) when the station did not confirm it.
      type: str
    errors:
      description: Every broken rule of an invalid card, with its place in the document.
      type: list
      elements: str
    put_back:
      description: Whether the former card is in place again, with C(not_reloaded).
      type: bool
"""

from pathlib import Path
from typing import Any

from ..module_utils import _adapter, _argspec
from ..module_utils._core import card_change, card_history
from ..module_utils._core.card_change import RELOADS, Request, install
from ..module_utils._core.errors import BadInput, require_absolute
from ..module_utils._core.node import Node
from ..module_utils._core.outcome import Outcome


def given(node: Node, params: dict[str, Any]) -> tuple[bytes | None, Path]:
    """Return the card's bytes and where they come from."""
    src, content = params["src"], params["content"]
    if (src is None) == (content is None):
        raise BadInput("give exactly one of src and content")
    if src is None:
        return content.encode(errors="surrogatepass"), Path("the option content")
    return card_change.given(node, require_absolute(src, "src"))


def operate(params: dict[str, Any], check: bool) -> Outcome:
    node = _argspec.node_at(params)
    request = Request(
        *given(node, params),
        params["keep"],
        params["reload"],
        params["lock_timeout"],
        params["validate_only"],
    )
    unasked = request.validate_only or request.reload == "never"
    return install(node, None if unasked else _argspec.api_from(params, signed=True), request, check)


def main() -> None:
    spec = {
        **_argspec.node_options(),
        **_argspec.api_options(),
        "src": {"type": "path"},
        "content": {"type": "str"},
        "keep": {"type": "int", "default": card_history.KEEP},
        "reload": {"type": "str", "choices": list(RELOADS), "default": "changed"},
        "validate_only": {"type": "bool", "default": False},
    }
    _adapter.run(spec, operate)


if __name__ == "__main__":
    main()
