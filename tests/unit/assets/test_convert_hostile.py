"""A checkpoint that wants something done gets nothing done."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.assets.conversion import torch_file
from human3r.assets.conversion.convert_tensors import stored_tensors
from human3r.assets.conversion.inert_pickle import GlobalName, Inert, read_inert_pickle
from human3r.assets.conversion.torch_file import TorchFile, find_field
from human3r.errors import CheckpointError


class Command:
    """Runs a command when unpickled by anyone who trusts it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


def _ignore(_name: GlobalName, _arguments: object) -> object:
    return NotImplemented


def _write(path: Path, table: bytes, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", table)
        for name, payload in records.items():
            archive.writestr(f"archive/data/{name}", payload)
    return path


def _tensor_table(size: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return a table with one float tensor on the storage ``0``, as ``torch.save`` would write it."""

    storage = object()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", size) if value is storage else None

    class Rebuild:
        def __reduce__(self) -> tuple:
            return torch._utils._rebuild_tensor_v2, (storage, offset, shape, stride, False, {})

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump({"model": {"x": Rebuild()}})
    return stream.getvalue()


@pytest.mark.parametrize("protocol", range(6))
def test_a_command_is_described_and_not_run(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "witness"
    read = read_inert_pickle(pickle.dumps(Command(f"touch {witness}"), protocol=protocol), _ignore)
    assert isinstance(read, Inert)
    assert str(read.recipe).endswith(".system")
    assert not witness.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cos\nsystem\n(S'touch WITNESS'\ntR.",
        b"(S'touch WITNESS'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch WITNESS'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0dtouch WITNESS\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x20\x00\x00\x00__import__('os').mkdir('WITNESS'\x85R.",
        b"\x80\x02cos\nsystem\n)\x81}X\x01\x00\x00\x00aX\x01\x00\x00\x00bsb.",
    ],
)
def test_every_way_to_call_is_inert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(read_inert_pickle(payload, _ignore), Inert)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_imported() -> None:
    read_inert_pickle(b"cantigravity_of_the_file\nfly\n(tR.", _ignore)
    assert "antigravity_of_the_file" not in sys.modules


def test_a_hostile_configuration_beside_good_tensors_is_ignored(tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "x.pth"
    torch.save({"args": Command(f"touch {witness}"), "model": {"x": torch.arange(6.0).view(2, 3).T}}, path)
    with TorchFile(path) as file:
        assert find_field(file.root["args"], "model") is None
        assert torch.equal(file.load(file.root["model"]["x"]), torch.arange(6.0).view(2, 3).T)
    assert not witness.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b".",
        b"no pickle at all",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02t.",
        b"\x80\x02h\x07.",
        b"\x80\x02K\x01K\x02s.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02(K\x01d.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
        b"\x80\x02X\xff\xff\xff\x7fa.",
        b"\x80\x04K\x01K\x02\x93.",
        pickle.dumps(list(range(100)))[:-20],
        b"\x80\x04\x8f(N" + b"\x85" * 100 + b"\x90.",
        b"\x80\x04(N" + b"\x85" * 100 + b"\x91.",
        b"\x80\x02\x8b\xff\xff\xff\x7fa.",
        b"\x80\x02\x8b\xfb\xff\xff\xff.",
        b"\x80\x02T\xff\xff\xff\xffa.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"g5\n.",
        b"0.",
        b"\x80\x02}q\0(h\0h\0u.",
    ],
)
def test_a_damaged_table_is_a_checkpoint_error(payload: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_inert_pickle(payload, _ignore)


@pytest.mark.parametrize(
    ("size", "offset", "shape", "stride"),
    [
        (4, 1, (4,), (1,)),
        (4, 0, (2, 3), (3, 1)),
        (4, 0, (2,), (9,)),
        (1, 0, (10**12,), (0,)),
        (9, 0, (4,), (1,)),
    ],
)
def test_a_tensor_that_leaves_its_record_is_refused(
    tmp_path: Path, size: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = _write(tmp_path / "x.pth", _tensor_table(size, offset, shape, stride), **{"0": bytes(16)})
    with TorchFile(path) as file, pytest.raises(CheckpointError):
        file.load(file.root["model"]["x"])


@pytest.mark.parametrize(
    ("offset", "shape", "stride"), [(-1, (2,), (1,)), (0, (-2,), (1,)), (0, (2,), (-1,)), (0, 2, 1)]
)
def test_invalid_sizes_are_refused(tmp_path: Path, offset: int, shape: object, stride: object) -> None:
    with pytest.raises(CheckpointError):
        TorchFile(_write(tmp_path / "x.pth", _tensor_table(4, offset, shape, stride), **{"0": bytes(16)}))


def test_a_tensor_in_its_record_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.pth", _tensor_table(4, 1, (3,), (1,)), **{"0": struct.pack("<4f", 0, 1, 2, 3)})
    with TorchFile(path) as file:
        assert file.load(file.root["model"]["x"]).tolist() == [1, 2, 3]


def test_a_table_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(CheckpointError, match="1001 bytes, the limit is 1000"):
        TorchFile(_write(tmp_path / "x.pth", bytes(1001)))


def test_a_compressed_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(CheckpointError, match="compressed"):
        TorchFile(path)


def test_no_flipped_byte_of_a_checkpoint_changes_a_tensor(tmp_path: Path) -> None:
    path, saved = tmp_path / "x.pth", {f"t{index}": torch.arange(500.0) + index for index in range(5)}
    torch.save({"model": saved}, path)
    content, num_refused = path.read_bytes(), 0
    for position in np.random.default_rng(0).integers(0, len(content), 100):
        damaged = bytearray(content)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        try:
            with TorchFile(path) as file:
                found = {key: file.load(stored) for key, stored in stored_tensors(file).items()}
        except CheckpointError:
            num_refused += 1
            continue
        # Padding and time stamps of the archive carry nothing.
        assert found.keys() == saved.keys()
        assert all(torch.equal(found[key], saved[key]) for key in saved)
    assert num_refused > 60


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="object tables"):
        TorchFile(path)


def test_records_of_another_byte_order_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.pth", pickle.dumps({}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    with pytest.raises(CheckpointError, match="big-endian"):
        TorchFile(path)
