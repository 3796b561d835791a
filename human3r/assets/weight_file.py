"""Converted weight files: safetensors with a configuration and a checksum of every tensor in the header.

A corrupted byte is an error at load rather than a slightly different network.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from human3r.atomic import whole_or_absent
from human3r.errors import AssetIntegrityError, CheckpointError

Shape = tuple[int, ...]

CONFIG_ENTRY = "config"
"""Header entry of the network's configuration, JSON."""
_CHECKSUM_ENTRY = "crc32"
_PIECE = 1 << 18
"""Values per read: 1 MB."""
_REMEDY = "Copy or convert it again."


class WeightFile:
    """A weight file, whose tensors are read one by one.

    Raises:
        CheckpointError: Not a safetensors file, damaged, or without our header.
    """

    def __init__(self, path: Path) -> None:
        self._name, self._path = path.name, path
        try:
            with safe_open(path, "pt") as file:
                metadata, self.names = file.metadata() or {}, tuple(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path.name} is not a safetensors file, or is damaged ({error}).") from error
        if CONFIG_ENTRY not in metadata:
            raise CheckpointError(f"{path.name} holds no configuration.", "Make it with 'models convert'.")
        self.config_json: str = metadata[CONFIG_ENTRY]
        self._checksums = _read_checksums(metadata, path.name)
        with path.open("rb") as stream:
            header = stream.read(8)
            header += stream.read(int.from_bytes(header, "little"))
        self._table = json.loads(header[8:])
        self._start = len(header)
        self.sha256 = hashlib.sha256(header).hexdigest()
        """Hash of the header, whose checksums identify the contents."""
        if zlib.crc32(self.config_json.encode()) != self._checksums.get(CONFIG_ENTRY):
            raise AssetIntegrityError(f"The configuration of {path.name} is damaged.", _REMEDY)

    def read_into(self, name: str, target: Tensor) -> None:
        """Fill a tensor of the right shape, rounding to its precision; from any thread.

        Read rather than mapped: mapped pages would stay in memory beside the prepacked copy.

        Raises:
            AssetIntegrityError: Its checksum is wrong.
            CheckpointError: The tensor or the file is missing.
        """
        flat = target.view(-1)
        scratch = torch.empty(0 if target.dtype == torch.float32 else min(len(flat), _PIECE))
        checksum = 0
        try:
            with self._path.open("rb", buffering=0) as stream:
                stream.seek(self._start + self._table[name]["data_offsets"][0])
                # Checked and rounded while in the processor's cache.
                for part in flat.split(_PIECE) if len(flat) else ():
                    piece = part if part.dtype == torch.float32 else scratch[: len(part)]
                    checksum = zlib.crc32(_fill(stream, piece), checksum)
                    if piece is not part:
                        part.copy_(piece)
        except (KeyError, OSError) as error:
            raise CheckpointError(f"Tensor {name} of {self._name} cannot be read ({error}).") from error
        if checksum != self._checksums.get(name):
            raise AssetIntegrityError(f"Tensor {name} of {self._name} is damaged: its checksum is wrong.", _REMEDY)

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor."""
        return tuple(self._table[name]["shape"])


def _fill(stream: io.RawIOBase, piece: Tensor) -> memoryview:
    """Fill a tensor with bytes of the file and return those read; fewer at its end."""
    found = view = piece.numpy().data.cast("B")
    while view and (count := stream.readinto(view)):
        view = view[count:]
    return found[: len(found) - len(view)]


def write_weight_file(path: Path, shapes: Mapping[str, Shape], load: Callable[[str], Tensor], config_json: str) -> None:
    """Write fp32 tensors as one file, atomically, with one tensor in memory at a time.

    Args:
        shapes: Name and shape of each tensor, in file order.

    Raises:
        DiskFullError: The file could not be written; nothing is left of it.
    """
    checksums = dict.fromkeys(shapes, 0) | {CONFIG_ENTRY: zlib.crc32(config_json.encode())}
    with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
        # The checksums are known at the end; until then values of the same width reserve their space.
        stream.write(_header(shapes, config_json, checksums))
        for name in shapes:
            values = load(name).to(torch.float32).contiguous()
            checksums[name] = _checksum(values)
            stream.write(values.numpy().data.cast("B") if values.numel() else b"")
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
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{name} holds no checksums, or damaged ones.", "Convert it again with 'models convert'."
        ) from error


def _checksum(values: Tensor) -> int:
    return zlib.crc32(values.numpy().data) if values.numel() else 0
