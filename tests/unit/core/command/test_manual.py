# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The help is the manual: every verb, option, exit code, file and variable is in it; its examples work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.vvtv.runbook.plugins.module_utils._core import (
    control_http,
    errors,
    health_check,
    slo,
)
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import exits, manual, parser, shared
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.registry import VERBS
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.verb import Verb
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.version import VERSION
from ansible_collections.vvtv.runbook.plugins.module_utils._core.soak import control

from .installed import CHECKOUT, Command
from .test_settings import said

RUNBOOK = {
    "backup",
    "verify",
    "restore",
    "key-ensure",
    "key-rotate",
    "key-prune",
    "health",
    "emergency-on",
    "emergency-off",
    "audit",
}
every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)


def help_of(*words: str) -> str:
    """The text that --help tells."""
    with pytest.raises(parser.Told) as caught:
        parser.parse([*words, "--help"])
    return caught.value.text


def section(text: str, title: str) -> list[str]:
    """The lines of a section of the help."""
    found = re.search(rf"^{re.escape(title)}:\n((?:[ \n].*\n?)*)", text, re.MULTILINE)
    assert found, f"{title}\n{text}"
    return found[1].splitlines()


def unwrapped(text: str) -> str:
    """The same text on one line."""
    return " ".join(text.split())


@every_verb
def test_the_help_of_a_verb_says_what_its_exit_codes_mean(verb: Verb) -> None:
    lines = section(help_of(verb.name), "exit codes")
    told = [int(line.split()[0]) for line in lines if re.match(r"  \d", line)]
    assert told == sorted({0, 1, 2, 129, 130, 143, *verb.exits})
    for code in told:
        assert unwrapped(exits.MEANINGS[code]) in unwrapped("\n".join(lines))


@every_verb
def test_the_help_of_a_verb_has_its_options_with_their_defaults(verb: Verb) -> None:
    text = help_of(verb.name)
    for one in verb.settings:
        for option in said(one):
            assert re.search(rf"^  {option}\b", text, re.MULTILINE), option
        if (
            said(one) == [one.option]
            and manual.default_of(one)
            and not isinstance(one.default, (bool, tuple))
        ):
            entry = re.split(r"\n\n|\n  -", text.split(f"\n  {one.option} ", 1)[1])[0]
            assert f"default: {manual.default_of(one)}" in unwrapped(entry), one.option
    for option in ("--config", "--root", "--check", "--json", "--quiet"):
        assert re.search(rf"^  {option}\b", text, re.MULTILINE)
    for paragraph in verb.about:
        assert unwrapped(paragraph) in unwrapped(text)


@every_verb
def test_the_help_of_a_verb_names_its_variables(verb: Verb) -> None:
    wanted = {one.variable for one in verb.settings if one.variable}
    if shared.CONTROL_ENV_FILE in verb.settings:
        wanted |= {"VVTV_CONTROL_TOKEN", "VVTV_CONTROL_SECRET"}
    text = help_of(verb.name)
    assert set(re.findall(r"^  (VVTV_\w+)", text, re.MULTILINE)) == wanted


def examples() -> Iterator[str]:
    """Every example of every help."""
    for words in ([], *([name] for name in VERBS)):
        text = help_of(*words)
        if "\nexamples:\n" in text:
            yield from (
                re.split(r"\s{2,}", line.strip())[0]
                for line in section(text, "examples")
                if re.match(r"  (ssh node )?vvtv-runbook ", line)
            )


def test_every_example_is_a_command_line_that_can_be_read() -> None:
    found = list(examples())
    assert len(found) > 20
    for line in found:
        command = re.split(r" \| | < ", line)[0].removeprefix("ssh node ")
        program, *words = shlex.split(command)
        assert program == parser.PROG
        assert parser.parse(words).verb.name == words[0]


def test_the_whole_help_lists_every_verb_code_file_variable_and_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = help_of()
    for verb in VERBS.values():
        assert re.search(rf"^    {verb.name}\s+{re.escape(verb.summary)}", text, re.MULTILINE), verb.name
    assert [int(line.split()[0]) for line in section(text, "exit codes") if re.match(r"  \d", line)] == list(
        exits.MEANINGS
    )
    for one in shared.CONFIGURED:
        assert re.search(rf"^    {re.escape(one.name)}\b", text, re.MULTILINE), one.name
        assert not one.variable or one.variable in text
    assert shared.CONFIG in text
    assert not RUNBOOK - set(VERBS)


@pytest.mark.parametrize("words", [[], *([name] for name in VERBS)], ids=" ".join)
def test_no_line_is_too_wide(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert max(map(len, help_of(*words).splitlines())) <= 100


def test_help_and_version_are_printed_and_end_with_0(command: Command) -> None:
    for words in (["--help"], ["backup", "-h"], ["--version"], ["version"]):
        done = command(*words)
        assert (done.code, done.err) == (0, "")
        assert done.out
    assert command("--version").out == f"vvtv-runbook {VERSION}\n"
    assert command("version", "--json").json()["version"] == VERSION


def test_the_version_is_the_collections() -> None:
    text = (CHECKOUT / "galaxy.yml").read_text()
    assert re.findall(r"^version: (.*)$", text, re.MULTILINE) == [VERSION]


# --- exit codes ---

NAMED = "/given/file"


def errors_of(base: type[errors.RunbookError]) -> Iterator[type[errors.RunbookError]]:
    """Every error of the engine."""
    yield base
    for kind in base.__subclasses__():
        yield from errors_of(kind)


def made(kind: type[errors.RunbookError], path: str) -> errors.RunbookError:
    """An error as it would come, without what only its own place knows."""
    exc = kind.__new__(kind)
    errors.RunbookError.__init__(exc, "it is so", path=path)
    return exc


@pytest.mark.parametrize(
    "kind", sorted(set(errors_of(errors.RunbookError)), key=str), ids=lambda kind: kind.__name__
)
def test_every_error_has_a_code_that_says_what_it_is(kind: type[errors.RunbookError]) -> None:
    wanted = exits.FAILED
    if issubclass(kind, exits.Unconfirmed):
        wanted = exits.UNCONFIRMED
    elif issubclass(kind, errors.Busy):
        wanted = exits.BUSY
    elif issubclass(kind, (health_check.Unhealthy, slo.BelowTarget, control.NotPassed)):
        wanted = exits.SICK
    elif issubclass(kind, errors.BadInput):
        wanted = exits.BAD_INPUT
    assert exits.code_of(made(kind, "/x"), {NAMED}) == wanted
    by_name = exits.BAD_INPUT if wanted == exits.FAILED else wanted
    assert exits.code_of(made(kind, NAMED), {NAMED}) == by_name


def test_an_api_that_does_not_answer_is_a_failure() -> None:
    fault = control_http.ApiFault("refused", "nobody listens there", "http://127.0.0.1:7070/")
    assert exits.code_of(fault, ()) == exits.FAILED


def test_the_codes_are_these() -> None:
    assert list(exits.MEANINGS) == [0, 1, 2, 3, 4, 5, 129, 130, 143]


def test_the_launcher_is_what_the_role_installs(tmp_path: Path) -> None:
    text = (CHECKOUT / "roles/node/files/vvtv-runbook").read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "exec /usr/bin/python3 -I -B -c" in text
    assert "{{" not in text
