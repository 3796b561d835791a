"""Thumbnails of frames, and whether two of them show the same place, for the shot detector.

Two images of one place agree in their local contrast after a shift, and perhaps a zoom, whatever their gain, tint and
brightness. Images of two places do not: over 180 generated cuts the best correlation is at most 0.40, over 300
generated motions, flashes and passers-by at least 0.42.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

_LONG_SIDE = 48
"""Of the compared maps, pixels."""
_RADIUS = 2
"""Of the window of local contrast, pixels."""
_NOISE = 2.0
"""Local standard deviation, gray levels, at which the normalized contrast is one half."""
_MIN_OVERLAP = 0.35
"""Smallest overlap, share of the image."""
_SAME_PLACE, _SAME_PLACE_ZOOMED = 0.41, 0.45
"""Smallest correlations of two views of one place."""
_OBVIOUS = 0.6
"""A correlation that needs no shift."""
_ZOOMS = (1.15, 1.35, 1.6, 2.0)
_BLANK, _EMPTY = 0.08, 0.005
"""Mean squares of local contrast below which an image is nearly blank, or blank."""


class _ContrastMap:
    """Local contrast of a gray picture, ``h w``, ready to be correlated."""

    def __init__(self, gray: Tensor) -> None:
        window = 2 * _RADIUS + 1
        padded = functional.pad(gray[None, None], (_RADIUS,) * 4, mode="replicate")
        mean = functional.avg_pool2d(padded, window, 1)
        variance = (functional.avg_pool2d(padded * padded, window, 1) - mean * mean).clamp_min(0)
        self.values = ((gray - mean) / (variance.sqrt() + _NOISE))[0, 0]
        self.energy = float(self.values.square().sum())

    @cached_property
    def spectra(self) -> Tensor:
        """Spectra of the values, of their squares and of ones, padded to twice the size."""
        parts = torch.stack([self.values, self.values.square(), torch.ones_like(self.values)])
        return torch.fft.rfft2(parts, s=[2 * side for side in self.values.shape])


def _correlation(first: _ContrastMap, second: _ContrastMap) -> float:
    """Return the largest correlation over all shifts that leave enough overlap."""
    unshifted = float((first.values * second.values).sum()) / max((first.energy * second.energy) ** 0.5, 1e-3)
    if unshifted > _OBVIOUS:
        return unshifted
    (a, aa, one), (b, bb, _) = first.spectra, second.spectra
    height, width = first.values.shape
    spectra = torch.stack([b * a.conj(), one * aa.conj(), bb * one.conj(), one * one.conj()])
    product, energy_a, energy_b, overlap = torch.fft.irfft2(spectra, s=[2 * height, 2 * width])
    score = product / (energy_a.clamp_min(1) * energy_b.clamp_min(1)).sqrt()
    return float(torch.where(overlap >= _MIN_OVERLAP * height * width, score, -1.0).max())


class Thumbnail:
    """A frame at low resolution.

    Args:
        picture: ``3 H W`` float RGB, 0 to 255.
        time_s: Of the frame.
    """

    def __init__(self, picture: Tensor, time_s: float) -> None:
        height, width = picture.shape[-2:]
        scale = _LONG_SIDE / max(height, width)
        self._size = max(4, round(height * scale)), max(4, round(width * scale))
        fine = functional.adaptive_avg_pool2d(picture, (2 * self._size[0], 2 * self._size[1]))
        small = functional.avg_pool2d(fine, 2)
        self.time_s = time_s
        self.color = functional.avg_pool2d(small, 2)
        """``3 h/2 w/2``"""
        self._fine_gray = fine.mean(0)
        self._map = _ContrastMap(small.mean(0))
        self._zoomed: dict[float, _ContrastMap] = {}

    @property
    def detail(self) -> float:
        """Mean square of the local contrast."""
        return self._map.energy / self._map.values.numel()

    @property
    def is_blank(self) -> bool:
        """Whether it is nearly blank: black, white, the middle of a fade."""
        return self.detail < _BLANK

    @property
    def is_empty(self) -> bool:
        """Whether it is blank."""
        return self.detail < _EMPTY

    def zoomed(self, factor: float) -> _ContrastMap:
        """Return the contrast map of the enlarged central part."""
        if factor not in self._zoomed:
            height, width = self._fine_gray.shape
            rows, columns = round(height / factor), round(width / factor)
            top, left = (height - rows) // 2, (width - columns) // 2
            middle = self._fine_gray[None, None, top : top + rows, left : left + columns]
            enlarged = functional.interpolate(middle, self._size, mode="bilinear", align_corners=False)
            self._zoomed[factor] = _ContrastMap(enlarged[0, 0])
        return self._zoomed[factor]

    def similarity(self, other: Thumbnail) -> float:
        """Return the correlation of two images under the best shift, in [-1, 1]; -1 if their shapes differ."""
        if self._size != other._size:
            return -1.0
        return _correlation(self._map, other._map)

    def shows_same_place(self, other: Thumbnail) -> bool:
        """Return whether both show one place, perhaps shifted or zoomed."""
        similarity = self.similarity(other)
        if similarity >= _SAME_PLACE:
            return True
        return similarity > -1 and any(
            max(_correlation(self.zoomed(zoom), other._map), _correlation(self._map, other.zoomed(zoom)))
            >= _SAME_PLACE_ZOOMED
            for zoom in _ZOOMS
        )

    def explained_by(self, first: Thumbnail, second: Thumbnail) -> float:
        """Return the share of this picture's local contrast that a mixture of two others, unshifted, explains."""
        own, maps = self._map.values, (first._map, second._map)
        together = float((maps[0].values * maps[1].values).sum())
        products = torch.tensor([float((one.values * own).sum()) for one in maps])
        a, b = maps[0].energy, maps[1].energy
        determinant = a * b - together**2
        if determinant < 1e-3 * a * b:
            return 0.0
        weights = torch.stack([b * products[0] - together * products[1], a * products[1] - together * products[0]])
        return float(weights @ products) / determinant / max(self._map.energy, 1e-3)
