"""Reads what ``torch.save`` wrote, as data: tensors on demand, plain containers, and inert records for everything else.

Only the zip format of PyTorch 1.6 and later, little-endian. Nothing in the file is imported or called.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from human3r.assets.conversion.inert_pickle import GlobalName, Inert, PersistentReference, make_dict, read_inert_pickle
from human3r.errors import CheckpointError

_REMEDY = "Give the .pth file as it was downloaded."
MAX_TABLE_BYTES = 64 * 2**20
"""The object table of the released files is about half a megabyte."""
_MAX_AXES = 16
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class StoredTensor:
    """Location of a tensor in the file."""

    storage: str
    """Name of the storage record."""
    dtype: torch.dtype
    storage_size: int
    """Elements in the storage."""
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchFile:
    """An open checkpoint. Use as a context manager; ``root`` is the saved object.

    Raises:
        CheckpointError: Not a zip-format checkpoint, damaged, or big-endian.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path.name} is not a zip-format PyTorch checkpoint ({error}).",
                _REMEDY,
            ) from error
        try:
            self._prefix = self._find_prefix()
            self.root = read_inert_pickle(self._read(f"{self._prefix}data.pkl", MAX_TABLE_BYTES), _rebuild)
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def load(self, stored: StoredTensor) -> Tensor:
        """Read one tensor, contiguous.

        Raises:
            CheckpointError: The record is missing or damaged, or the tensor exceeds it.
        """
        expected = stored.storage_size * stored.dtype.itemsize
        payload = self._read(f"{self._prefix}data/{stored.storage}", expected)
        reach = stored.offset + sum((size - 1) * step for size, step in zip(stored.shape, stored.stride, strict=True))
        size = math.prod(stored.shape)
        if len(payload) != expected or size > stored.storage_size or (size and reach >= stored.storage_size):
            raise CheckpointError(f"A tensor of {self._name} does not fit its record {stored.storage!r}.")
        if size == 0:
            return torch.zeros(stored.shape, dtype=stored.dtype)
        flat = torch.frombuffer(bytearray(payload), dtype=stored.dtype)
        return flat.as_strided(stored.shape, stored.stride, stored.offset).contiguous()

    def _find_prefix(self) -> str:
        tables = [name for name in self._archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(tables) != 1:
            raise CheckpointError(f"{self._name} holds {len(tables)} object tables, expected 1.")
        prefix = tables[0].removesuffix("data.pkl")
        order = f"{prefix}byteorder"
        if order in self._archive.namelist() and self._read(order, 16) != b"little":
            raise CheckpointError(f"{self._name} is big-endian, which is not supported.")
        return prefix

    def _read(self, name: str, limit: int) -> bytes:
        try:
            record = self._archive.getinfo(name)
            if record.compress_type != zipfile.ZIP_STORED:
                # torch.save never compresses; a compressed record could expand to any size.
                raise CheckpointError(f"The record {name!r} of {self._name} is compressed.", _REMEDY)
            if record.file_size > limit:
                raise CheckpointError(f"The record {name!r} has {record.file_size} bytes, the limit is {limit}.")
            return self._archive.read(record)
        except (KeyError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"The record {name!r} of {self._name} is missing or damaged ({error}).") from error


def _rebuild(name: GlobalName, arguments: Any) -> object:
    """Recognize tensors and ordered dictionaries; everything else remains inert."""
    match str(name):
        case "collections.OrderedDict" | "builtins.dict" | "__builtin__.dict":
            pairs = arguments[0] if arguments else ()
            return make_dict(pairs.items() if isinstance(pairs, dict) else pairs)
        case "torch._utils._rebuild_tensor_v2":
            return _stored_tensor(*arguments[:4])
        case "torch._utils._rebuild_parameter":
            return arguments[0]
        case _:
            return NotImplemented


def _stored_tensor(reference: object, offset: object, shape: object, stride: object) -> StoredTensor:
    if not isinstance(reference, PersistentReference) or not isinstance(reference.value, tuple):
        raise ValueError("storage")
    kind, storage_type, key, _, size = reference.value
    if kind != "storage" or not isinstance(storage_type, GlobalName) or not isinstance(key, str):
        raise ValueError("storage")
    if len(shape) > _MAX_AXES or len(stride) != len(shape):  # type: ignore[arg-type]
        raise ValueError("axes")
    numbers = (size, offset, *shape, *stride)  # type: ignore[misc]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("sizes")
    return StoredTensor(key, _DTYPES[storage_type.name], size, offset, tuple(shape), tuple(stride))  # type: ignore


def find_field(record: object, name: str) -> object:
    """Return a field of a configuration that was a dictionary, a namespace or an OmegaConf node; None if absent.

    Unknown classes keep their fields in the state that they were pickled with; OmegaConf puts the mapping under
    ``_content`` and each value under ``_val``.
    """
    for _ in range(8):
        if isinstance(record, Inert):
            pairs = {item[0]: item[1] for item in record.items if isinstance(item, tuple) and _is_name(item)}
            record = record.state[0] if isinstance(record.state, tuple) and record.state else record.state or pairs
        elif isinstance(record, Mapping) and "_content" in record:
            record = record["_content"]
        else:
            break
    return plain_value(record[name]) if isinstance(record, Mapping) and name in record else None


def _is_name(item: tuple[object, ...]) -> bool:
    return len(item) == 2 and isinstance(item[0], str)


def plain_value(value: object) -> object:
    """Return the value inside an inert OmegaConf node, or the value itself."""
    if isinstance(value, Inert) and isinstance(value.state, Mapping) and "_val" in value.state:
        return value.state["_val"]
    return value
