"""Fields of pickled annotations with their shapes checked, and the images that belong to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from human3r.errors import FormatError


def field(path: Path, content: object, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a numeric field as float64.

    Args:
        path: File of the content, for messages.
        shape: Expected shape; None is any size.

    Raises:
        FormatError: The field is missing, has another shape, or is not finite.
    """
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.ndim != len(shape):
        raise FormatError(f"{path.name} has no field {name!r} of numbers in {len(shape)} axes.", "Download it again.")
    if any(wanted not in (None, found) for wanted, found in zip(shape, value.shape, strict=True)):
        raise FormatError(f"The field {name!r} of {path.name} has the shape {value.shape}.", f"Expected {shape}.")
    if not np.isfinite(value).all():
        raise FormatError(f"The field {name!r} of {path.name} has numbers that are not finite.", "Download it again.")
    return value.astype(np.float64)


def list_field(path: Path, content: object, name: str, length: int | None = None) -> list[Any]:
    """Return a field that is a list of that length, or an array with such a first axis.

    Raises:
        FormatError: The field is missing or has another length.
    """
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, (list, tuple, np.ndarray)) or length not in (None, len(value)):
        raise FormatError(f"{path.name} has no list {name!r} of {length or 'any'} items.", "Download it again.")
    return list(value)


def images_of_rows(name: str, images: tuple[Path, ...], num_rows: int, rows: np.ndarray) -> tuple[Path, ...]:
    """Return the images of annotated rows; the images of a sequence are in the order of its rows.

    Raises:
        FormatError: There are fewer images than rows.
    """
    if len(images) < num_rows:
        raise FormatError(
            f"Sequence {name} has {len(images)} images and {num_rows} annotated frames.", "Complete the download."
        )
    return tuple(images[row] for row in rows)
