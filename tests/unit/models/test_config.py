"""Configurations survive JSON, and anything else is refused."""

from __future__ import annotations

import json

import pytest

from human3r.errors import CheckpointError
from human3r.models.config import PRESETS, ModelConfig


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_the_round_trip(name: str) -> None:
    config = PRESETS[name]
    assert config.name == name
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.fixture
def values() -> dict:
    return json.loads(PRESETS["tiny"].to_json())


def test_an_unknown_key_is_an_error(values: dict) -> None:
    values["trunk"]["novelty"] = 1
    with pytest.raises(CheckpointError, match="novelty"):
        ModelConfig.from_json(json.dumps(values))


def test_a_missing_key_is_an_error(values: dict) -> None:
    del values["parts"]["human_dim"]
    with pytest.raises(CheckpointError, match="human_dim"):
        ModelConfig.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("image_size",), "large"),
        (("architecture",), "other"),
        (("preprocess",), 3),
        (("trunk", "decoder_dim"), 1.5),
        (("trunk", "decoder_dim"), True),
        (("parts", "dpt_widths"), [1, "two"]),
        (("parts", "has_half_rotary"), 1),
        (("trunk",), []),
    ],
)
def test_a_value_of_a_wrong_type_is_an_error(values: dict, path: tuple[str, ...], value: object) -> None:
    target = values
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(CheckpointError):
        ModelConfig.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "{}", "null"])
def test_other_text_is_an_error(text: str) -> None:
    with pytest.raises(CheckpointError):
        ModelConfig.from_json(text)


def test_the_two_large_presets_differ_in_the_human_image_only() -> None:
    small, large = PRESETS["human3r_672l"], PRESETS["human3r_896l"]
    assert small.trunk == large.trunk
    assert (small.parts.human_image_size, large.parts.human_image_size) == (672, 896)


def test_files_of_version_1_0_still_load(values: dict) -> None:
    values |= {"architecture": "official", "preprocess": "official"}

    assert ModelConfig.from_json(json.dumps(values)) == PRESETS["tiny"]
