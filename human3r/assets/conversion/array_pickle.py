"""Reads pickled annotations and body models as arrays and plain containers, without creating other objects.

Pickles of Python 2 and 3 (every protocol) and files of ``torch.save``. Anything but numbers, strings, containers,
NumPy arrays, SciPy's sparse matrices and Chumpy's constants remains an inert record.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from human3r.assets.conversion.inert_pickle import GlobalName, Inert, make_dict, read_inert_pickle
from human3r.assets.conversion.torch_file import StoredTensor, TorchFile
from human3r.errors import CheckpointError, FormatError

MAX_PICKLE_BYTES = 2**31
"""The largest known file is a dense transfer matrix of 580 MB."""
_NUMBER_KINDS = frozenset("biufSU")
_SPARSE = ("csc", "csr")
_DAMAGES = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError, MemoryError)
_REMEDY = "Download it again."


def load_pickled_arrays(path: Path) -> Any:
    """Load a pickle as plain data.

    Raises:
        FormatError: No such file, too large, or not a well-formed pickle of arrays.
    """
    try:
        num_bytes = path.stat().st_size
        if num_bytes > MAX_PICKLE_BYTES:
            raise FormatError(f"{path.name} has {num_bytes} bytes, the limit is {MAX_PICKLE_BYTES}.", _REMEDY)
        payload = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror}.", "Check the data folder.") from error
    try:
        return _Plain().convert(read_inert_pickle(payload, lambda name, arguments: NotImplemented))
    except (CheckpointError, *_DAMAGES) as error:
        raise FormatError(f"{path.name} is not a pickle of arrays ({_first_line(error)}).", _REMEDY) from error


def load_torch_arrays(path: Path) -> Any:
    """Load what ``torch.save`` wrote as plain data; tensors become NumPy arrays.

    Raises:
        FormatError: No such file, damaged, or not of the zip format of PyTorch 1.6 and later.
    """
    try:
        with TorchFile(path) as file:
            return _Plain(lambda stored: file.load(stored).numpy()).convert(file.root)
    except (CheckpointError, *_DAMAGES) as error:
        raise FormatError(f"{path.name} is not a file of tensors ({_first_line(error)}).", _REMEDY) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


class _Plain:
    """Converts an inert graph to plain data, every object once."""

    def __init__(self, load_tensor: Callable[[StoredTensor], np.ndarray] | None = None) -> None:
        self._load_tensor = load_tensor
        self._done: dict[int, Any] = {}
        self._kept: list[object] = []

    def convert(self, value: object) -> Any:
        """Convert a value with its contents.

        Raises:
            ValueError: An array's numbers do not fit its shape, or a container contains itself.
        """
        if not isinstance(value, (Inert, StoredTensor, dict, list, tuple)):
            return value
        if id(value) in self._done:
            if self._done[id(value)] is self:
                raise ValueError("a container holds itself")
            return self._done[id(value)]
        self._kept.append(value)  # keeps the id from being reused
        self._done[id(value)] = self
        self._done[id(value)] = result = self._make(value)
        return result

    def _make(self, value: Inert | StoredTensor | dict[Any, object] | list[object] | tuple[object, ...]) -> Any:
        if isinstance(value, dict):
            return {key: self.convert(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.convert(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.convert(item) for item in value)
        if isinstance(value, StoredTensor):
            return self._load_tensor(value) if self._load_tensor else value
        return self._object(value)

    def _object(self, value: Inert) -> Any:
        """Convert objects of known types; others remain inert."""
        recipe = value.recipe if isinstance(value.recipe, GlobalName) else GlobalName("", "")
        arguments: tuple[Any, ...] = value.arguments if isinstance(value.arguments, tuple) else ()
        module, name = recipe.module.replace("numpy._core", "numpy.core"), recipe.name
        match f"{module}.{name}":
            case "numpy.dtype":
                return _dtype(arguments, value.state)
            case "numpy.core.multiarray._reconstruct":
                _, shape, dtype, is_fortran, content = cast("tuple[Any, ...]", value.state)
                return self._array(content, dtype, shape, "F" if is_fortran else "C")
            case "numpy.core.numeric._frombuffer":
                content, dtype, shape, order = arguments
                return self._array(content, dtype, shape, order)
            case "numpy.core.multiarray.scalar":
                return self._array(arguments[1], arguments[0], (), "C").item()
            case "_codecs.encode":
                return str(arguments[0]).encode("latin-1")
            case "__builtin__.bytes" | "builtins.bytes" if not arguments:
                return b""
            case "collections.OrderedDict" | "collections.defaultdict":
                return {key: self.convert(item) for key, item in make_dict(value.items).items()}
            case "copy_reg._reconstructor" | "copyreg._reconstructor":
                return self._state_of(arguments[0], value)
            case _:
                return self._state_of(recipe, value)

    def _state_of(self, kind: object, value: Inert) -> Any:
        """Read a sparse matrix or a Chumpy constant from its attributes."""
        state = value.state
        if not isinstance(kind, GlobalName) or not isinstance(state, dict):
            return value
        if kind.module.startswith("chumpy.") and "x" in state:
            return self.convert(state["x"])
        layout = kind.name.split("_")[0]
        if kind.module.startswith("scipy.sparse") and layout in _SPARSE:
            from scipy import sparse

            make = sparse.csc_matrix if layout == "csc" else sparse.csr_matrix
            parts = [self.convert(state[name]) for name in ("data", "indices", "indptr")]
            matrix = make(tuple(parts), shape=self.convert(state.get("_shape", state.get("shape"))))
            matrix.check_format(full_check=True)
            return matrix
        return value

    def _array(self, content: object, dtype: object, shape: object, order: Any) -> Any:
        kind, content = self.convert(dtype), self.convert(content)
        if isinstance(content, list):
            return content  # an array of objects: its items
        if not isinstance(kind, np.dtype) or kind.kind not in _NUMBER_KINDS or not isinstance(shape, tuple):
            raise ValueError("an array of unknown type")
        if isinstance(content, str):
            content = content.encode("latin-1")  # Python 2 had no bytes
        if math.prod(shape) * kind.itemsize != len(content):  # type: ignore[arg-type]
            raise ValueError("an array whose numbers do not fit its shape")
        return np.frombuffer(content, kind).reshape(shape, order=order)  # type: ignore[call-overload]


def _dtype(arguments: tuple[Any, ...], state: object) -> np.dtype:
    """Read a type from its code and its byte order; object arrays have the code ``O8``."""
    if not isinstance(arguments[0], str):
        raise ValueError("an array of unknown type")
    dtype = np.dtype(arguments[0])
    is_big = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    return dtype.newbyteorder(">" if is_big else "<")
