"""Rows of one kind in a file: appended as they come, mapped when they are read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from human3r.errors import DiskFullError, FormatError


class RowSpool:
    """A table on the disk; in memory is only its length.

    Args:
        dtype: Structured type of one row.
        path: File that stays, and goes on where it ends; None is a file without a name that vanishes with the process.
    """

    def __init__(self, dtype: np.dtype, path: Path | None = None) -> None:
        self.dtype = dtype
        if path is None:
            self._file = tempfile.TemporaryFile(prefix="human3r-")  # noqa: SIM115 - closed in close()
        else:
            self._file = path.open("a+b")
        self._length = self._file.seek(0, os.SEEK_END) // dtype.itemsize
        # A process that was killed may have left half a row.
        self._file.truncate(self._length * dtype.itemsize)

    def __len__(self) -> int:
        return self._length

    def append(self, rows: np.ndarray) -> None:
        """Write rows behind the others.

        Raises:
            DiskFullError: No room.
        """
        try:
            self._file.write(rows.astype(self.dtype, copy=False).tobytes())
            self._file.flush()
        except OSError as error:
            raise DiskFullError(f"Could not keep results ({error.strerror}).", "Free some space.") from error
        self._length += len(rows)

    def rows(self) -> np.ndarray:
        """Return all rows, mapped from the file: they cost memory as they are touched."""
        if self._length == 0:
            return np.zeros(0, self.dtype)
        return np.memmap(self._file, dtype=self.dtype, mode="r", shape=(self._length,))

    def column(self, name: str) -> np.ndarray:
        """Return a copy of one column."""
        return np.array(self.rows()[name])

    def cut(self, length: int) -> None:
        """Drop the rows behind the first ``length``.

        Raises:
            FormatError: There are fewer.
        """
        if length > self._length:
            raise FormatError(f"A run has {self._length} kept rows where its snapshot knows {length}.")
        self._file.truncate(length * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)
        self._length = length

    def sync(self) -> None:
        """Return when the rows are on the disk.

        Raises:
            DiskFullError: They could not be written.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DiskFullError(f"Could not keep results ({error.strerror}).", "Free some space.") from error

    def close(self) -> None:
        """Close the file; mapped rows stay readable."""
        self._file.close()
