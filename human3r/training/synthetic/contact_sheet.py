"""A page of thumbnails for visual inspection: image, depth and people of the first frame, and the last image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from human3r.atomic import whole_or_absent
from human3r.training.synthetic.clip import SyntheticClip, read_clip

CELL = (192, 256)
"""(height, width) of a thumbnail, pixels."""
_COLUMNS = 2


def write_contact_sheet(path: Path, folders: list[Path]) -> None:
    """Write one image with four thumbnails per clip, two clips side by side."""
    rows = [clip_strip(read_clip(folder)) for folder in folders]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % _COLUMNS)
    starts = range(0, len(rows), _COLUMNS)
    sheet = np.concatenate([np.concatenate(rows[first : first + _COLUMNS], 1) for first in starts])
    with whole_or_absent(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def clip_strip(clip: SyntheticClip) -> np.ndarray:
    """Return image, depth, people and the last image side by side, uint8."""
    depth = clip.depth[0]
    nearness = np.where(depth > 0, 1 / np.maximum(depth, 0.3), 0)
    gray = (255 * nearness / max(float(nearness.max()), 1e-6)).astype(np.uint8)
    palette = np.array(
        [[0, 0, 0], [230, 60, 60], [60, 200, 80], [70, 110, 240], [230, 200, 50], [200, 80, 220], [60, 210, 220]]
    )
    people = palette[clip.person_index[0] % len(palette)].astype(np.uint8)
    cells = (clip.image[0], np.repeat(gray[..., None], 3, -1), people, clip.image[-1])
    return np.concatenate([_fit(cell) for cell in cells], 1)


def _fit(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.thumbnail((CELL[1], CELL[0]))
    canvas = Image.new("RGB", (CELL[1], CELL[0]))
    canvas.paste(picture, ((CELL[1] - picture.width) // 2, (CELL[0] - picture.height) // 2))
    return np.asarray(canvas)
