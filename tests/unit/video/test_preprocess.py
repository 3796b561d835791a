"""Image preparation: sizes, crops and the rectangle they cover."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from human3r.video.preprocess import prepare_compact, prepare_paper


def _picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((1280, 720), (512, 288)),
        ((640, 480), (512, 384)),
        ((720, 1280), (288, 512)),
        ((1000, 1000), (512, 384)),
        ((2048, 858), (512, 208)),
        ((1024, 1224), (416, 512)),
    ],
)
def test_paper_sizes_are_the_published_ones(source: tuple[int, int], expected: tuple[int, int]) -> None:
    prepared = prepare_paper(_picture(*source))
    assert prepared.image_uint8.shape == (expected[1], expected[0], 3)
    assert prepared.source_size == (source[1], source[0])


def test_the_crop_of_a_square_is_a_centered_band() -> None:
    assert prepare_paper(_picture(1024, 1024)).source_rect_px == (0, 128, 1024, 896)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = _picture(512, 288)
    prepared = prepare_paper(picture)
    assert np.array_equal(prepared.image_uint8, picture)
    assert prepared.image.amin() >= -1
    assert prepared.image.amax() <= 1
    assert prepared.image[2, 5, 7].item() == pytest.approx(picture[5, 7, 2] / 255 * 2 - 1, abs=1e-6)


@pytest.mark.parametrize("source", [(640, 360), (360, 640), (500, 281), (10, 10), (1920, 40)])
def test_compact_keeps_the_whole_frame_at_multiples_of_32(source: tuple[int, int]) -> None:
    prepared = prepare_compact(_picture(*source))
    assert all(side % 32 == 0 and side > 0 for side in prepared.image_uint8.shape[:2])
    assert max(prepared.image_uint8.shape[:2]) == 384
    assert prepared.source_rect_px == (0, 0, *source)


@pytest.mark.parametrize("size", [(480, 854), (960, 544), (90, 121), (1080, 1920)])
def test_compact_resizing_is_pillows_bilinear_filter_to_a_gray_level(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)

    prepared = prepare_compact(frame)

    height, width = prepared.image_uint8.shape[:2]
    plain = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
    # Both round weights to fixed point, in their own way.
    assert np.abs(prepared.image_uint8.astype(int) - plain).max() <= 1


def test_a_read_only_frame_can_be_prepared() -> None:
    frame = np.full((64, 96, 3), 7, dtype=np.uint8)
    frame.setflags(write=False)

    assert (prepare_compact(frame).image_uint8 == 7).all()
