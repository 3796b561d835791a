"""Color jitter with one draw for a whole clip: brightness, contrast, saturation and hue in random order.

Source: ranges of CUT3R (arXiv 2501.12387), released configuration.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_FACTORS = (0.5, 1.5)
_HUE_SHIFT = 0.1
_LUMA = (0.299, 0.587, 0.114)
"""Source: ITU-R BT.601."""


def jitter_colors(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return ``N 3 H W`` images in [0, 1] after the four changes, all images by the same amounts."""
    brightness, contrast, saturation = (float(rng.uniform(*_FACTORS)) for _ in range(3))
    shift = float(rng.uniform(-_HUE_SHIFT, _HUE_SHIFT))
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda values: (values * brightness).clamp(0, 1),
        lambda values: _blend(values, _gray(values).mean(dim=(1, 2, 3), keepdim=True), contrast),
        lambda values: _blend(values, _gray(values), saturation),
        lambda values: shift_hue(values, shift),
    ]
    for index in rng.permutation(len(changes)):
        images = changes[index](images)
    return images


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _blend(images: Tensor, other: Tensor, factor: float) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def shift_hue(images: Tensor, shift: float) -> Tensor:
    """Return ``N 3 H W`` images in [0, 1] with the hue of every pixel moved by ``shift`` of the color circle."""
    value, chroma = images.amax(dim=1), images.amax(dim=1) - images.amin(dim=1)
    red, green, blue = images.unbind(1)
    divisor = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sextant = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = sextant + 6 * shift
    # Channel n of a color (hue, chroma, value): value - chroma * clamp(min(k, 4 - k), 0, 1), k = (n + hue) mod 6.
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=images.dtype).view(1, 3, 1, 1)
    turned = (offsets + hue[:, None]) % 6
    fall = torch.minimum(turned, 4 - turned).clamp(0, 1)
    return value[:, None] - chroma[:, None] * fall
