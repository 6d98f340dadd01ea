# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which value of a setting holds, and that the command's settings are the modules' options."""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils import _argspec, _health_options
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command import exits, kinds, parser, shared
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.registry import VERBS
from ansible_collections.vvtv.runbook.plugins.module_utils._core.command.settings import (
    Setting,
    resolve,
    switch,
)

AGE = shared.MAX_AGE
PLACES = ("option", "variable", "configuration")
VALUES: dict[str, float] = {"option": 1.0, "variable": 2.0, "configuration": 3.0}


@pytest.mark.parametrize("named", [set(some) for n in range(4) for some in itertools.combinations(PLACES, n)])
def test_the_first_place_that_names_a_setting_counts(named: set[str]) -> None:
    on_the_line = {AGE.name: "1"} if "option" in named else {}
    environ = {str(AGE.variable): "2"} if "variable" in named else {}
    configured = {AGE.name: 3.0} if "configuration" in named else {}
    found = resolve([AGE], on_the_line, environ, configured)
    assert found[AGE.name] == next((VALUES[place] for place in PLACES if place in named), AGE.default)


def test_an_empty_variable_says_nothing() -> None:
    assert resolve([AGE], {}, {str(AGE.variable): ""}, {AGE.name: 3.0})[AGE.name] == 3


def test_a_variable_of_another_verb_is_not_looked_at() -> None:
    assert resolve([shared.ROOT], {}, {str(AGE.variable): "nonsense"}, {})["root"] is None


@pytest.mark.parametrize("on_the_line", [{AGE.name: "hush"}, {}])
def test_a_bad_value_is_named_by_its_place_and_not_repeated(on_the_line: dict[str, Any]) -> None:
    place = "--max-age" if on_the_line else "VVTV_BACKUP_KEY_MAX_AGE_DAYS"
    with pytest.raises(exits.BadUsage, match=f"^{place} must be a number$"):
        resolve([AGE], on_the_line, {str(AGE.variable): "hush"}, {})


def test_every_variable_of_the_runbook_is_known() -> None:
    assert {one.variable for one in shared.CONFIGURED if one.variable} == {
        "VVTV_STATE_DB_PATH",
        "VVTV_OWNER_CARD_PATH",
        "VVTV_BACKUP_DIR",
        "VVTV_BACKUP_KEY_DIR",
        "VVTV_BACKUP_KEY_MAX_AGE_DAYS",
        "VVTV_BACKUP_KEY_ARCHIVE_RETENTION_DAYS",
        "VVTV_API_URL",
        "VVTV_ENV",
    }


def test_a_file_on_the_command_line_is_found_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve([shared.ROOT, shared.BACKUP_DIR], {"root": "node", "backup_dir": "b"}, {}, {})
    assert found["root"] == str(tmp_path / "node")
    assert found["backup_dir"] == "b"  # relative to the root


