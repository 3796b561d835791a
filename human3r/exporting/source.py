"""What every writer of a format is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from human3r.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from human3r.bodies import SmplxBody
    from human3r.exporting.viewer.finished import FinishedScene
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface, Sheet
    from human3r.surface.people_colors import PeopleColors

PeopleWear = Literal["identity", "clip"]
"""Whose colors people wear."""
MAX_MOVING_THUMBNAILS = 300
"""Longer clips show every second, third, ... picture in the moving camera, so that files stay small."""


@dataclass
class ExportSource:
    """Input of the writers, and what several of them share, made when it is first asked for."""

    reconstruction: Reconstruction
    body: SmplxBody
    """The body model that the parameters belong to."""
    clip: Path | None = None
    """The source clip, if given; the cameras of viewer formats show its frames."""
    moments: Path | None = None
    """``moments.bin`` of the same run, if given; ``html`` embeds it."""
    surface: LazySurface | None = None
    """The scene's surface; without it the scene is its points."""
    with_points: bool = False
    """Show the points beside the surface."""
    people_wear: PeopleWear = "identity"
    """Colors of people: one for each identity, or those of the clip where they were kept."""
    progress: Callable[[int, int], object] = lambda done, total: None
    """Follows formats that take long, as (steps done, steps in all); an exception ends the work without a file."""
    keeps_thumbnails: bool = False
    """Whether the viewer's formats are written too: then a pass over the clip makes what they need of it."""
    _thumbnails: dict[int, np.ndarray] | None = field(default=None, init=False)

    @property
    def people_colors(self) -> PeopleColors:
        """The clip's colors of people, where they were kept."""
        known = self.surface.people_colors if self.surface is not None else {}
        return {track: colors for track, colors in known.items() if len(colors) == len(self.body.template)}

    @property
    def worn_colors(self) -> PeopleColors:
        """The clip's colors of those who wear them."""
        return self.people_colors if self.people_wear == "clip" else {}

    @property
    def sheets(self) -> list[Sheet]:
        """The pieces of the scene's surface; empty without one."""
        return self.surface.sheets if self.surface is not None else []

    @cached_property
    def viewer_scene(self) -> FinishedScene:
        """What the viewer's formats record."""
        from human3r.exporting.viewer.finished import build_finished

        return build_finished(self.reconstruction, self.body, self.sheets, self.thumbnails)

    @property
    def thumbnails(self) -> dict[int, np.ndarray]:
        """Small pictures of the processed frames, by row; without a readable clip there are none."""
        if self._thumbnails is None:
            self.keeps_thumbnails = True
            # The scene is complete without pictures; a missing clip must not prevent the recording.
            with suppress(InputError):
                deque(self.clip_frames(), maxlen=0)
            self._thumbnails = self._thumbnails or {}
        return self._thumbnails

    def clip_frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what ``processed_frames`` does; the thumbnails are made on the way if the viewer's formats need them.

        Raises:
            InputError: The clip cannot be read, or is not the one that was reconstructed.
        """
        from human3r.exporting.viewer.scene import thumbnail
        from human3r.rendering.clip_frames import processed_frames

        if self.clip is None or self.reconstruction.num_frames == 0:
            return
        step = -(-self.reconstruction.num_frames // MAX_MOVING_THUMBNAILS)
        keeps = self.keeps_thumbnails and self._thumbnails is None
        made: dict[int, np.ndarray] = {}
        for row, image in processed_frames(self.reconstruction, self.clip):
            if keeps and row % step == 0:
                made[row] = thumbnail(image)
            yield row, image
        if keeps:
            self._thumbnails = made
