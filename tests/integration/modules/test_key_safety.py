# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not be lost with keys: damaged archives, forgotten variables, the shell runbook going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration import stock
from tests.integration.helpers import good, module
from tests.integration.modules.test_keys import KEYS, archive, root

__all__ = ["root"]


def made_and_rotated(root: Path, **options: Any) -> Path:
    """Make a backup, rotate the key after it, and return the archive."""
    good(module("backup_key", root=root))
    made = archive(good(module("backup", root=root, **options))["backup"])
    good(module("backup_key", root=root, state="rotated"))
    return made


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_the_shell_runbook_encrypts_after_the_adoption_is_secret_and_opens(root: Path) -> None:
    good(module("backup_key", root=root))
    current = root / KEYS / "current.key"
    assert current.read_bytes().startswith(b"AGE-SECRET-KEY-1")
    stock.legacy_backup(
        root, current, current.with_name("current.key.id").read_text().strip(), "20260102T000000Z"
    )
    assert good(module("backup_verify", root=root, id="20260102T000000Z"))["checks"]
    good(module("backup_key", root=root, state="rotated"))
    pruned = good(module("backup_key", root=root, state="pruned", retention=0))
    assert (pruned["pruned"], pruned["kept"][0]["needed_by"]) == ([], ["20260102T000000Z"])
    assert good(module("backup_verify", root=root, id="20260102T000000Z"))["checks"]


def test_a_rewrap_without_recovery_recipients_takes_none_away(root: Path, tmp_path: Path) -> None:
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    made = made_and_rotated(root, recovery_recipients=[recipient])
    before = made.read_bytes()
    result = good(module("backup_key", root=root, rewrap=True))
    assert (result["changed"], result["rewrap"]["failed"]) == (False, [made.parent.name])
    assert any(recipient in warning and "recovery_recipients" in warning for warning in result["warnings"])
    assert made.read_bytes() == before
    other = stock.recovery_identity(tmp_path / "other.key")
    assert good(module("backup_key", root=root, rewrap=True, recovery_recipients=[other]))["changed"]
    assert stock.opens(made, tmp_path / "other.key")
    assert not stock.opens(made, tmp_path / "recovery.key")


@pytest.mark.parametrize("sidecar", [True, False])
def test_a_key_stays_that_a_damaged_archive_may_need(root: Path, sidecar: bool) -> None:
    made = made_and_rotated(root)
    whole = made.read_bytes()
    flip(made, 60)
    if not sidecar:
        (made.parent / "backup.json").unlink()
    pruned = good(module("backup_key", root=root, state="pruned", retention=0))
    assert pruned["pruned"] == []
    made.write_bytes(whole)
    assert good(module("backup_verify", root=root))["checks"]


def test_a_damaged_payload_is_never_called_renewed(root: Path) -> None:
    made = made_and_rotated(root)
    flip(made, -20)
    before, facts = made.read_bytes(), (made.parent / "backup.json").read_bytes()
    result = good(module("backup_key", root=root, rewrap=True))
    assert (result["changed"], result["rewrap"]["failed"]) == (False, [made.parent.name])
    assert (made.read_bytes(), (made.parent / "backup.json").read_bytes()) == (before, facts)


def test_a_rewrap_whose_facts_are_of_before_is_finished_by_reading_all(root: Path) -> None:
    made = made_and_rotated(root)
    facts = (made.parent / "backup.json").read_bytes()
    good(module("backup_key", root=root, rewrap=True))
    # As if killed between the archive's rename and the facts', and the key rotated once more since.
    (made.parent / "backup.json").write_bytes(facts)
    good(module("backup_key", root=root, state="rotated"))
    result = good(module("backup_key", root=root, rewrap=True))
    assert result["rewrap"]["renewed"] == [made.parent.name]
    assert good(module("backup_verify", root=root))["checks"]


def test_with_an_identity_brought_along_archives_are_given_to_a_new_keyring(
    root: Path, tmp_path: Path
) -> None:
    recipient = stock.recovery_identity(tmp_path / "recovery.key")
    good(module("backup_key", root=root))
    made = archive(good(module("backup", root=root, recovery_recipients=[recipient]))["backup"])
    stock.run("rm", "-r", root / KEYS)
    good(module("backup_key", root=root))
    wanted = {"rewrap": True, "recovery_recipients": [recipient]}
    assert good(module("backup_key", root=root, **wanted))["rewrap"]["failed"] == [made.parent.name]
    wanted["identity_file"] = str(tmp_path / "recovery.key")
    assert good(module("backup_key", root=root, check=True, **wanted))["changed"]
    assert good(module("backup_key", root=root, **wanted))["rewrap"]["renewed"] == [made.parent.name]
    assert not good(module("backup_key", root=root, **wanted))["changed"]
    assert stock.opens(made, root / KEYS / "current.key")
