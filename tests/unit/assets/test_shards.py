"""Weights inside the package: split, indexed, checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from human3r.assets import shards
from human3r.errors import AssetIntegrityError, AssetMissingError


def test_values_survive_as_half_precision(tmp_path: Path) -> None:
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

    shards.write_part(tmp_path, "part", {"a.weight": values}, {"license": "Apache-2.0"})

    assert torch.equal(shards.read_shards(tmp_path)["a.weight"], values.half())


def test_a_large_part_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_SHARD_BYTES", 101_000)
    tensors = {f"layer.{number}": torch.full((300,), float(number)) for number in range(4)}

    paths = shards.write_part(tmp_path, "part", tensors, {})

    assert [path.name for path in paths] == [
        "part-1.safetensors",
        "part-2.safetensors",
        "part-3.safetensors",
        "part-4.safetensors",
    ]
    assert shards.read_shards(tmp_path).keys() == tensors.keys()


def test_rewriting_a_part_leaves_the_others(tmp_path: Path) -> None:
    shards.write_part(tmp_path, "one", {"one.weight": torch.zeros(2)}, {})
    shards.write_part(tmp_path, "two", {"two.weight": torch.zeros(2)}, {})

    shards.write_part(tmp_path, "one", {"one.other": torch.ones(2)}, {})

    assert shards.read_shards(tmp_path).keys() == {"one.other", "two.weight"}
    assert shards.read_shards(tmp_path, "two.").keys() == {"two.weight"}


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    (path,) = shards.write_part(tmp_path, "part", {"a": torch.zeros(2)}, {})
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(AssetIntegrityError, match="sha256"):
        shards.read_shards(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (path,) = shards.write_part(tmp_path, "part", {"a": torch.zeros(2)}, {})
    path.unlink()

    with pytest.raises(AssetMissingError, match=r"part\.safetensors"):
        shards.read_shards(tmp_path)


def test_shipped_weights_are_small() -> None:
    sizes = [path.stat().st_size for path in shards.COMPACT_FOLDER.glob("*.safetensors")]

    assert sizes
    assert max(sizes) <= shards.MAX_SHARD_BYTES
    assert sum(sizes) <= 48_000_000


def test_parameters_are_replaced_in_their_file_and_the_others_are_kept(tmp_path: Path) -> None:
    shards.write_part(tmp_path, "one", {"one.a": torch.zeros(2), "one.b": torch.ones(2)}, {"license": "Apache-2.0"})
    (other,) = shards.write_part(tmp_path, "two", {"two.weight": torch.zeros(2)}, {})
    before, size = other.read_bytes(), (tmp_path / "one.safetensors").stat().st_size

    (changed,) = shards.replace_parameters(tmp_path, {"one.a": torch.full((2,), 0.5)})

    assert changed.name == "one.safetensors"
    assert changed.stat().st_size == size
    assert other.read_bytes() == before
    found = shards.read_shards(tmp_path)
    assert {name: values.tolist() for name, values in found.items()} == {
        "one.a": [0.5, 0.5],
        "one.b": [1, 1],
        "two.weight": [0, 0],
    }
