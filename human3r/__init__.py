"""People, scene and camera in 4D from one video.

    import human3r

    model = human3r.load_model("compact")
    result = human3r.reconstruct("clip.mp4", model)
    result.save("reconstruction.npz")
    human3r.export(result, "scene.glb")

Functions: ``load_model`` loads a network and its body model, ``reconstruct`` runs it over a clip, ``export`` writes a
result for other tools, ``probe`` measures a clip, ``models_on_disk`` lists the installed models, ``draw_preview`` draws
the people of one frame, ``player_page`` returns the HTML of the 4D player. Classes: ``Session`` runs a model frame by
frame, ``LiveStream`` on a live source; ``FramePrediction`` is the result of a frame, ``Reconstruction`` of a clip,
``Human3RError`` the base of all errors. ``human3r/README.md`` explains frames, units and shapes.

Names are imported on first use, so that importing the package is cheap and its isolated media decoder never loads
torch.
"""

# The first block of imports is for type checkers; the names in _HOMES are imported on first use.
# ruff: noqa: F401
# pyright: reportUnusedImport=false
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from human3r._version import __version__

if TYPE_CHECKING:
    from human3r.assets.registry import check_model, models_on_disk
    from human3r.bodies.smplx import SmplxBody
    from human3r.errors import (
        AssetError,
        AssetIntegrityError,
        AssetMissingError,
        Cancelled,
        CheckpointError,
        DeviceMemoryError,
        DiskFullError,
        FormatError,
        Human3RError,
        InputError,
        MediaDecodeError,
        MediaTooLargeError,
        ResourceError,
        UnsupportedMediaError,
        error_from,
    )
    from human3r.exporting import (
        EXPORT_FORMATS,
        MANIFEST_NAME,
        ExportFormat,
        export,
        format_of,
        write_all,
        write_manifest,
        write_zip,
    )
    from human3r.exporting.viewer.live import LiveScene
    from human3r.exporting.viewer.moments import MOMENTS_NAME, Moments
    from human3r.exporting.viewer.player import player_page
    from human3r.exporting.viewer_files import PLAYER_SCENE_NAME, write_offline_page, write_player_scene
    from human3r.inference.live.budget import BudgetOptions
    from human3r.inference.live.report import LiveReport
    from human3r.inference.live.result import LiveResult
    from human3r.inference.live.stream import LiveStream
    from human3r.inference.loading.loaded_model import LoadedModel
    from human3r.inference.loading.model import load_model
    from human3r.inference.pipeline import FrameSink, RunControl, reconstruct
    from human3r.inference.recurrence import SessionSnapshot
    from human3r.inference.session import Session
    from human3r.inference.stream import ForwardEvent, ReconstructOptions, forward
    from human3r.memory import limit_arenas, return_free_memory
    from human3r.records import BodyParameters, Camera, Frame, FramePrediction, People, Track
    from human3r.rendering.overlay import draw_preview
    from human3r.rendering.skeleton_lines import skeleton_lines
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.keyframes.collecting import KeyframeCollector
    from human3r.surface.keyframes.source_pictures import with_source_pictures
    from human3r.surface.keyframes_file import KEYFRAMES_NAME, load_surface, save_keyframes
    from human3r.temporary import reclaim, temporary_folder
    from human3r.video.clip_info import ClipInfo
    from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
    from human3r.video.live.jpeg_decoder import JpegDecoder, jpeg_movie
    from human3r.video.live.reader import LiveFrame, LiveReader
    from human3r.video.reader import FrameReader, probe
    from human3r.video.sampling import Sampling

_HOMES = {
    "human3r.assets.registry": ("check_model", "models_on_disk"),
    "human3r.bodies.smplx": ("SmplxBody",),
    "human3r.errors": (
        "AssetError",
        "AssetIntegrityError",
        "AssetMissingError",
        "Cancelled",
        "CheckpointError",
        "DeviceMemoryError",
        "DiskFullError",
        "FormatError",
        "Human3RError",
        "InputError",
        "MediaDecodeError",
        "MediaTooLargeError",
        "ResourceError",
        "UnsupportedMediaError",
        "error_from",
    ),
    "human3r.exporting": (
        "EXPORT_FORMATS",
        "ExportFormat",
        "MANIFEST_NAME",
        "export",
        "format_of",
        "write_all",
        "write_manifest",
        "write_zip",
    ),
    "human3r.exporting.viewer.live": ("LiveScene",),
    "human3r.exporting.viewer.moments": ("MOMENTS_NAME", "Moments"),
    "human3r.exporting.viewer.player": ("player_page",),
    "human3r.exporting.viewer_files": ("PLAYER_SCENE_NAME", "write_offline_page", "write_player_scene"),
    "human3r.inference.live.budget": ("BudgetOptions",),
    "human3r.inference.live.stream": ("LiveStream",),
    "human3r.inference.live.report": ("LiveReport",),
    "human3r.inference.live.result": ("LiveResult",),
    "human3r.inference.loading.loaded_model": ("LoadedModel",),
    "human3r.inference.loading.model": ("load_model",),
    "human3r.inference.pipeline": ("FrameSink", "RunControl", "reconstruct"),
    "human3r.inference.session": ("Session",),
    "human3r.inference.recurrence": ("SessionSnapshot",),
    "human3r.inference.stream": ("ForwardEvent", "ReconstructOptions", "forward"),
    "human3r.memory": ("limit_arenas", "return_free_memory"),
    "human3r.records": ("BodyParameters", "Camera", "Frame", "FramePrediction", "People", "Track"),
    "human3r.rendering.overlay": ("draw_preview",),
    "human3r.rendering.skeleton_lines": ("skeleton_lines",),
    "human3r.results.reconstruction": ("Reconstruction",),
    "human3r.surface.keyframes_file": ("KEYFRAMES_NAME", "load_surface", "save_keyframes"),
    "human3r.surface.keyframes.collecting": ("KeyframeCollector",),
    "human3r.surface.keyframes.source_pictures": ("with_source_pictures",),
    "human3r.video.live.jpeg_decoder": ("JpegDecoder", "jpeg_movie"),
    "human3r.video.live.reader": ("LiveFrame", "LiveReader"),
    "human3r.temporary": ("reclaim", "temporary_folder"),
    "human3r.video.limits": ("DEFAULT_LIMITS", "MediaLimits"),
    "human3r.video.clip_info": ("ClipInfo",),
    "human3r.video.reader": ("FrameReader", "probe"),
    "human3r.video.sampling": ("Sampling",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'human3r' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
