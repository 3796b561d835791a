"""Pictures for the browser tests: settled screenshots, and the colors of people in them.

Software rendering may need many seconds for one picture and the viewer changes its resolution under load. So a picture
counts as settled when several *drawings* in a row agree in coarse blocks; no time limit decides.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from human3r.palette import person_color

COUNT_DRAWINGS = """
(() => {
  const ask = window.requestAnimationFrame.bind(window);
  const clear = WebGL2RenderingContext.prototype.clear;
  let drew = false;
  window.h3_drawings = 0;
  WebGL2RenderingContext.prototype.clear = function (mask) { drew = true; return clear.call(this, mask); };
  window.requestAnimationFrame = (callback) => ask((now) => {
    callback(now);
    if (drew) { window.h3_drawings += 1; drew = false; }
  });
})();
"""
"""Init script: ``h3_drawings`` of a frame counts the pictures that its WebGL canvas has drawn."""
TIMEOUT_S = 600
"""Bounds the wait for a settled picture; nothing is measured with it."""
_DRAWINGS_BETWEEN = 2
_EQUAL_PICTURES = 2
_INTERVAL_MS = 400
_BLOCK = 8
_MAX_DIFFERENCE = 8
"""Gray levels by which a block may differ between two settled pictures."""


def coarse(image: np.ndarray) -> np.ndarray:
    """Means over blocks of pixels: the viewer changes its resolution under load, which edges alone show."""
    height, width = (size // _BLOCK for size in image.shape[:2])
    blocks = image[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK, 3)
    return blocks.mean(axis=(1, 3))


def changed(first: np.ndarray, second: np.ndarray, levels: float = 25) -> float:
    """Share of coarse blocks that differ between two pictures of one size."""
    return float((np.abs(coarse(first) - coarse(second)).max(axis=-1) > levels).mean())


def settled(frame, take: Callable[[], np.ndarray], is_there: Callable[[], bool] = lambda: True) -> np.ndarray:
    """Return the picture once ``is_there`` holds and several drawings in a row agree.

    Args:
        frame: Page or frame that draws; ``COUNT_DRAWINGS`` runs in it.
        take: Takes the picture.
        is_there: Returns whether the wanted state was reached.
    """
    latest, num_equal, seen = None, 0, -_DRAWINGS_BETWEEN
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        frame.wait_for_timeout(_INTERVAL_MS)
        drawings = frame.evaluate("window.h3_drawings")
        if not is_there():
            latest, num_equal = None, 0
            continue
        if drawings < seen + _DRAWINGS_BETWEEN:
            continue
        seen, earlier, latest = drawings, latest, take()
        if earlier is None or np.abs(coarse(latest) - coarse(earlier)).max() >= _MAX_DIFFERENCE:
            num_equal = 0
            continue
        num_equal += 1
        if num_equal == _EQUAL_PICTURES:
            return latest
    raise AssertionError(f"the picture did not settle within {seen} drawings")


def screenshot(page) -> np.ndarray:
    """The page as ``H W 3`` float, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(float)


def canvas_picture(frame, size: tuple[int, int] = (480, 360)) -> np.ndarray:
    """What the viewer in a frame has drawn, on white, ``H W 3`` float; costs less than a screenshot.

    Args:
        frame: The viewer's frame.
        size: (width, height) of the answer, whatever resolution the viewer has chosen.
    """
    encoded = frame.evaluate("document.querySelector('canvas[data-engine]').toDataURL('image/png')").split(",", 1)[1]
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(on_white.convert("RGB").resize(size, Image.Resampling.BILINEAR)).astype(float)


def share_of_hue(picture: np.ndarray, track: int) -> float:
    """Share of saturated pixels whose direction in color space is that of a person."""
    color = np.array(person_color(track), float)
    away = picture - picture.mean(axis=-1, keepdims=True)
    wanted = color - color.mean()
    length = np.linalg.norm(away, axis=-1)
    cosine = (away @ wanted) / np.maximum(length, 1e-6) / np.linalg.norm(wanted)
    return float(((cosine > 0.96) & (length > 40)).mean())
