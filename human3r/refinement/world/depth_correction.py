"""Correct the depth of the stream to that of a finished result: scale and bend of each shot, from ``meta``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from human3r.errors import FormatError
from human3r.results.reconstruction import Reconstruction

_REMEDY = "Reconstruct the clip again."
_NUM_WAVES = 2
"""Bends along the depth: walls stay upright where floors are curved."""
NUM_BENDS = 4 + _NUM_WAVES
"""Files of earlier versions have the first three or five."""
_MIDDLE_M, _REACH = 4.0, 2.0
"""Depth at the middle of the waves, and the logarithm of the ratio to it beyond which they end."""
KNOTS = (4, 5)
"""Rows and columns of the corrections of a view."""
LAYERS = np.array([-0.7, 0.0, 0.7])
"""Log depths, from the middle one of a shot, between which they are interpolated as well."""
NUM_KNOTS, NUM_LAYERS = KNOTS[0] * KNOTS[1], len(LAYERS)


@dataclass(frozen=True)
class ViewDepth:
    """Smooth corrections of the depth of V frames of a shot, on which its views agree."""

    frame: np.ndarray
    """``V`` increasing, frames of the shot."""
    log_depth: np.ndarray
    """``V K*L`` at knots, row by row, and layers; linear between."""
    middle_m: float
    """Depth at the middle layer."""

    @classmethod
    def from_meta(cls, entry: Mapping[str, object]) -> ViewDepth:
        """Return what ``to_meta`` wrote.

        Raises:
            FormatError: The grid is another one.
        """
        log_depth = np.asarray(entry["log_depth"], dtype=np.float64)
        if log_depth.shape[1] != NUM_KNOTS * NUM_LAYERS:
            raise FormatError(
                f"Views have {log_depth.shape[1]} corrections; {NUM_KNOTS * NUM_LAYERS} are read.", _REMEDY
            )
        return cls(np.asarray(entry["frame"], dtype=np.float64), log_depth, float(entry["middle_m"]))  # type: ignore[arg-type]

    def to_meta(self) -> dict[str, object]:
        """Return JSON values."""
        return {
            "frame": self.frame.tolist(),
            "log_depth": self.log_depth.round(4).tolist(),
            "middle_m": round(self.middle_m, 4),
        }

    def factor(self, frame: int, pixels: np.ndarray, depth: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """Return factors ``n`` on the depth ``n`` at ``n 2`` pixels of a frame."""
        corrections = knot_weights(pixels, image_size) @ self._of(frame).reshape(NUM_KNOTS, -1)
        return np.exp((corrections * self._layers(depth)).sum(1))

    def factor_map(self, frame: int, pixels: np.ndarray, depth: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """Return factors ``h w`` on the depth ``h w`` of a frame on a grid of pixels ``h w 2``."""
        rows, columns = (
            _weights_along(pixels[:, 0, 1], KNOTS[0], image_size[0]),
            _weights_along(pixels[0, :, 0], KNOTS[1], image_size[1]),
        )
        corrections = np.einsum("hr,rcl,wc->hwl", rows, self._of(frame), columns, optimize=True)
        return np.exp((corrections * self._layers(depth.reshape(-1)).reshape(corrections.shape)).sum(-1))

    def _of(self, frame: int) -> np.ndarray:
        """Return ``R C L``: the corrections of a frame, between those of the views before and after."""
        return np.array([np.interp(frame, self.frame, column) for column in self.log_depth.T]).reshape(*KNOTS, -1)

    def _layers(self, depth: np.ndarray) -> np.ndarray:
        return layer_weights(np.log(np.maximum(depth, 1e-3) / self.middle_m))


def knot_weights(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return ``n K``: the weights of the knots at ``n 2`` pixels of an image of (height, width)."""
    rows = _weights_along(pixels[:, 1], KNOTS[0], image_size[0])
    columns = _weights_along(pixels[:, 0], KNOTS[1], image_size[1])
    return (rows[:, :, None] * columns[:, None]).reshape(len(pixels), rows.shape[1] * columns.shape[1])


