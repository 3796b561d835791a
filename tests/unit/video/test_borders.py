"""Bars around the picture, also with letters on them; what only looks like a bar stays."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.video.borders import find_picture

HEIGHT, WIDTH, BAR = 180, 320, 40


def pictures(num_frames: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 255, (num_frames, HEIGHT // 10, WIDTH // 10, 3), dtype=np.uint8)
    return list(coarse.repeat(10, axis=1).repeat(10, axis=2))


def with_bars(image: np.ndarray, above: int = BAR, below: int = BAR, color: int = 0) -> np.ndarray:
    framed = np.full((HEIGHT + above + below, WIDTH, 3), color, np.uint8)
    framed[above : above + HEIGHT] = image
    return framed


def with_letters(image: np.ndarray, first: int, last: int) -> np.ndarray:
    image[first:last, WIDTH // 5 : -WIDTH // 5 : 2] = 255
    return image


@pytest.mark.parametrize("color", [0, 16, 128, 255])
@pytest.mark.parametrize(("above", "below"), [(40, 40), (15, 60)])
def test_bars_of_one_color_are_found(color: int, above: int, below: int) -> None:
    images = [with_bars(image, above, below, color) for image in pictures()]
    assert find_picture(images) == (0, above, WIDTH, above + HEIGHT)


@pytest.mark.parametrize("every", [1, 2], ids=["always", "at times"])
@pytest.mark.parametrize(("first", "last"), [(230, 245), (8, 20)], ids=["below", "above"])
def test_bars_with_subtitles_are_found(first: int, last: int, every: int) -> None:
    images = [with_bars(image) for image in pictures()]
    images[::every] = [with_letters(image, first, last) for image in images[::every]]
    assert find_picture(images) == (0, BAR, WIDTH, BAR + HEIGHT)


def test_a_bar_on_one_side_or_a_gradual_dark_is_picture() -> None:
    one_side = [with_bars(image, BAR, 0) for image in pictures()]
    dark = np.linspace(0, 80, BAR).astype(np.uint8)[:, None, None]
    gradual = [np.concatenate([image, np.broadcast_to(dark, (BAR, WIDTH, 3))]) for image in one_side]
    assert (find_picture(one_side), find_picture(gradual), find_picture(pictures())) == (None, None, None)
