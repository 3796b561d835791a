"""A weight file is whole and unchanged, or it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from human3r.assets.weight_file import WeightFile, write_weight_file
from human3r.errors import AssetIntegrityError, CheckpointError, DiskFullError

TENSORS = {
    "norm.weight": torch.randn(7, generator=torch.Generator().manual_seed(1)),
    "attention.weight": torch.randn(30, 5, generator=torch.Generator().manual_seed(2)),
    "scale": torch.tensor(3.0),
    "empty": torch.zeros(0, 4),
}
CONFIG = '{"name": "x"}'


def write(path: Path, load: object = TENSORS.__getitem__) -> Path:
    write_weight_file(path, {name: tuple(values.shape) for name, values in TENSORS.items()}, load, CONFIG)
    return path


def read(path: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    file = WeightFile(path)
    assert file.config_json == CONFIG
    tensors = {name: torch.empty(file.shape(name), dtype=dtype) for name in file.names}
    for name, target in tensors.items():
        file.read_into(name, target)
    return tensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "x.safetensors")


def test_written_files_are_read_by_us_and_by_the_library(path: Path) -> None:
    for found in (read(path), load_file(path)):
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_are_filled_piece_by_piece_in_any_precision(
    path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("human3r.assets.weight_file._PIECE", 4)
    found = read(path, dtype)
    assert all(torch.equal(found[name], TENSORS[name].to(dtype)) for name in TENSORS)


def test_every_flipped_byte_of_the_tensors_is_refused(path: Path) -> None:
    content = path.read_bytes()
    first = 8 + int.from_bytes(content[:8], "little")
    for position in np.random.default_rng(0).integers(first, len(content), 20):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(AssetIntegrityError, match="checksum"):
            read(path)


def test_a_changed_configuration_is_refused(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b'\\"name\\": \\"x\\"') == 1
    path.write_bytes(content.replace(b'\\"name\\": \\"x\\"', b'\\"name\\": \\"y\\"'))
    with pytest.raises(AssetIntegrityError, match="configuration"):
        read(path)


def test_no_flipped_byte_of_the_header_changes_what_is_read(path: Path) -> None:
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    for position in range(0, length, 3):
        damaged = bytearray(content)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        try:
            found = read(path)
        except (AssetIntegrityError, CheckpointError):
            continue
        # A name may differ: the network's own names are compared when it is filled.
        assert sorted(values.numel() for values in found.values()) == [0, 1, 7, 150]


def test_a_file_of_other_origin_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"config": CONFIG})
    with pytest.raises(CheckpointError, match="checksums"):
        read(tmp_path / "x.safetensors")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def load(name: str) -> Tensor:
        if name == "scale":
            raise OSError(28, "No space left on device")
        return TENSORS[name]

    with pytest.raises(DiskFullError, match="No space left"):
        write(tmp_path / "x.safetensors", load)
    assert not list(tmp_path.iterdir())
