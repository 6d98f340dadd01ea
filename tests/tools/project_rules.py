# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of this project that no ready-made tool checks. Prints every breach; status 1 if there is one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tree import files

HEADER = (
    "# Copyright (c) 2026 the vvtv.runbook authors\n"
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)
LONGEST_PYTHON_FILE = 400
SWALLOWED = re.compile(r"^\s*(?:-\s+)?(?:ignore_errors\s*:|failed_when\s*:\s*(?:false|no)\b)", re.IGNORECASE)


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def action_group(root: Path) -> Iterator[str]:
    """Every module is in the action group, every name in the group is a module, the names are in order."""
    group = load(root / "meta/runtime.yml").get("action_groups", {}).get("vvtv", [])
    modules = {path.stem for path in (root / "plugins/modules").glob("*.py") if path.stem != "__init__"}
    if not modules:
        yield "plugins/modules: no module found"
    for name in sorted(modules - set(group)):
        yield f"meta/runtime.yml: module {name} is not in the action group vvtv; add it"
    for name in sorted(set(group) - modules):
        yield f"meta/runtime.yml: the action group vvtv names {name}, which is no module; remove it"
    if list(group) != sorted(group):
        yield "meta/runtime.yml: the action group vvtv is not in alphabetical order"


def is_template(value: object) -> bool:
    return "{{" in str(value)


def role_defaults(root: Path) -> Iterator[str]:
    """A role's defaults and the options of its entry points are the same names with the same values."""
    roles = sorted(path for path in (root / "roles").glob("*") if path.is_dir())
    if not roles:
        yield "roles: no role found"
    for role in roles:
        spec_path = role / "meta/argument_specs.yml"
        if not spec_path.is_file():
            yield f"roles/{role.name}: meta/argument_specs.yml is missing"
            continue
        defaults_path = role / "defaults/main.yml"
        defaults = load(defaults_path) if defaults_path.is_file() else {}
        entries = load(spec_path).get("argument_specs", {})
        options: dict[str, dict[str, Any]] = {}
        for entry in entries.values():
            options.update(entry.get("options", {}))
        optional = {name for name, option in options.items() if not option.get("required")}
        for name in sorted(set(defaults) - set(options)):
            yield f"roles/{role.name}: default {name} is not in meta/argument_specs.yml"
        for name in sorted(optional - set(defaults)):
            yield f"roles/{role.name}: option {name} has no line in defaults/main.yml"
        for name in sorted(set(defaults) & set(options)):
            if options[name].get("required"):
                yield f"roles/{role.name}: option {name} is required and has a default"
            elif not is_template(defaults[name]) and options[name].get("default") != defaults[name]:
                yield f"roles/{role.name}: option {name} has another default in meta/argument_specs.yml"


def swallowed_errors(root: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        if not name.endswith((".yml", ".yaml")):
            continue
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
            if SWALLOWED.match(line):
                yield f"{name}:{number}: an error may not be swallowed: {line.strip()}"


def python_files(root: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        path = root / name
        if not name.endswith(".py") or path.is_symlink():
            continue
        text = path.read_text(encoding="utf-8")
        if path.name == "__init__.py":
            if text:
                yield f"{name}: has to be empty"
            continue
        body = text.split("\n", 1)[1] if text.startswith("#!") else text
        if not body.startswith(HEADER):
            yield f"{name}: does not begin with the copyright and licence lines"
        length = text.count("\n")
        if length > LONGEST_PYTHON_FILE:
            yield f"{name}: {length} lines; split it, {LONGEST_PYTHON_FILE} is the most"


def breaches(root: Path) -> Iterator[str]:
    names = files(root)
    yield from action_group(root)
    yield from role_defaults(root)
    yield from swallowed_errors(root, names)
    yield from python_files(root, names)


def main() -> int:
    found = list(breaches(Path(sys.argv[1])))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
