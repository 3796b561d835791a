"""Pictures at the clip's resolution for keyframes of a run whose source frames stayed in another process."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from human3r.errors import InputError
from human3r.geometry.fusion import dilate
from human3r.rendering.clip_frames import processed_frames
from human3r.surface.keyframes.collecting import Keyframe, encode_jpeg, shrunk

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction

_SAME_COLOR = 24
"""A frame shows what the keyframe's picture shows where no channel differs by more, of 255."""


def with_source_pictures(
    keyframes: Sequence[Keyframe], reconstruction: Reconstruction, clip: Path | None
) -> list[Keyframe]:
    """Return keyframes with the pixels of their own frames, read from the clip again, where those show no people.

    Keyframes whose pictures are as large already are unchanged, and all are if the clip cannot be read.
    """
    size = shrunk(np.zeros((*(int(side) for side in reconstruction.image_size), 3), np.uint8)).shape[:2]
    small = {each.frame_index: number for number, each in enumerate(keyframes) if _size(each) < max(size)}
    found = list(keyframes)
    if clip is None or not small:
        return found
    try:
        for row, image in processed_frames(reconstruction, clip):
            number = small.pop(int(reconstruction.frame_index[row]), None)
            if number is not None:
                found[number] = replace(found[number], picture=_sharpened(found[number].picture, shrunk(image)))
            if not small:
                break
    except InputError:
        return list(keyframes)
    return found


def _size(keyframe: Keyframe) -> int:
    with Image.open(io.BytesIO(keyframe.picture)) as picture:
        return max(picture.size)


def _sharpened(picture: bytes, frame: np.ndarray) -> bytes:
    """Return a small clean picture at a frame's size, with the frame's own pixels wherever both show the same."""
    clean = Image.open(io.BytesIO(picture)).convert("RGB")
    small = Image.fromarray(frame).resize(clean.size, Image.Resampling.BOX)
    differs = np.abs(np.asarray(small, np.int16) - np.asarray(clean, np.int16)).max(axis=2) > _SAME_COLOR
    mask = Image.fromarray(dilate(differs, 1)).resize((frame.shape[1], frame.shape[0]), Image.Resampling.NEAREST)
    large = np.asarray(clean.resize((frame.shape[1], frame.shape[0]), Image.Resampling.BICUBIC))
    return encode_jpeg(np.where(np.asarray(mask)[..., None], large, frame))
