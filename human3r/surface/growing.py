"""The surface of a running stream: a sheet per view, rebuilt as more looks at the view arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.surface.meshing.parts import Part
from human3r.surface.meshing.sheets import Sheet, sheets_of

if TYPE_CHECKING:
    from human3r.records import FramePrediction

_FIRST_LOOKS = 2
"""Looks after which a view's sheet is built; again when there are three times as many, and so on."""
_MORE_LOOKS = 3
MAX_PARTS = 24
"""Maximum number of views of a live surface."""


class GrowingSurface:
    """Takes the frames of a run; ``grown`` returns the sheet that has changed."""

    def __init__(self) -> None:
        self._collector = KeyframeCollector()
        self._parts: dict[int, Part] = {}
        self._number = 0
        self._due = _FIRST_LOOKS

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        self._collector.add(prediction)

    def add_source(self, image: np.ndarray) -> None:
        """Take the source frame ``H W 3`` uint8 of the frame that was added last."""
        self._collector.add_source(image)

    def grown(self, T_gravity_world: np.ndarray) -> tuple[int, Sheet] | None:
        """Return the number of a view and its sheet, new or better than before; None while nothing is due."""
        if self._collector.num_begun != self._number:
            self._number, self._due = self._collector.num_begun, _FIRST_LOOKS
        is_full = len(self._parts) == MAX_PARTS and self._number not in self._parts
        if is_full or self._collector.num_looks < self._due:
            return None
        self._due *= _MORE_LOOKS
        self._parts[self._number] = Part.of(*self._collector.newest())
        sheets = sheets_of(list(self._parts.values()), T_gravity_world, only=len(self._parts) - 1)
        return (self._number, sheets[0]) if sheets else None
