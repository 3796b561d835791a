"""Read the frames of a reconstruction from its clip again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.errors import InputError
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction

_TIME_SLACK_S = 1e-3


def processed_frames(reconstruction: Reconstruction, clip: str | Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (row into the processed frames, image ``H W 3`` uint8) in order, one frame in memory at a time.

    Raises:
        InputError: The clip cannot be read, has another size, or has none of the frames.
    """
    row_of_source = {int(index): row for row, index in enumerate(reconstruction.frame_index)}
    expected = tuple(int(side) for side in reconstruction.image_size)
    start_s = max(float(reconstruction.time_s[0]) - _TIME_SLACK_S, 0.0)
    duration_s = float(reconstruction.time_s[-1]) - start_s + 2 * _TIME_SLACK_S
    found_any = False
    options = reconstruction.meta.get("options")
    rotate = options.get("rotate") if isinstance(options, dict) else None
    sampling = Sampling(start_s=start_s, duration_s=duration_s)
    with FrameReader(clip, sampling, rotate=rotate if isinstance(rotate, int) else 0) as frames:
        if tuple(frames.info.image_size) != expected:
            found, wanted = ("x".join(str(side) for side in size) for size in (frames.info.image_size, expected))
            raise InputError(f"The clip is {found}, but the reconstruction is of {wanted}.", "Give the original clip.")
        for frame in frames:
            row = row_of_source.get(frame.frame_index)
            if row is not None:
                found_any = True
                yield row, frame.image
    if not found_any:
        raise InputError("The clip has none of the reconstructed frames.", "Give the original clip.")
