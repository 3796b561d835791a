"""The texture bank (all images of a scene in one flat array with mip levels) and procedural, tileable textures."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import fft

from human3r.palette import srgb_to_linear

MAX_LEVELS = 10


class TextureBank:
    """8-bit sRGB textures; ``packed`` returns the arrays that the shader reads."""

    def __init__(self) -> None:
        self._pixels: list[np.ndarray] = []
        self._table: list[np.ndarray] = []
        self._length = 0

    def __len__(self) -> int:
        return len(self._table)

    def add(self, image: np.ndarray) -> int:
        """Add an image ``h w 3`` uint8 (resized to powers of two, at most 512) and return its number."""
        height, width = (int(np.clip(2 ** round(np.log2(side)), 2, 512)) for side in image.shape[:2])
        if image.shape[:2] != (height, width):
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        rows = np.zeros((MAX_LEVELS, 4), np.int64)
        level, levels = image.astype(np.float32), 0
        while levels < MAX_LEVELS:
            rows[levels, :3] = (self._length, level.shape[0], level.shape[1])
            flat = np.round(level).astype(np.uint8).reshape(-1)
            self._pixels.append(flat)
            self._length += flat.size
            levels += 1
            if min(level.shape[:2]) < 2:
                break
            level = 0.25 * (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2])
        rows[:, 3] = levels
        self._table.append(rows)
        return len(self._table) - 1

    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (pixels uint8, table ``N levels 4`` of offset, height, width, level count; sRGB decoding table)."""
        to_linear = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
        if not self._table:
            return np.zeros(3, np.uint8), np.zeros((1, MAX_LEVELS, 4), np.int64), to_linear
        return np.concatenate(self._pixels), np.stack(self._table), to_linear


