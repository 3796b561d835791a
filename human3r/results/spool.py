"""Rows of one type in a file: appended in a run, memory-mapped for reading."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from human3r.errors import DiskFullError, FormatError, ResourceError


class RowSpool:
    """A table on disk; only its length is in memory.

    Args:
        dtype: Structured type of one row.
        path: A persistent file, continued if it exists; None is an unnamed file that is removed with the process.

    Raises:
        ResourceError: The file cannot be created.
    """

    def __init__(self, dtype: np.dtype, path: Path | None = None) -> None:
        self.dtype = dtype
        try:
            # The file stays open until ``close``.
            self._file = tempfile.TemporaryFile(prefix="human3r-") if path is None else path.open("a+b")  # noqa: SIM115
        except OSError as error:
            message = f"A run's temporary files cannot be created ({error.strerror})."
            raise ResourceError(message, "Set TMPDIR, or --keep-in, to a folder that can be written.") from error
        # A killed process may have left a partial row.
        self._truncate(self._file.seek(0, os.SEEK_END) // dtype.itemsize)

    def __len__(self) -> int:
        return self._length

    def append(self, rows: np.ndarray) -> None:
        """Write rows after the others.

        Raises:
            DiskFullError: The disk is full.
        """
        with _disk_errors():
            self._file.write(rows.astype(self.dtype, copy=False).tobytes())
            self._file.flush()
        self._length += len(rows)

    def rows(self) -> np.ndarray:
        """Return all rows, mapped from the file: they use memory when accessed."""
        if self._length == 0:
            return np.zeros(0, self.dtype)
        return np.memmap(self._file, dtype=self.dtype, mode="r", shape=(self._length,))

    def column(self, name: str) -> np.ndarray:
        """Return a copy of one column."""
        return np.array(self.rows()[name])

    def cut(self, length: int) -> None:
        """Drop the rows after the first ``length``.

        Raises:
            FormatError: There are fewer.
        """
        if length > self._length:
            raise FormatError(f"A run has {self._length} rows on disk, its snapshot expects {length}.")
        self._truncate(length)

    def sync(self) -> None:
        """Flush all rows to the disk.

        Raises:
            DiskFullError: They could not be written.
        """
        with _disk_errors():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; mapped rows stay readable."""
        self._file.close()

    def _truncate(self, length: int) -> None:
        self._file.truncate(length * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)
        self._length = length


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFullError(f"Results could not be written ({error.strerror}).", "Free some space.") from error
