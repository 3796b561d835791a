"""Read arrays from an ``.npz`` of unknown origin: type, shape and size are checked before anything is allocated.

Only the arrays of a given layout are read, stored or deflated, with a header as written by NumPy; other entries are
ignored.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.errors import FormatError

ArrayLayout = Mapping[str, tuple[np.dtype, tuple[int | str, ...]]]
"""Type and axes of every array by name; an axis is a size, or a name that has one size in the whole archive. A text
type accepts any length."""

MAX_TEXT_BYTES = 16_000_000
"""Limit on the size of a string."""
_FREE_BYTES, _MAX_EXPANSION = 256_000_000, 100
"""Size that any archive may unpack to, and the largest ratio beyond: results of real clips stay below 20."""
_MAX_SHORT_READ = 1 << 20
"""Limit on a single read, in particular of the archive's directory: 20,000 entries."""
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|=][a-zA-Z]\d{1,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18}, ?)*(?:\d{1,18})?)\),? ?\}\s*"
)
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""Errors of zipfile for damaged archives (NotImplementedError is a RuntimeError)."""
_REMEDY = "Give an unmodified reconstruction.npz."


def unpacked_limit(packed_bytes: int) -> int:
    """Return the number of bytes that a file of that size may unpack to on this machine."""
    return min(_FREE_BYTES + _MAX_EXPANSION * packed_bytes, max(_FREE_BYTES, _memory_bytes() // 2))


def read_arrays(path: Path, layout: ArrayLayout, required: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a layout in an archive, in the layout's types.

    Args:
        required: Names that must be there.

    Raises:
        FormatError: The file is not an archive of arrays, lacks some, or one has another type, shape or size.
    """
    if not path.is_file():
        raise FormatError(f"There is no file {path.name!r}.", _REMEDY)
    try:
        with path.open("rb", buffering=0) as file, zipfile.ZipFile(_ShortReads(file)) as archive:
            found = set(archive.namelist())
            members = {name: _Member.open(archive, name) for name in layout if f"{name}.npy" in found}
            missing = sorted(set(required) - members.keys())
            if missing:
                raise FormatError(f"{path.name} lacks {', '.join(missing)}.", _REMEDY)
            _check_layout(members, layout)
            _check_size(members, path)
            return {name: member.read(archive, layout[name][0]) for name, member in members.items()}
    except _UNREADABLE as error:
        raise FormatError(f"{path.name} is not a reconstruction file ({error}).", _REMEDY) from error


class _ShortReads(io.BufferedReader):
    """A file with bounded reads: zipfile would read a directory of any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_SHORT_READ:
            raise ValueError(f"its directory has {size} bytes; the limit is {_MAX_SHORT_READ}")
        return super().read(_MAX_SHORT_READ if size is None or size < 0 else size)


@dataclass(frozen=True)
class _Member:
    """One array of an archive, as its header describes it."""

    info: zipfile.ZipInfo
    name: str
    offset: int
    """Bytes before the values."""
    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool
    """The first axis varies fastest."""

    @property
    def num_bytes(self) -> int:
        """Size of the values."""
        size = self.dtype.itemsize
        for axis in self.shape:
            size *= axis
        return size

    @classmethod
    def open(cls, archive: zipfile.ZipFile, name: str) -> _Member:
        """Read a header."""
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type not in _ZIP_METHODS:
            raise FormatError(f"Array {name!r} is packed by method {info.compress_type}, not deflate.", _REMEDY)
        with archive.open(info) as stream:
            magic = stream.read(8)
            length = 2 if magic[6:7] == b"\x01" else 4
            num_bytes = int.from_bytes(stream.read(length), "little")
            header = stream.read(num_bytes) if magic[:6] == b"\x93NUMPY" and num_bytes < 4096 else b""
        found = _HEADER.fullmatch(header)
        if found is None:
            raise FormatError(f"Array {name!r} has no header of NumPy's format.", _REMEDY)
        shape = tuple(int(axis) for axis in found["shape"].split(b",") if axis.strip())
        try:
            dtype = np.dtype(found["descr"].decode())
        except TypeError:
            raise FormatError(f"Array {name!r} has the unknown type {found['descr'].decode()}.", _REMEDY) from None
        member = cls(info, name, 8 + length + num_bytes, dtype, shape, found["fortran"] == b"True")
        if member.offset + member.num_bytes != info.file_size:
            expected = member.offset + member.num_bytes
            raise FormatError(f"Array {name!r} takes {info.file_size} bytes; its shape needs {expected}.", _REMEDY)
        return member

    def read(self, archive: zipfile.ZipFile, dtype: np.dtype) -> np.ndarray:
        """Read the values."""
        order = "F" if self.is_fortran else "C"
        array = np.empty(self.shape, self.dtype, order=order)
        target = array.reshape(-1, order=order).view(np.uint8) if self.num_bytes else np.zeros(0, np.uint8)
        with archive.open(self.info) as stream:
            stream.read(self.offset)
            filled = 0
            while filled < self.num_bytes:
                block = stream.read(min(_MAX_SHORT_READ, self.num_bytes - filled))
                if not block:
                    raise FormatError(f"Array {self.name!r} ends after {filled} of {self.num_bytes} bytes.", _REMEDY)
                target[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
                filled += len(block)
            stream.read(1)  # at the end, zipfile compares the checksum
        return array.astype(dtype if dtype.kind != "U" else self.dtype.newbyteorder("="), order="C", copy=False)


def _check_layout(members: Mapping[str, _Member], layout: ArrayLayout) -> None:
    sizes: dict[str, int] = {}
    for name, member in members.items():
        dtype, axes = layout[name]
        if dtype.kind == "U" and member.dtype.kind == "U":
            if member.dtype.itemsize > MAX_TEXT_BYTES:
                message = f"Text {name!r} has {member.dtype.itemsize} bytes; the limit is {MAX_TEXT_BYTES}."
                raise FormatError(message, _REMEDY)
        elif member.dtype.newbyteorder("=") != dtype:
            raise FormatError(f"Array {name!r} has type {member.dtype.name}, expected {dtype.name}.", _REMEDY)
        for size, axis in zip(member.shape, axes, strict=False):
            expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
            if size != expected:
                message = f"Array {name!r} has shape {member.shape}, expected {axes}: {axis}={expected}."
                raise FormatError(message.replace("'", ""), _REMEDY)
        if len(member.shape) != len(axes):
            raise FormatError(f"Array {name!r} has {len(member.shape)} axes, expected {len(axes)}.", _REMEDY)


def _check_size(members: Mapping[str, _Member], path: Path) -> None:
    total, packed = sum(member.info.file_size for member in members.values()), path.stat().st_size
    if total > unpacked_limit(packed):
        limit = f"{unpacked_limit(packed) / 1e6:.0f} MB"
        message = f"{path.name} has {packed / 1e6:.1f} MB and unpacks to {total / 1e6:.0f} MB; the limit is {limit}."
        raise FormatError(message, _REMEDY)


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell
        return 8_000_000_000
