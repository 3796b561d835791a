"""Copies of an image as they circulate: scaled down and up, blurred, noisy, compressed."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from human3r.training.synthetic.rendering.sensor import through_h264, through_jpeg

_MIN_SCALE, _MAX_SCALE = 0.25, 1.7
"""Sides of the compressed image over those of the original."""
_JPEG_QUALITY, _H264_CRF = (20, 91), (23, 41)


def degrade(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return ``H W 3`` uint8 of the same size, from a random copy of another size, sharpness and compression."""
    height, width = image.shape[:2]
    scale = float(np.exp(generator.uniform(np.log(_MIN_SCALE), np.log(_MAX_SCALE))))
    # Even sides: chroma has half the resolution.
    copy = resized(image, (2 * round(height * scale / 2), 2 * round(width * scale / 2)))
    if generator.random() < 0.3:
        sigma = float(generator.uniform(0.3, 1.2))
        copy = gaussian_filter(copy, (sigma, sigma, 0))
    if generator.random() < 0.3:
        noise = generator.normal(0, generator.uniform(1, 10), copy.shape)
        copy = np.clip(copy + noise, 0, 255).astype(np.uint8)
    codec = str(generator.choice(["none", "jpeg", "h264"], p=[0.2, 0.3, 0.5]))
    if codec == "jpeg":
        copy = through_jpeg(copy, int(generator.integers(*_JPEG_QUALITY)))
    elif codec == "h264":
        copy = through_h264(copy[None], int(generator.integers(*_H264_CRF)))[0]
    return resized(copy, (height, width))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``H W 3`` uint8 at (height, width), by the filter of ``prepare_compact``."""
    frame = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    frame = functional.interpolate(frame, size, mode="bilinear", antialias=True)
    return frame[0].permute(1, 2, 0).contiguous().numpy()
