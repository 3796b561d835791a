"""Turn decoded pictures upright: rotation and mirroring from display matrices and EXIF tags.

Phones store the sensor's image and a tag; without the tag people lie on their side.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from human3r.errors import InputError

_FIXED_POINT = 65536.0


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of a stored image: transpose first, then flip."""

    is_transposed: bool = False
    """Swap rows and columns."""
    is_flipped_x: bool = False
    """Then mirror left and right."""
    is_flipped_y: bool = False
    """Then mirror top and bottom."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the upright picture; ``image`` is ``H W 3``."""
        if self.is_transposed:
            image = image.transpose(1, 0, 2)
        if self.is_flipped_x:
            image = image[:, ::-1]
        if self.is_flipped_y:
            image = image[::-1]
        return np.ascontiguousarray(image)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the upright picture."""
        return (width, height) if self.is_transposed else (height, width)

    @property
    def is_mirrored(self) -> bool:
        """Whether handedness changes: an odd number of reflections."""
        return (self.is_transposed + self.is_flipped_x + self.is_flipped_y) % 2 == 1

    @property
    def rotation_deg(self) -> int:
        """Clockwise rotation that makes the stored picture upright, before any mirroring: 0, 90, 180 or 270."""
        if not self.is_transposed:
            return 180 if self.is_flipped_y else 0
        return 270 if self.is_flipped_y else 90


UPRIGHT = Orientation()


def from_display_matrix(matrix: bytes) -> Orientation:
    """Read an ISO base-media display matrix (nine native 32-bit fixed-point numbers).

    Stored (p, q) goes to displayed (a p + c q + x, b p + d q + y); angles between quarter turns go to the nearest.
    Source: ISO/IEC 14496-12, section 6.2.2.
    """
    if len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = (value / _FIXED_POINT for value in struct.unpack("=5i", matrix[:20]))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def turned(degrees: int) -> Orientation:
    """Return a clockwise rotation by 0, 90, 180 or 270 degrees.

    Raises:
        InputError: Another angle.
    """
    if degrees not in _TURNS:
        raise InputError(f"The clip cannot be rotated by {degrees} degrees.", "Use 0, 90, 180 or 270.")
    return _TURNS[degrees]


def from_exif(tag: int) -> Orientation:
    """Read EXIF tag 0x0112 (1 to 8); anything else is upright."""
    return _EXIF.get(tag, UPRIGHT)


_TURNS = {
    0: UPRIGHT,
    90: Orientation(True, True, False),
    180: Orientation(False, True, True),
    270: Orientation(True, False, True),
}
_EXIF = {
    2: Orientation(False, True, False),
    3: Orientation(False, True, True),
    4: Orientation(False, False, True),
    5: Orientation(True, False, False),
    6: Orientation(True, True, False),
    7: Orientation(True, True, True),
    8: Orientation(True, False, True),
}
