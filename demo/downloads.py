"""The files of a result: their descriptions, when they are written, and how. The formats are ``human3r``'s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from demo.storage import RunFolder
from human3r import (
    EXPORT_FORMATS,
    KEYFRAMES_NAME,
    MANIFEST_NAME,
    MOMENTS_NAME,
    PLAYER_SCENE_NAME,
    export,
    load_surface,
    write_manifest,
    write_offline_page,
    write_player_scene,
    write_zip,
)

if TYPE_CHECKING:
    from human3r import Reconstruction, SmplxBody

EVERYTHING = "everything.zip"
RECORDING = "recording.mp4"
"""Of a live run: the pictures as they came."""
_FORMATS = {item.file: item for item in EXPORT_FORMATS if item.is_installed}
_OFFLINE_PAGE = "scene.html"
_SHEETS = ".sheets.npz"
"""The scene's surface, which takes longest of all: built once for all files of a result. Hidden from visitors."""
_PLAYER_FILES = (MOMENTS_NAME, PLAYER_SCENE_NAME, KEYFRAMES_NAME)
"""Read by the page's viewer and exporters, and not offered for download."""
WITH_RUN = ("scene.glb", "overlay.mp4")
"""Written right after the result is shown; ``reconstruction.npz`` and the player's scene are written before."""
FOR_PROGRAMS = (
    *dict.fromkeys((*WITH_RUN, *(name for name, item in _FORMATS.items() if item.is_default))),
    MANIFEST_NAME,
)
"""Written before the API returns a result."""
ON_DEMAND = (*(name for name, item in _FORMATS.items() if not item.needs), MANIFEST_NAME, EVERYTHING)
"""Written on request: they need the arrays only."""
FLIGHT = "scene_flythrough.mp4"
"""Takes up to a minute: it has progress, can be stopped, and is packed with everything only where it is there."""
FIRST = "scene.glb"
BUTTONS = {
    FIRST: "Blender, Unity, the web",
    "reconstruction.npz": "arrays for Python",
    "overlay.mp4": "the clip with bodies",
    FLIGHT: "a moving picture to share",
    "scene.html": "this viewer, offline",
    EVERYTHING: "all files",
}
"""Downloads with a button of their own, and what they are for; the others are listed with their descriptions."""
DESCRIPTIONS = {name: item.description for name, item in _FORMATS.items()} | {
    RECORDING: "the recorded clip (Motion JPEG)",
    EVERYTHING: "all of these files",
}


def write_download(
    name: str,
    result: Reconstruction,
    body: SmplxBody,
    clip: Path | None,
    folder: RunFolder,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> bool:
    """Write one file of a result into its folder; False when it needs the clip and there is none.

    ``progress`` follows what takes long, as (steps done, steps in all); an exception ends the work without a file.
    """
    path, moments = folder.path / name, folder.file(MOMENTS_NAME)
    if name == MANIFEST_NAME:
        write_manifest(folder.path, [file for file in folder.finished_files() if file.name != name])
    elif name == EVERYTHING:
        for other in ON_DEMAND[:-1]:
            if (other != FLIGHT and folder.file(other) is None) or other == MANIFEST_NAME:
                write_download(other, result, body, clip, folder)
        write_zip(
            path, [file for file in folder.finished_files() if file.name not in (name, *_PLAYER_FILES)], folder.path
        )
    elif name == _OFFLINE_PAGE and (scene := folder.file(PLAYER_SCENE_NAME)) is not None:
        write_offline_page(path, scene.read_bytes(), moments)
    elif name != PLAYER_SCENE_NAME and _FORMATS[name].needs == "clip" and clip is None:
        return False
    else:
        surface = load_surface(folder.path / KEYFRAMES_NAME, result, kept_in=folder.path / _SHEETS)
        if name == PLAYER_SCENE_NAME:
            write_player_scene(result, path, body, clip=clip, surface=surface)
        else:
            export(result, path, body=body, clip=clip, moments=moments, keyframes=surface, progress=progress)
    return True
