"""What every writer of a format is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface, Sheet
    from human3r.surface.people_colors import PeopleColors

PeopleWear = Literal["identity", "clip"]
"""Whose colors people wear."""


@dataclass(frozen=True)
class ExportSource:
    """Input of the writers."""

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
