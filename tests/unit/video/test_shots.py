"""Shot changes in drawn clips: cuts, dissolves and fades are found, and nothing that only looks like one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from human3r.records import Frame
from human3r.video.shots.detection import Lookahead
from human3r.video.shots.division import find_shots

_SIZE = (72, 128)
_FPS = 15.0


def _place(seed: int, width: int = _SIZE[1]) -> np.ndarray:
    """A picture with structure of several sizes, ``72 width 3`` float."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(_SIZE[0], width, 3)), (s, s, 0)) * s for s in (1.5, 4, 12)]
    return np.clip(128 + 130 * sum(layers), 0, 255)


def _still(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    place = _place(seed)
    return [place + rng.normal(0, 3, place.shape) for _ in range(count)]


def _mixed(first: np.ndarray | float, second: np.ndarray | float, count: int) -> list[np.ndarray]:
    return [first * (1 - share) + second * share for share in np.linspace(0, 1, count + 2)[1:-1]]


def _beginnings(pictures: Sequence[np.ndarray], lookahead: Lookahead | None = None) -> list[int]:
    frames = (
        Frame(np.clip(picture, 0, 255).astype(np.uint8), index, index / _FPS) for index, picture in enumerate(pictures)
    )
    return [frame.frame_index for frame in find_shots(frames, lookahead) if frame.begins_shot]


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_begins_a_shot_with_its_first_frame(seed) -> None:
    assert _beginnings([*_still(seed, 9), *_still(seed + 10, 9)]) == [9]


@pytest.mark.parametrize(("before", "after"), [(1, 8), (1, 1), (5, 2), (20, 1), (20, 7)])
def test_a_cut_within_the_lookahead_of_the_beginning_or_the_end_begins_a_shot(before, after) -> None:
    assert _beginnings([*_still(1, before), *_still(2, after)]) == [before]


@pytest.mark.parametrize("length", [5, 10])
def test_a_dissolve_begins_a_shot_in_its_middle(length) -> None:
    a, b = _still(1, 12), _still(2, 12)
    [beginning] = _beginnings([*a, *_mixed(a[0], b[0], length), *b])
    assert abs(beginning - (12 + length / 2)) <= 1.5


def test_a_fade_through_black_to_another_place_begins_a_shot() -> None:
    a, b = _still(1, 12), _still(2, 12)
    [beginning] = _beginnings([*a, *_mixed(a[0], 0 * a[0], 5), 0 * a[0], *_mixed(0 * b[0], b[0], 5), *b])
    assert 14 <= beginning <= 21


def test_a_title_card_is_a_shot_of_its_own() -> None:
    card = np.full((*_SIZE, 3), 10.0)
    card[30:40, 20:100:9] = 250
    assert _beginnings([*[card] * 10, *_still(3, 10)]) == [10]


def test_a_flash_is_not_a_cut() -> None:
    a = _still(1, 24)
    flashed = [0.2 * picture + 0.8 * 255 for picture in a[10:12]]
    assert _beginnings([*a[:10], *flashed, *a[12:]]) == []


def test_a_jump_of_the_exposure_is_not_a_cut() -> None:
    a = _still(1, 20)
    assert _beginnings([*a[:10], *[0.5 * picture for picture in a[10:]]]) == []


def test_a_whip_pan_is_not_a_cut() -> None:
    wide = _place(4, width=4 * _SIZE[1])
    places = [0] * 8 + [24 * step for step in range(12)] + [24 * 11] * 8
    assert _beginnings([wide[:, left : left + _SIZE[1]] for left in places]) == []


def test_a_person_in_front_of_the_lens_is_not_a_cut() -> None:
    pictures = _still(1, 30)
    coat = gaussian_filter(np.random.default_rng(0).normal(60, 20, (*_SIZE, 3)), (5, 5, 0))
    for step in range(12):
        left = -_SIZE[1] + 22 * step
        shown = slice(max(0, left), min(_SIZE[1], left + _SIZE[1]))
        pictures[8 + step][:, shown] = coat[:, : shown.stop - shown.start]
    assert _beginnings(pictures) == []


def test_a_fade_to_black_and_back_is_not_a_cut() -> None:
    a = _still(1, 24)
    black = 0 * a[0]
    assert _beginnings([*a[:10], *_mixed(a[0], black, 3), black, *_mixed(black, a[0], 3), *a[10:]]) == []


def test_a_short_lookahead_finds_cuts_as_well() -> None:
    lookahead = Lookahead(time_s=0.0, min_frames=1)
    assert _beginnings([*_still(1, 9), *_still(2, 9)], lookahead) == [9]


def test_a_frame_that_its_source_marks_begins_a_shot_though_it_shows_the_same() -> None:
    pictures = [picture.astype(np.uint8) for picture in np.clip(_still(1, 8), 0, 255)]
    frames = [Frame(picture, index, index / _FPS, begins_shot=index == 5) for index, picture in enumerate(pictures)]
    assert [frame.frame_index for frame in find_shots(frames) if frame.begins_shot] == [5]


def test_frames_come_in_order_and_unchanged() -> None:
    frames = [Frame(np.full((*_SIZE, 3), index, np.uint8), index, float(index)) for index in range(5)]
    assert [frame.image[0, 0, 0] for frame in find_shots(frames)] == list(range(5))


def _in_frame(pictures: Sequence[np.ndarray], rows: tuple[int, int], columns: tuple[int, int]) -> list[np.ndarray]:
    """The pictures inside black borders."""
    size = (_SIZE[0] + sum(rows), _SIZE[1] + sum(columns), 3)
    framed = [np.zeros(size) for _ in pictures]
    for frame, picture in zip(framed, pictures, strict=True):
        frame[rows[0] : rows[0] + _SIZE[0], columns[0] : columns[0] + _SIZE[1]] = picture
    return framed


def _pictures(pictures: Sequence[np.ndarray]) -> list[tuple[int, int, int, int] | None]:
    frames = (Frame(np.clip(one, 0, 255).astype(np.uint8), index, index / _FPS) for index, one in enumerate(pictures))
    return [frame.picture_px for frame in find_shots(frames)]


@pytest.mark.parametrize(("rows", "columns"), [((40, 40), (0, 0)), ((0, 0), (30, 31)), ((12, 12), (20, 20))])
def test_borders_are_found(rows, columns) -> None:
    found = _pictures(_in_frame(_still(1, 6), rows, columns))
    assert found == [(columns[0], rows[0], columns[0] + _SIZE[1], rows[0] + _SIZE[0])] * 6


def test_a_picture_without_borders_fills_its_frame() -> None:
    assert _pictures(_still(1, 6)) == [None] * 6


def test_a_night_sky_is_not_a_border() -> None:
    dark = _still(1, 6)
    shade = np.clip(np.linspace(-1, 1.5, _SIZE[0]), 0, 1)[:, None, None]
    assert _pictures([picture * shade for picture in dark]) == [None] * 6


def test_a_title_card_has_no_borders() -> None:
    card = np.zeros((*_SIZE, 3))
    card[32:40, 50:70] = 250
    assert _pictures([card] * 6) == [None] * 6
