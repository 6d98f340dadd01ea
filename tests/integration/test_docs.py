# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README and guide say what is there, and the commands they give work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.integration.helpers import CHECKOUT, good, module, sqlite3
from tests.simulator import fleet

GUIDE = CHECKOUT / "docs/backup_and_restore.md"


def names(folder: str, suffix: str) -> set[str]:
    """What a folder of the collection holds, by name."""
    return {path.stem for path in (CHECKOUT / folder).glob(f"*{suffix}")}


def test_the_readme_lists_every_playbook_and_module_and_nothing_else() -> None:
    listed = set(
        re.findall(r"^\| `vvtv\.runbook\.(\w+)` \|", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    )
    assert listed == names("playbooks", ".yml") | names("plugins/modules", ".py")


def test_every_test_that_the_guide_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", GUIDE.read_text())
    assert len(named) > 5
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_a_backup_is_restored_by_hand_as_the_guide_says(quiet: fleet.Node) -> None:
    backup = good(module("backup", encrypt=False, root=quiet.root))["backup"]
    count = "SELECT count(*) FROM plans"
    plans, card = sqlite3(quiet.state_db, count), quiet.owner_card.read_bytes()
    sqlite3(quiet.state_db, "DELETE FROM plans")
    quiet.owner_card.write_text("broken\n")
    quiet.kill()
    (block,) = re.findall(r"```\n(cd runtime/backups/<id>\n.*?)```", GUIDE.read_text(), re.DOTALL)
    script = block.replace("<id>", backup["id"])
    done = subprocess.run(["sh", "-euc", script], cwd=quiet.root, capture_output=True, text=True, check=True)
    assert backup["sha256"] in done.stdout
    assert sqlite3(quiet.state_db, count) == plans
    assert sqlite3(quiet.state_db, "PRAGMA integrity_check") == "ok"
    assert quiet.owner_card.read_bytes() == card


def test_the_layout_that_the_guide_shows_is_the_one_on_disk(quiet: fleet.Node) -> None:
    backup = Path(good(module("backup", encrypt=False, root=quiet.root))["backup"]["path"])
    shown = re.findall(r"^\| `runtime/backups/<id>/([\w.]+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in backup.iterdir())
