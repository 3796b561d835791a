"""One channel of an OpenEXR file, through the package OpenEXR (BSD-3-Clause)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from human3r.errors import FormatError


def read_exr_channel(path: Path, channel: str) -> np.ndarray:
    """Return one channel ``H W`` as float32.

    Raises:
        FormatError: No EXR file, no such channel, damaged, or the package OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise FormatError(
            f"Reading {path.name} needs the package OpenEXR.",
            "Run: pip install -r human3r/training/paper/requirements.txt",
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            if channel in channels:
                return np.array(channels[channel].pixels, dtype=np.float32)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"{path.name} is not a readable EXR file ({error}).") from error
    raise FormatError(f"{path.name} has no channel {channel!r}, only {sorted(channels)}.")
