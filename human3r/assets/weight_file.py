"""Our own weight files: safetensors with a configuration and a checksum of every tensor in the header.

A byte that changed on the disk is an error at load, not a slightly different network.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from human3r.assets.official_keys import Shape
from human3r.atomic import whole_or_absent
from human3r.errors import AssetIntegrityError, CheckpointError

CONFIG_ENTRY = "config"
"""Header entry of the network's configuration, JSON."""
_CHECKSUM_ENTRY = "crc32"
_REMEDY = "Copy or convert it again."


class WeightFile:
    """An open weight file; tensors are mapped, not read, until they are asked for. Use as a context manager.

    Raises:
        CheckpointError: Not a safetensors file, damaged, or without our header.
    """

    def __init__(self, path: Path) -> None:
        self._name, self._path = path.name, path
        try:
            self._file = safe_open(path, "pt")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path.name} is not a safetensors file, or is damaged ({error}).") from error
        metadata = self._file.metadata() or {}
        if CONFIG_ENTRY not in metadata:
            raise CheckpointError(f"{path.name} holds no configuration.", "Make it with 'models convert'.")
        self.config_json: str = metadata[CONFIG_ENTRY]
        self.names: tuple[str, ...] = tuple(self._file.keys())
        self._checksums = _read_checksums(metadata, path.name)
        with path.open("rb") as stream:
            header = stream.read(8)
            header += stream.read(int.from_bytes(header, "little"))
        self._table = json.loads(header[8:])
        self._start = len(header)
        self.sha256 = hashlib.sha256(header).hexdigest()
        """Of the header: with the checksums in it, it stands for the contents."""
        if zlib.crc32(self.config_json.encode()) != self._checksums.get(CONFIG_ENTRY):
            raise AssetIntegrityError(f"The configuration of {path.name} is damaged.", _REMEDY)

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._file

    def load(self, name: str) -> Tensor:
        """Return one tensor, fp32, backed by the file.

        Raises:
            AssetIntegrityError: Its bytes are not those that were written.
        """
        try:
            values = self._file.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"Tensor {name} of {self._name} cannot be read ({error}).") from error
        return self._checked(name, values)

    def read(self, name: str) -> Tensor:
        """Return what ``load`` returns, in memory of its own: given back when the tensor goes, unlike mapped pages.

        Raises:
            AssetIntegrityError: Its bytes are not those that were written.
        """
        try:
            entry = self._table[name]
            values = torch.empty(entry["shape"], dtype=torch.float32)
            with self._path.open("rb", buffering=0) as stream:
                stream.seek(self._start + entry["data_offsets"][0])
                view = memoryview(values.view(-1).numpy()).cast("B") if values.numel() else memoryview(b"")
                while view and (count := stream.readinto(view)):
                    view = view[count:]
        except (KeyError, OSError) as error:
            raise CheckpointError(f"Tensor {name} of {self._name} cannot be read ({error}).") from error
        return self._checked(name, values)

    def _checked(self, name: str, values: Tensor) -> Tensor:
        if values.dtype != torch.float32 or _checksum(values) != self._checksums.get(name):
            raise AssetIntegrityError(
                f"Tensor {name} of {self._name} is damaged: its checksum is not the written one.",
                _REMEDY,
            )
        return values


def write_weight_file(path: Path, shapes: Mapping[str, Shape], load: Callable[[str], Tensor], config_json: str) -> None:
    """Write fp32 tensors as one file, whole or not at all, with one tensor in memory at a time.

    Args:
        path: File to write.
        shapes: Name and shape of each tensor, in file order.
        load: Returns a tensor by name.
        config_json: The network's configuration.

    Raises:
        DiskFullError: The file could not be written; nothing is left of it.
    """
    checksums = dict.fromkeys(shapes, 0) | {CONFIG_ENTRY: zlib.crc32(config_json.encode())}
    with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
        # The checksums are known at the end: their places are kept by values of the same width.
        stream.write(_header(shapes, config_json, checksums))
        for name in shapes:
            values = load(name).to(torch.float32).contiguous()
            checksums[name] = _checksum(values)
            stream.write(memoryview(values.numpy()).cast("B") if values.numel() else b"")
        stream.seek(0)
        stream.write(_header(shapes, config_json, checksums))


def _header(shapes: Mapping[str, Shape], config_json: str, checksums: Mapping[str, int]) -> bytes:
    texts = {name: f"{value:08x}" for name, value in checksums.items()}
    metadata = {"format": "pt", CONFIG_ENTRY: config_json, _CHECKSUM_ENTRY: json.dumps(texts)}
    table: dict[str, object] = {"__metadata__": metadata}
    position = 0
    for name, shape in shapes.items():
        end = position + 4 * math.prod(shape)
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    encoded = json.dumps(table).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded


def _read_checksums(metadata: Mapping[str, str], name: str) -> dict[str, int]:
    try:
        return {key: int(value, 16) for key, value in json.loads(metadata[_CHECKSUM_ENTRY]).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{name} holds no checksums, or damaged ones.", "Make it again with 'models convert'."
        ) from error


def _checksum(values: Tensor) -> int:
    return zlib.crc32(values.numpy().reshape(-1).view("uint8")) if values.numel() else 0
