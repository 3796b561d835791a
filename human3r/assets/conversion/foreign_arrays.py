"""Pickles of arrays from elsewhere, parsed in a process of their own: a table of plain nodes and an archive of arrays.

The child sends an ``.npz`` with every array once and, as JSON, one node per value; containers name their items by
node number, so that what was shared in the pickle stays shared and nothing nests. Reading it back runs no recursion.
One child serves a whole process, because labels come as one small file per frame; it ends with its parent.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from scipy import sparse

from human3r.assets.conversion.array_pickle import MAX_PICKLE_BYTES, load_pickled_arrays, load_torch_arrays
from human3r.assets.conversion.inert_pickle import Inert
from human3r.child_process import end_child, is_readable, read_exactly, start_child
from human3r.errors import FormatError, error_from
from human3r.video.framing import FramingError, read_message, write_message

Kind = Literal["pickle", "torch"]
_NODES = "nodes"
_TIMEOUT_S = 3600


def read_foreign_pickle(path: Path) -> Any:
    """Return a pickle as plain data: containers, scalars, strings, bytes, NumPy arrays and sparse matrices.

    Everything else is an empty ``Inert`` record.

    Raises:
        FormatError: No such file, too large, not a well-formed pickle of arrays, or it crashes the reader.
    """
    return _reader(os.getpid()).read(path, "pickle")


def read_foreign_tensors(path: Path) -> Any:
    """Return what ``torch.save`` wrote as plain data; tensors are NumPy arrays.

    Raises:
        FormatError: No such file, damaged, not of the zip format, or it crashes the reader.
    """
    return _reader(os.getpid()).read(path, "torch")


@lru_cache(maxsize=1)
def _reader(_: int) -> _Reader:
    """Return the reader of this process, by its id: a child is not shared with a fork."""
    return _Reader()


class _Reader:
    """Has files read by a child, which is started again where it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: Path, kind: Kind) -> Any:
        with self._lock:
            message, body = self._ask(path, kind)
        if "error" in message:
            raise error_from(*(str(message[name]) for name in ("error", "message", "remedy")))
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as archive:
                return _decode(json.loads(bytes(archive[_NODES])), archive)
        except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
            raise FormatError(f"{path.name} cannot be read as arrays ({error}).", "Download it again.") from error

    def _ask(self, path: Path, kind: Kind) -> tuple[dict[str, Any], bytearray]:
        if self._process is None or self._process.poll() is not None:
            self._process = start_child("human3r.assets.conversion.arrays_worker", {}, keeps_input=True)
        process = self._process

        def wait(descriptor: int) -> None:
            if not is_readable(descriptor, _TIMEOUT_S):
                raise EOFError

        try:
            stream = cast("io.BufferedWriter", process.stdin)
            write_message(stream, {"kind": kind, "source": str(path.absolute())})
            return read_message(lambda size: read_exactly(process, size, wait), 2 * MAX_PICKLE_BYTES)
        except (OSError, EOFError, FramingError) as error:
            self._process = None
            end_child(process)
            message = f"The process that reads {path.name} ended with {process.returncode}."
            raise FormatError(message, "The file may be damaged: get it again.") from error


def encode_arrays(kind: Kind, source: Path) -> bytes:
    """Do the work of the child: read a file and return the table and the arrays.

    Raises:
        FormatError: As for ``read_foreign_pickle`` and ``read_foreign_tensors``.
    """
    content = load_torch_arrays(source) if kind == "torch" else load_pickled_arrays(source)
    encoder = _Encoder()
    encoder.add(content)
    try:
        nodes = json.dumps(encoder.nodes).encode()
    except ValueError as error:
        raise FormatError(f"{source.name} holds a number with too many digits.", "Download it again.") from error
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{_NODES: np.frombuffer(nodes, np.uint8)}, **encoder.arrays)
    return stream.getvalue()


class _Encoder:
    """Writes every value once, items before their containers; the last node is the root."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._numbers: dict[int, int] = {}

    def add(self, value: Any) -> int:
        """Write a value and return its number; its depth has been bounded by the reader."""
        if id(value) not in self._numbers:
            node = self._node(value)
            self._numbers[id(value)] = len(self.nodes)
            self.nodes.append(node)
        return self._numbers[id(value)]

    def _node(self, value: Any) -> tuple[str, Any]:
        if value is None or isinstance(value, (bool, int, float, str)):
            return "plain", value
        if isinstance(value, bytes):
            return "bytes", value.decode("latin-1")
        if isinstance(value, (list, tuple)):
            return "list" if isinstance(value, list) else "tuple", [self.add(item) for item in value]
        if isinstance(value, dict):
            return "dict", [(self.add(key), self.add(item)) for key, item in value.items()]
        if isinstance(value, np.ndarray):
            return "array", self._array(value)
        if sparse.issparse(value):
            parts = [self._array(part) for part in (value.data, value.indices, value.indptr)]
            return value.format, [parts, list(value.shape)]
        return "inert", None

    def _array(self, value: np.ndarray) -> str:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = value
        return name


def _decode(nodes: list[tuple[str, Any]], archive: np.lib.npyio.NpzFile) -> Any:
    values: list[Any] = []
    for kind, content in nodes:
        match kind:
            case "plain":
                values.append(content)
            case "bytes":
                values.append(content.encode("latin-1"))
            case "list":
                values.append([values[number] for number in content])
            case "tuple":
                values.append(tuple(values[number] for number in content))
            case "dict":
                values.append({values[key]: values[item] for key, item in content})
            case "array":
                values.append(archive[content])
            case "csc" | "csr":
                parts, shape = content
                make = sparse.csc_matrix if kind == "csc" else sparse.csr_matrix
                values.append(make(tuple(archive[part] for part in parts), shape=tuple(shape)))
            case _:
                values.append(Inert(None))
    return values[-1]