def _weights_along(place_px: np.ndarray, count: int, side: int) -> np.ndarray:
    place = ((place_px + 0.5) / side * (count - 1)).clip(0, count - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(count)), 0)


def layer_weights(log_depth: np.ndarray) -> np.ndarray:
    """Return ``n L``: the weights of the layers at ``n`` log depths from the middle one."""
    place = np.interp(log_depth, LAYERS, np.arange(NUM_LAYERS))
    return np.maximum(1 - np.abs(place[:, None] - np.arange(NUM_LAYERS)), 0)


def bend_basis(pixels: np.ndarray, image_size: tuple[int, int], depth: np.ndarray) -> np.ndarray:
    """Return ``... 6`` smooth functions: of ``... 2`` pixels of an image of (height, width), and of ``...`` depths.

    Those of pixels have no mean over the image.
    """
    height, width = image_size
    x, y = np.moveaxis((2 * (pixels + 0.5) / np.array([width, height]) - 1).clip(-1, 1), -1, 0)
    place = (np.log(np.maximum(depth, 1e-3) / _MIDDLE_M) / _REACH).clip(-1, 1)
    waves = [-np.cos(np.pi / 2 * number * (1 + place)) for number in range(1, 1 + _NUM_WAVES)]
    aside = (width / max(height, width)) ** 2 * (x**2 - 1 / 3)
    return np.stack([y, x, y**2 - 1 / 3, *waves, aside], axis=-1)


def depth_factor(
    pixels: np.ndarray, image_size: tuple[int, int], depth: np.ndarray, log_scale: float, bend: np.ndarray
) -> np.ndarray:
    """Return the factors ``...`` on the depth ``...`` at ``... 2`` pixels; without the last bends, those are zero."""
    return np.exp(log_scale + bend_basis(pixels, image_size, depth)[..., : len(bend)] @ bend)


def pixels_of_grid(shape: tuple[int, ...], crop: Sequence[float]) -> np.ndarray:
    """Return ``h w 2`` centers, in pixels of the source, of a grid that covers ``crop`` (x0, y0, x1, y1, edges)."""
    x0, y0, x1, y1 = crop
    x = (np.arange(shape[1]) + 0.5) * (x1 - x0) / shape[1] + x0 - 0.5
    y = (np.arange(shape[0]) + 0.5) * (y1 - y0) / shape[0] + y0 - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def depth_factor_of(
    result: Reconstruction, row: int, depth: np.ndarray, rect_px: Sequence[float]
) -> np.ndarray | float:
    """Return the factors ``h w``, or a single one, on a depth map of the stream.

    Args:
        result: The finished result; files of earlier versions have no correction.
        row: The processed frame of the map.
        depth: ``h w`` meters.
        rect_px: (x0, y0, x1, y1) of the source frame that the map covers, pixel edges.
    """
    shots = result.meta.get("shots")
    number = int(result.shot[row])
    shot = shots[number] if isinstance(shots, Sequence) and number < len(shots) else {}
    scale, growth = shot.get("scale"), (shot.get("lens") or {}).get("depth_growth", ())
    if not isinstance(scale, Mapping):
        return 1.0
    value, own = float(scale["value"]), 1.0
    of_shot = row - int(shot.get("first_frame", 0))
    if of_shot < len(growth):
        own = float(growth[of_shot])
    bend = np.asarray(scale.get("bend", np.zeros(NUM_BENDS)), dtype=np.float64)
    views = shot.get("views")
    if not bend.any() and not views:
        return value * own
    height, width = (int(side) for side in result.image_size)
    pixels = pixels_of_grid(depth.shape, rect_px)
    factor = np.full(depth.shape, own)
    if views:
        of_views = ViewDepth.from_meta(views)
        factor = factor * of_views.factor_map(of_shot, pixels, own * depth.astype(np.float64), (height, width))
    return value * factor * depth_factor(pixels, (height, width), factor * depth, 0.0, bend)
