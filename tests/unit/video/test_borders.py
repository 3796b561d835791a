"""Bars around the picture, also with letters on them; what only looks like a bar stays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from human3r.video.shots.borders import find_picture

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


@pytest.mark.parametrize(("above", "below"), [(BAR, 0), (0, BAR)])
def test_a_black_bar_on_one_side_is_found(above: int, below: int) -> None:
    images = [with_bars(image, above, below) for image in pictures()]
    assert find_picture(images) == (0, above, WIDTH, above + HEIGHT)
    turned = [image.transpose(1, 0, 2) for image in images]
    assert find_picture(turned) == (above, 0, above + HEIGHT, WIDTH)


def test_a_lone_bar_of_a_color_or_a_slanted_or_gradual_dark_is_picture() -> None:
    gray = [with_bars(image, BAR, 0, color=128) for image in pictures()]
    dark = np.linspace(0, 80, BAR).astype(np.uint8)[:, None, None]
    gradual = [np.concatenate([image, np.broadcast_to(dark, (BAR, WIDTH, 3))]) for image in pictures()]
    slanted = [with_bars(image, BAR, 0) for image in pictures()]
    rows, columns = np.mgrid[: HEIGHT + BAR, :WIDTH]
    for image in slanted:
        image[rows < BAR + columns // 20] = 0
    assert [find_picture(images) for images in (gray, gradual, slanted, pictures())] == [None] * 4


def before_a_copy(image: np.ndarray, size: tuple[int, int], darkness: float = 1.0) -> np.ndarray:
    """Fit a picture into (height, width) before its own copy, which covers the frame, blurred."""
    frame, picture = Image.new("RGB", size[::-1]), Image.fromarray(image)
    scales = [frame.width / picture.width, frame.height / picture.height]
    for scale, blur in ((max(scales), 12), (min(scales), 0)):
        scaled = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        if blur:
            scaled = scaled.filter(ImageFilter.GaussianBlur(blur)).point(lambda level: round(level * darkness))
        frame.paste(scaled, ((frame.width - scaled.width) // 2, (frame.height - scaled.height) // 2))
    return np.asarray(frame)


def scene(num_frames: int = 6) -> list[np.ndarray]:
    """A lit scene with details: what its blurred copy still shows, and what it does not."""
    light = np.linspace(0, 80, HEIGHT)[:, None, None] + np.hypot(*np.mgrid[-90:90, -160:160])[..., None] / 3
    return [np.clip(image / 3 + light, 0, 255).astype(np.uint8) for image in pictures(num_frames)]


@pytest.mark.parametrize("darkness", [1.0, 0.5])
def test_blurred_copies_at_the_sides_are_found(darkness: float) -> None:
    tall = [before_a_copy(image, (480, 320), darkness) for image in scene()]
    assert find_picture(tall) == pytest.approx((0, 150, 320, 330), abs=1)
    wide = [image.transpose(1, 0, 2) for image in tall]
    assert find_picture(wide) == pytest.approx((150, 0, 330, 320), abs=1)


def test_captions_on_a_blurred_side_are_no_obstacle() -> None:
    images = [before_a_copy(image, (480, 320)).copy() for image in scene()]
    for image in images:
        image[40:80, 60:260] = 255
    assert find_picture(images) == pytest.approx((0, 150, 320, 330), abs=1)


def test_sides_out_of_focus_are_picture() -> None:
    """A sharp middle whose surroundings blur: no straight edges; and straight ones, of another picture."""
    across = np.abs(np.arange(WIDTH) - WIDTH // 2)
    is_sharp = across + 10 * np.sin(np.arange(HEIGHT) / 9)[:, None] < WIDTH // 5
    others = [np.asarray(Image.fromarray(image[::-1]).filter(ImageFilter.GaussianBlur(12))) for image in scene()]
    soft = [np.where(is_sharp[..., None], image, other) for image, other in zip(scene(), others, strict=True)]
    hard = [np.where((across < 60)[:, None], image, other) for image, other in zip(scene(), others, strict=True)]
    assert (find_picture(soft), find_picture(hard)) == (None, None)
