# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OwnerCard's rules, one by one, and YAML as the station reads it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import owner_card, strict_yaml
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import MissingLibrary, RunbookError
from ansible_collections.vvtv.runbook.plugins.module_utils._core.owner_card import InvalidCard
from tests.simulator.owner_card import SAMPLE

PATH = Path("/card.yaml")
CARD: dict[str, Any] = yaml.safe_load(SAMPLE)
FIELDS = [(section, field) for section, fields in owner_card.SECTIONS.items() for field in fields]
WHOLE = [("schedule_policy", "commit_lead_hours"), ("curator_policy", "max_reorders_per_hour")]
REAL = [("quality_policy", "target_audio_lufs"), ("music_policy", "block_music_ratio")]


def errors(card: Any) -> list[str]:
    with pytest.raises(InvalidCard) as caught:
        owner_card.parse(yaml.safe_dump(card).encode(), PATH)
    assert str(PATH) in str(caught.value)
    return caught.value.errors


def changed(section: str, field: str, value: Any) -> dict[str, Any]:
    card = copy.deepcopy(CARD)
    card[section][field] = value
    return card


def test_the_sample_is_valid() -> None:
    assert owner_card.parse(SAMPLE.encode(), PATH) == CARD


def test_the_eight_sections_are_the_stations() -> None:
    assert len(owner_card.SECTIONS) == 8
    assert set(owner_card.SECTIONS) == set(CARD) - {"schema_version"}


@pytest.mark.parametrize("section", owner_card.SECTIONS)
def test_each_section_is_needed(section: str) -> None:
    card = {key: value for key, value in CARD.items() if key != section}
    assert errors(card) == [f"{section}: is missing"]
    assert errors({**CARD, section: ["x"]}) == [f"{section}: must be a mapping"]


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_each_field_is_needed_and_typed(section: str, field: str) -> None:
    card = copy.deepcopy(CARD)
    del card[section][field]
    assert errors(card) == [f"{section}.{field}: is missing"]
    for wrong in (None, {}, "text", [1]):
        assert errors(changed(section, field, wrong))[0].startswith(f"{section}.{field}: must be")


@pytest.mark.parametrize(("section", "field"), WHOLE)
@pytest.mark.parametrize("value", [True, 1.0, -1])
def test_a_whole_number_is_no_boolean_no_float_and_not_negative(section: str, field: str, value: Any) -> None:
    assert "whole number" in errors(changed(section, field, value))[0]


@pytest.mark.parametrize(("section", "field"), REAL)
@pytest.mark.parametrize("value", [True, float("nan"), float("inf")])
def test_a_number_is_finite_and_no_boolean(section: str, field: str, value: Any) -> None:
    assert "finite number" in errors(changed(section, field, value))[0]


def test_a_whole_number_serves_as_a_number() -> None:
    assert owner_card.find_errors(changed("quality_policy", "target_audio_lufs", -23)) == []


def test_the_rules_between_and_of_values() -> None:
    assert "below buffer_target" in errors(changed("schedule_policy", "buffer_critical_minutes", 10_000))[0]
    assert "must not be empty" in errors(changed("search_policy", "allowlist_domains", []))[0]
    assert "at most 20" in errors(changed("autotune_policy", "max_daily_adjustment_pct", 20.5))[0]
    assert "list of texts" in errors(changed("search_policy", "blocked_keywords", ["a", 1]))[0]
    assert owner_card.find_errors(changed("search_policy", "blacklist_domains", [])) == []


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.5])
def test_the_schema_version_is_a_whole_number_from_1_on(version: Any) -> None:
    assert errors({**CARD, "schema_version": version})[0].startswith("schema_version:")


def test_every_error_is_listed_at_once() -> None:
    card = changed("curator_policy", "auto_apply", "maybe")
    del card["music_policy"]
    card["schema_version"] = 0
    assert len(errors(card)) == 3


def test_a_contradiction_is_listed_beside_other_errors() -> None:
    card = changed("schedule_policy", "buffer_critical_minutes", 10_000)
    card["curator_policy"]["auto_apply"] = card["schedule_policy"]["commit_lead_hours"] = "maybe"
    assert len(errors(card)) == 3
    assert "below buffer_target_minutes" in errors(card)[-1]


def test_yes_is_a_text_as_the_station_reads_it() -> None:
    text = SAMPLE.replace("auto_apply: false", "auto_apply: yes").replace(
        "auto_apply: true", "auto_apply: yes"
    )
    with pytest.raises(InvalidCard, match=r"curator_policy\.auto_apply: must be true or false"):
        owner_card.parse(text.encode(), PATH)


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "\t- x",
        "--- a\n--- b\n",
        "a: !!python/name:os.system x",
        "&a [*a]",
        "\x00",
        'a: !!int ""',
        "a: !!bool x",
        "!!timestamp x",
    ],
)
def test_what_is_no_yaml_of_one_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidCard):
        owner_card.parse(text.encode(), PATH)


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidCard, match="given twice"):
        owner_card.parse((SAMPLE + "schema_version: 2\n").encode(), PATH)


def test_aliases_without_end_and_deep_nesting_are_refused_quickly() -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
    )
    for text in (laughs, "[" * 100_000):
        with pytest.raises(InvalidCard):
            owner_card.parse(text.encode(), PATH)


def test_a_card_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_bytes(SAMPLE.encode() + b"#" * (1 << 20))
    with pytest.raises(RunbookError, match="larger than"):
        owner_card.read(tmp_path / "card.yaml")


def test_a_node_without_pyyaml_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "yaml", None)
    with pytest.raises(MissingLibrary, match="python3-yaml"):
        owner_card.parse(SAMPLE.encode(), PATH)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_error(data: bytes) -> None:
    with pytest.raises(InvalidCard):
        owner_card.parse(data, PATH)


@given(st.sampled_from(FIELDS), st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9))
def test_any_value_in_a_field_ends_in_a_card_or_our_error(where: tuple[str, str], value: Any) -> None:
    found = owner_card.find_errors(changed(*where, value))
    assert all(error.startswith((f"{where[0]}.{where[1]}", "schedule_policy.buffer")) for error in found)
