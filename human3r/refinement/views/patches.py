"""Places of image patches in another picture, coarse to fine.

Gauss-Newton on the place of each patch, with the mean of both pictures' gradients (efficient second-order
minimization) and gray values normalized per patch. Source: Benhimane and Malis, "Real-time image-based tracking of
planes using efficient second-order minimization", IROS 2004.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from human3r.geometry.camera import sample_at_pixels

_LEVELS = ((4, 4), (2, 3), (1, 3))
"""(pixels per sample, steps), coarse to fine."""
_RADIUS = 3
"""Half side of a patch, samples."""
_MIN_CORRELATION = 0.8
_MIN_CONTRAST = 3.0
"""Standard deviation of gray values below which a patch is flat."""
_MAX_STEP = 2.0
"""Samples."""

Levels = tuple[Tensor, ...]
"""Of a picture ``3 h w``, of patches ``n p 3``: gray values and their slopes per pixel along (x, y)."""


def pyramid(gray: np.ndarray) -> Levels:
    """Return the levels of an ``h w`` picture."""
    levels = []
    for stride, _ in _LEVELS:
        small = functional.avg_pool2d(torch.from_numpy(gray.astype(np.float32))[None], stride)[0]
        vertical, horizontal = torch.gradient(small)
        levels.append(torch.stack([small, horizontal / stride, vertical / stride]))
    return tuple(levels)


def corners(gray: np.ndarray, lattice_px: int) -> np.ndarray:
    """Return how well patches are placed, around the centers of squares: the smaller eigenvalue of their gradients."""
    vertical, horizontal = np.gradient(gray.astype(np.float32))
    products = torch.from_numpy(np.stack([horizontal**2, vertical**2, horizontal * vertical]))
    xx, yy, xy = functional.avg_pool2d(products, 3 * lattice_px, lattice_px, lattice_px).numpy()
    return (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)


def cut_out(levels: Levels, at: np.ndarray) -> Levels:
    """Return the patches of a picture around ``n 2`` pixels, normalized; without contrast where they are flat."""
    size, places = _size(levels), torch.from_numpy(at).float()
    cut = []
    for level, (stride, _) in zip(levels, _LEVELS, strict=True):
        patch = _sampled(level, places[:, None] + stride * _OFFSETS, size)
        has_contrast = torch.from_numpy(patch[..., 0].numpy().std(1) > _MIN_CONTRAST)
        cut.append(_normalized(patch) * has_contrast[:, None, None])
    return tuple(cut)


def found_in(
    target: Levels, patches: Levels, guess: np.ndarray, warp: np.ndarray, *, fine_only: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places ``n 2`` of patches in a picture, and ``n`` bool where they were found.

    Args:
        target: The picture.
        patches: From ``cut_out``.
        guess: ``n 2`` pixels.
        warp: ``n 2 2`` derivative of the target's pixels by those of the patches' picture.
        fine_only: The guess is within a few pixels.
    """
    size, place = _size(target), torch.from_numpy(guess).float()
    A = torch.from_numpy(warp).float()
    back, correlation = torch.linalg.inv(A), torch.zeros(len(place))
    for number, (stride, num_steps) in enumerate(_LEVELS):
        if fine_only and number == 0:
            continue
        template, slope = patches[number][..., 0], patches[number][..., 1:] @ back
        aside = stride * _OFFSETS @ A.mT
        for _ in range(num_steps):
            seen = _normalized(_sampled(target[number], place[:, None] + aside, size))
            jacobian, residual = slope + seen[..., 1:], seen[..., 0] - template
            xx, yy, xy = (
                (jacobian[..., one] * jacobian[..., other]).sum(1) + small
                for one, other, small in ((0, 0, 1e-4), (1, 1, 1e-4), (0, 1, 0.0))
            )
            x, y = 2 * (jacobian * residual[..., None]).sum(1).T
            step = torch.stack([yy * x - xy * y, xx * y - xy * x], dim=1) / (xx * yy - xy**2)[:, None]
            place = place - step.clamp(-_MAX_STEP * stride, _MAX_STEP * stride)
            correlation = (seen[..., 0] * template).mean(1)
    is_inside = ((place > _RADIUS) & (place < torch.tensor([size[1], size[0]]) - 1 - _RADIUS)).all(1)
    return place.double().numpy(), (is_inside & (correlation > _MIN_CORRELATION)).numpy()


_STEPS = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float32)
_OFFSETS = torch.stack(torch.meshgrid(_STEPS, _STEPS, indexing="xy"), dim=-1).reshape(-1, 2)


def _size(levels: Levels) -> tuple[int, int]:
    return levels[-1].shape[1], levels[-1].shape[2]


def _sampled(level: Tensor, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    return sample_at_pixels(level, pixels.reshape(-1, 2), size).reshape(*pixels.shape[:2], 3)


def _normalized(patch: Tensor) -> Tensor:
    """Return ``n p 3`` patches with gray values of zero mean and unit variance."""
    gray = patch[..., 0] - patch[..., 0].mean(1, keepdim=True)
    deviation = gray.square().mean(1).sqrt().clamp(min=1e-3)
    return torch.cat([gray[..., None], patch[..., 1:]], dim=-1) / deviation[:, None, None]
