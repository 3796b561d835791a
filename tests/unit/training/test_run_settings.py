"""Settings files: wrong names and wrong values are told by name, right ones keep their types."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from human3r.errors import FormatError
from human3r.training.settings import read_settings


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    steps: int = 1
    scales: tuple[float, ...] = (1.0,)
    folder: str | None = None
    inner: Inner = field(default_factory=Inner)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_values_arrive_in_the_types_of_the_settings(tmp_path):
    text = 'stage = "scene"\nsteps = 7\nscales = [0.5, 1]\nfolder = "runs"\n[inner]\nrate = 1\n'

    settings = read_settings(Outer, written(tmp_path, text))

    assert settings == Outer(7, (0.5, 1.0), "runs", Inner(1.0))
    assert isinstance(settings.inner.rate, float)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('steps = "many"', "steps"),
        ("steps = 1.5", "steps"),
        ('scales = ["wide"]', "scales"),
        ("[inner]\nrate = true", "rate"),
        ("inner = 3", "inner"),
        ("stepz = 3", "stepz"),
    ],
)
def test_a_wrong_value_is_reported_by_name(tmp_path, text, named):
    with pytest.raises(FormatError, match=named):
        read_settings(Outer, written(tmp_path, text))


def test_invalid_toml_is_reported(tmp_path):
    with pytest.raises(FormatError, match=r"run\.toml is not a readable TOML"):
        read_settings(Outer, written(tmp_path, "steps ="))