def cloud_noise(rng: np.random.Generator, size: int, roughness: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """Return tileable noise ``size size`` with zero mean, unit deviation and spectrum 1/f^roughness.

    Args:
        size: Side in pixels.
        roughness: 0 is white, 1 cloudy, 2 very smooth.
        stretch: Factor on the vertical frequency; below 1 gives finer detail vertically than horizontally.
    """
    frequency_y = np.fft.fftfreq(size)[:, None] * size * stretch
    frequency_x = np.fft.rfftfreq(size)[None] * size
    squared = (frequency_y**2 + frequency_x**2).astype(np.float32)
    squared[0, 0] = 1.0
    spectrum = np.asarray(fft.rfft2(rng.standard_normal((size, size), np.float32))) * squared ** np.float32(
        -roughness / 2
    )
    spectrum[0, 0] = 0
    noise = np.asarray(fft.irfft2(spectrum, s=(size, size)))
    return noise / (noise.std() + 1e-9)


def tint(rng: np.random.Generator, low: float = 0.15, high: float = 0.85, saturation: float = 0.25) -> np.ndarray:
    """Draw an sRGB color of limited saturation."""
    value = rng.uniform(low, high)
    return np.clip(value + saturation * value * rng.uniform(-1, 1, 3), 0.02, 0.98)


def _finish(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def plaster(rng: np.random.Generator, color: np.ndarray, contrast: float = 0.03) -> np.ndarray:
    """Painted wall, stone, leather, plastic: one color with stains and grain."""
    size = 256
    shade = cloud_noise(rng, size, 1.6) * contrast + cloud_noise(rng, size, 0.4) * contrast * 0.6
    return _finish(color[None, None] * (1 + shade[..., None]))


def planks(rng: np.random.Generator, color: np.ndarray, boards: int = 8) -> np.ndarray:
    """Wooden floor: boards of different tone with grain along the columns, staggered ends."""
    size, wide = 512, 512 // boards
    grain = cloud_noise(rng, size, 1.0, stretch=0.08)
    rings = np.sin(cloud_noise(rng, size, 1.6, stretch=0.12) * 9) * 0.3
    image = np.empty((size, size, 3))
    for board in range(boards):
        columns = slice(board * wide, (board + 1) * wide)
        cuts = np.sort(rng.integers(0, size, 2))
        piece = np.searchsorted(cuts, np.arange(size)) % 2
        tone = rng.normal(1, 0.09, 2)[piece][:, None]
        shift = rng.integers(0, size)
        texture = np.roll(grain[:, columns] + rings[:, columns], shift, 0) * 0.07
        image[:, columns] = color * (tone * (1 + texture))[..., None]
        image[cuts, columns] *= 0.45
        image[:, board * wide] *= 0.5
    return _finish(image)


def wood(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Veneer: grain and rings along the columns."""
    rings = np.sin(cloud_noise(rng, 256, 1.7, stretch=0.1) * 8)
    shade = cloud_noise(rng, 256, 0.9, stretch=0.06) * 0.06 + rings * 0.05
    return _finish(color * (1 + shade[..., None]))


def tiles(rng: np.random.Generator, color: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Square tiles with joints; ``other`` colors every second one (pass the same color for plain tiles)."""
    size, per_side = 512, 4
    side = size // per_side
    row, column = np.indices((size, size)) // side
    is_other = (row + column) % 2 == 1
    tone = rng.normal(1, 0.035, (per_side, per_side))[row, column]
    image = np.where(is_other[..., None], other, color) * tone[..., None]
    image *= 1 + (cloud_noise(rng, size, 1.5) * 0.03)[..., None]
    y, x = np.indices((size, size)) % side
    joint = (np.minimum(x, y) < max(2, side // 40))[..., None]
    return _finish(np.where(joint, tint(rng, 0.3, 0.8, 0.08), image))


def bricks(rng: np.random.Generator, color: np.ndarray, rows: int = 16) -> np.ndarray:
    """Running-bond brickwork; twice as many rows as columns per repeat."""
    size = 512
    high, wide = size // rows, size // (rows // 2)
    y, x = np.indices((size, size))
    row = y // high
    x = (x + (row % 2) * wide // 2) % size
    tone = rng.normal(1, 0.13, (rows, rows))[row, x // wide]
    image = color * (tone * (1 + cloud_noise(rng, size, 0.7) * 0.09))[..., None]
    joint = ((y % high < max(2, high // 9)) | (x % wide < max(2, high // 9)))[..., None]
    mortar = tint(rng, 0.45, 0.8, 0.08) * (1 + cloud_noise(rng, size, 0.5)[..., None] * 0.05)
    return _finish(np.where(joint, mortar, image))


def wallpaper(rng: np.random.Generator, color: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Stripes, lattice, flowers or patches in two colors."""
    size, period = 256, int(rng.choice([32, 64, 128]))
    y, x = np.indices((size, size)) * 2 * np.pi / period
    kind = rng.integers(4)
    if kind == 0:
        figure = np.sin(x) > rng.uniform(-0.6, 0.6)
    elif kind == 1:
        figure = np.abs(np.sin((x + y) / 2)) * np.abs(np.sin((x - y) / 2)) < rng.uniform(0.08, 0.4)
    elif kind == 2:
        angle = np.arctan2(np.sin(y), np.sin(x))
        figure = np.hypot(np.sin(x), np.sin(y)) < 0.45 + 0.25 * np.cos(int(rng.integers(3, 7)) * angle)
    else:
        figure = cloud_noise(rng, size, 2.0) > rng.uniform(0, 1)
    blend = figure[..., None] * rng.uniform(0.3, 1)
    image = color * (1 - blend) + other * blend
    return _finish(image * (1 + cloud_noise(rng, size, 0.6)[..., None] * 0.02))


def carpet(rng: np.random.Generator, color: np.ndarray, contrast: float = 0.12) -> np.ndarray:
    """Pile or woven cloth: fine grain with faint large stains."""
    size = 256
    shade = rng.standard_normal((size, size)) * 0.6 + cloud_noise(rng, size, 0.5) + cloud_noise(rng, size, 1.8) * 0.4
    return _finish(color * (1 + shade[..., None] * contrast))


def grass(rng: np.random.Generator) -> np.ndarray:
    """Lawn, meadow or dry grass."""
    base = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.4, 0.55), rng.uniform(0.12, 0.25)])
    blades = cloud_noise(rng, 512, 0.35, stretch=0.5)
    patches = cloud_noise(rng, 512, 1.5)
    dry = np.array([0.55, 0.5, 0.3])
    share = np.clip(0.2 + 0.2 * patches, 0, 0.8)[..., None]
    return _finish((base * (1 - share) + dry * share) * (1 + 0.22 * blades[..., None]))


def asphalt(rng: np.random.Generator, brightness: float = 0.35) -> np.ndarray:
    """Asphalt, gravel or concrete, by brightness: speckles, stains and a few cracks."""
    size = 512
    speckle = rng.standard_normal((size, size)) * 0.12 + cloud_noise(rng, size, 0.5) * 0.08
    image = brightness * (1 + speckle + cloud_noise(rng, size, 1.6) * 0.1)
    cracks = np.abs(cloud_noise(rng, size, 1.8)) < 0.012
    image = np.where(cracks, image * 0.6, image)
    return _finish(image[..., None] * (1 + rng.uniform(-0.04, 0.04, 3)))
