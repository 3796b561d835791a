"""Human3R, open: people, scene and camera in 4D from one ordinary video.

The public names below are loaded on first use: importing the package costs nothing, and the isolated media decoder,
which lives in it, never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
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
    )
    from human3r.inference.loading import LoadedModel, load_model
    from human3r.inference.pipeline import reconstruct
    from human3r.inference.session import Session
    from human3r.records import BodyParameters, Camera, Frame, FramePrediction, People, Track
    from human3r.results.reconstruction import Reconstruction
    from human3r.video.probe import ClipInfo, probe

_HOMES = {
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
    ),
    "human3r.results.reconstruction": ("Reconstruction",),
    "human3r.records": ("BodyParameters", "Camera", "Frame", "FramePrediction", "People", "Track"),
    "human3r.inference.loading": ("LoadedModel", "load_model"),
    "human3r.inference.pipeline": ("reconstruct",),
    "human3r.inference.session": ("Session",),
    "human3r.video.probe": ("ClipInfo", "probe"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AssetError",
    "AssetIntegrityError",
    "AssetMissingError",
    "BodyParameters",
    "Camera",
    "Cancelled",
    "CheckpointError",
    "ClipInfo",
    "DeviceMemoryError",
    "DiskFullError",
    "FormatError",
    "Frame",
    "FramePrediction",
    "Human3RError",
    "InputError",
    "LoadedModel",
    "MediaDecodeError",
    "MediaTooLargeError",
    "People",
    "Reconstruction",
    "ResourceError",
    "Session",
    "Track",
    "UnsupportedMediaError",
    "__version__",
    "load_model",
    "probe",
    "reconstruct",
]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'human3r' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