TEXTS: dict[str, tuple[kinds.Kind, list[str], list[str]]] = {
    "number": (
        kinds.NUMBER,
        ["0", "-1", "+2.5", ".5", "1.", "1e3"],
        ["", "nan", "inf", "1_0", "0x1", "1e999", "one"],
    ),
    "whole": (kinds.WHOLE, ["0", "-1", "+7", " 3 "], ["", "1.0", "1_0", "9" * 16, "٣"]),
    "text": (kinds.TEXT, ["x", "ä b"], ["", "a\nb", "a\0", "\x1b[2J", "x" * 5000]),
    "path": (kinds.PATH, ["/x", "x y"], ["", "a\0b", "x" * 5000]),
    "choice": (kinds.choice(("a", "b")), ["a", "b"], ["", "c", "A", "a b"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_kind_takes_as_a_text(name: str) -> None:
    kind, good, bad = TEXTS[name]
    assert kind.of_text is not None
    for text in good:
        kind.of_text(text)
    for text in bad:
        with pytest.raises(kinds.Unfit):
            kind.of_text(text)


YAMLS: dict[str, tuple[kinds.Kind, list[Any], list[Any]]] = {
    "number": (kinds.NUMBER, [0, -1, 2.5], [True, "1", None, [], float("nan"), float("inf"), 10**400]),
    "whole": (kinds.WHOLE, [0, -1], [True, 1.0, "1", 10**400]),
    "text": (kinds.TEXT, ["x"], [1, None, True, "", ["x"], {"x": 1}]),
    "flag": (kinds.FLAG, [True, False], [0, 1, "yes", None]),
    "texts": (kinds.TEXTS, [[], ["a"]], ["a", [1], [""], [["a"]], {"a": 1}, ["a"] * 1001]),
    "windows": (
        kinds.WINDOWS,
        [[], [{"start": "a", "end": "b"}], [{"start": "a", "end": "b", "reason": ""}]],
        ["a", [1], [{"start": "a"}], [{"start": "a", "end": 1}], [{"start": "a", "end": "b", "x": "c"}]],
    ),
}


@pytest.mark.parametrize("name", YAMLS)
def test_what_a_kind_takes_of_yaml(name: str) -> None:
    kind, good, bad = YAMLS[name]
    for value in good:
        kind.of_yaml(value)
    for value in bad:
        with pytest.raises(kinds.Unfit):
            kind.of_yaml(value)


def test_a_list_on_the_command_line_replaces_the_configured_one() -> None:
    found = resolve(
        [shared.RECOVERY], {"recovery_recipients": ["a", "b"]}, {}, {"recovery_recipients": ("c",)}
    )
    assert found["recovery_recipients"] == ("a", "b")


def test_settings_have_the_names_and_defaults_of_the_modules_options() -> None:
    options = {
        **_argspec.node_options(),
        **_argspec.recovery_options(),
        **_argspec.identity_options(),
        **_argspec.api_options(),
        **_health_options.health_options(),
    }
    secret = {"control_token", "control_secret"}
    settings = {one.short: one for verb in VERBS.values() for one in (shared.ROOT, *verb.settings)}
    assert options.keys() - settings.keys() == secret
    for name in options.keys() - secret:
        default = settings[name].default
        assert (list(default) if isinstance(default, tuple) else default) == options[name].get("default"), (
            name
        )


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_a_verb_uses_each_option_for_one_thing(verb: Any) -> None:
    options = [option for one in verb.settings for option in said(one)]
    assert len(options) == len(set(options)), options
    assert not set(options) & {"--config", "--root", "--json", "--check", "--quiet", "--help", "--version"}
    assert not any("token" in option or "secret" in option for option in options)


def said(one: Setting) -> list[str]:
    """Every option of a setting."""
    if one.positional or (one.kind.of_text is None and not one.switches):
        return []
    return [option for option, _value, _about in one.switches] or [one.option]


def test_a_switch_is_off_until_it_is_given() -> None:
    one = switch("validate_only", "look")
    assert resolve([one], {}, {}, {})["validate_only"] is False
    assert parser.parse(["reload-owner-card", "--validate-only"]).given == {"validate_only": True}


def test_common_options_count_before_and_after_the_verb() -> None:
    for words in (["--json", "--root", "/x", "backup"], ["backup", "--json", "--root", "/x"]):
        asked = parser.parse(words)
        assert (asked.verb.name, asked.json, asked.check, asked.given) == (
            "backup",
            True,
            False,
            {"root": "/x"},
        )


BAD_WORDS: dict[str, tuple[list[str], str]] = {
    "no verb": ([], "name a verb"),
    "no such verb": (["bakcup"], "invalid choice"),
    "no such option": (["backup", "--tokn=hush"], "^unknown option --tokn$"),
    "a secret as an option": (
        ["emergency-on", "--control-secret", "hush"],
        "^unknown option --control-secret$",
    ),
    "an abbreviation": (["backup", "--forc"], "^unknown option --forc$"),
    "a word too many": (["verify", "latest", "hush"], "^a word too many$"),
    "two words too many": (["verify", "latest", "hush", "x"], "^2 words too many$"),
    "no id": (["restore"], "required: ID"),
    "no value": (["backup", "--name"], "expected one argument"),
    "two outputs": (["backup", "--json", "--quiet"], "not allowed with"),
    "two outputs apart": (["--json", "backup", "--quiet"], "two things"),
}


@pytest.mark.parametrize("name", BAD_WORDS)
def test_a_bad_command_line_is_said_without_its_values(name: str) -> None:
    words, message = BAD_WORDS[name]
    with pytest.raises(exits.BadUsage) as caught:
        parser.parse(words)
    assert re.search(message, caught.value.msg), caught.value.msg
    assert "hush" not in str(caught.value)
    assert "--help" in str(caught.value.hint) or "choose" in str(caught.value.hint)


WORDS = st.sampled_from(
    [*VERBS, *(option for verb in VERBS.values() for one in verb.settings for option in said(one))]
) | st.text(max_size=6)


@given(st.lists(WORDS, max_size=5))
def test_any_words_are_a_command_line_or_an_error_of_ours(words: list[str]) -> None:
    with contextlib.suppress(exits.BadUsage, parser.Told):
        asked = parser.parse(words)
        resolve((shared.ROOT, *asked.verb.settings), asked.given, {}, {})
