"""Which images of a folder are the frames of one camera."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from human3r.video.sources.sequences import one_sequence


def chosen(names: list[str], is_color: Callable[[int], bool] = lambda index: True) -> tuple[list[str], str]:
    indices, remark = one_sequence(names, is_color)
    return [names[index] for index in indices], remark


@pytest.mark.parametrize(
    "pattern", ["cam{1}_{0:03d}.jpg", "{0:03d}_camera{1}.jpg", "view {1}/{0}.png", "{0}_kinect-{1}.png"]
)
def test_of_two_cameras_the_first_is_taken(pattern):
    names = sorted(pattern.format(index, camera) for index in range(6) for camera in (0, 1))
    used, remark = chosen(names)
    assert used == sorted(pattern.format(index, 0) for index in range(6))
    assert "2 sequences" in remark


def test_cameras_that_count_on_are_two_cameras():
    names = [f"cam{camera}_{index + first:03d}.png" for camera, first in (("A", 0), ("B", 100)) for index in range(6)]
    assert chosen(names)[0] == names[:6]


@pytest.mark.parametrize("pattern", ["scene/{1}/{0:03d}.png", "{0}_{1}.png", "{1}{0}.png", "a/{0}.{1}.png"])
def test_depth_maps_and_masks_are_left_out(pattern):
    names = sorted(pattern.format(index, kind) for index in range(6) for kind in ("depth", "mask", "rgb"))
    used, remark = chosen(names)
    assert used == [name for name in names if "rgb" in name]
    assert "3 sequences" in remark


def test_of_unnamed_kinds_the_one_with_colors_is_taken():
    names = sorted(f"{index}_{kind}.png" for index in range(4) for kind in "ab")
    assert chosen(names, lambda index: "_b" in names[index])[0] == [name for name in names if "_b" in name]


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{index}.jpg" for index in range(9)],
        [f"12-{minute}-{second:02d}.jpg" for minute in range(3) for second in range(60)],
        [f"scene{scene}/{index}.jpg" for scene in range(2) for index in range(9)],
        ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "cover.jpg"],
        ["a.jpg", "b.jpg"],
        [f"part_a_{index}.jpg" for index in range(5)] + [f"part_b_{index}.jpg" for index in range(5, 10)],
    ],
)
def test_everything_else_is_one_sequence(names):
    assert chosen(names) == (names, "")
