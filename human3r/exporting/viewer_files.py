"""The 4D viewer's files, whole or not at all; with the clip, their cameras show its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from human3r.atomic import write_bytes, write_text
from human3r.exporting.source import ExportSource
from human3r.exporting.viewer.moments import coarsened
from human3r.exporting.viewer.recording import html_page, player_scene, record
from human3r.threads import half_of_the_cores

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface

PLAYER_SCENE_NAME = "player.viser"
"""The player's scene in the folder of a result that a page shows."""
MAX_EMBEDDED_MOMENTS_BYTES = 3_000_000
"""Size above which points of single frames are embedded in the HTML file on coarser grids."""


def write_viser(source: ExportSource, path: Path) -> None:
    """Write the recording for viser clients."""
    write_bytes(path, record(source.viewer_scene))


def write_html(source: ExportSource, path: Path) -> None:
    """Write the self-contained page."""
    scene = player_scene(source.viewer_scene, source.people_colors, source.people_wear)
    write_offline_page(path, scene, source.moments)


def write_offline_page(path: Path, scene: bytes, moments: Path | None = None) -> None:
    """Write the self-contained page of a player's scene; points of single frames are coarser where they are many."""
    points = coarsened(moments.read_bytes(), MAX_EMBEDDED_MOMENTS_BYTES) if moments is not None else None
    write_text(path, html_page(scene, moments=points))


@half_of_the_cores()
def write_player_scene(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    *,
    clip: Path | None = None,
    surface: LazySurface | None = None,
) -> None:
    """Write the scene of our player."""
    source = ExportSource(reconstruction, body, clip, surface=surface)
    write_bytes(path, player_scene(source.viewer_scene, source.people_colors))
