"""Shot changes of a stream that does not wait: what is held back, and where shots begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from human3r.records import Frame
from human3r.video.shots.live import PATIENCE_S, LiveShots

_SIZE = (72, 128)
_FPS = 15.0


def _place(seed: int) -> np.ndarray:
    """A picture with structure of several sizes, ``72 128 3`` float."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(*_SIZE, 3)), (s, s, 0)) * s for s in (1.5, 4, 12)]
    return np.clip(128 + 130 * sum(layers), 0, 255)


def _still(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    place = _place(seed)
    return [place + rng.normal(0, 3, place.shape) for _ in range(count)]


def _taken(pictures: Sequence[np.ndarray]) -> dict[int, Frame]:
    shots = LiveShots()
    images = [np.clip(picture, 0, 255).astype(np.uint8) for picture in pictures]
    frames = (shots.take(Frame(image, index, index / _FPS)) for index, image in enumerate(images))
    return {frame.frame_index: frame for frame in frames if frame is not None}


def test_frames_of_one_place_are_not_delayed() -> None:
    taken = _taken(_still(1, 20))
    assert list(taken) == list(range(20))
    assert not any(frame.begins_shot for frame in taken.values())


def test_a_cut_begins_a_shot_once_the_old_place_stays_away() -> None:
    taken = _taken([*_still(1, 9), *_still(2, 20)])
    [beginning] = [index for index, frame in taken.items() if frame.begins_shot]
    assert beginning == 9 + np.ceil(PATIENCE_S * _FPS)
    assert list(taken) == [*range(9), *range(beginning, 29)]


def test_a_dissolve_begins_a_shot_when_it_is_over() -> None:
    a, b = _still(1, 20), _still(2, 30)
    shares = np.linspace(0, 1, 10)[1:-1]
    taken = _taken([*a, *(share * b[0] + (1 - share) * a[-1] for share in shares), *b])
    [beginning] = [index for index, frame in taken.items() if frame.begins_shot]
    assert len(a) + len(shares) <= beginning <= len(a) + len(shares) + _FPS
    assert list(taken) == list(range(58))


def test_a_reflection_that_comes_and_goes_begins_no_shot() -> None:
    a, b = _still(1, 60), _place(2)
    shares = 0.5 * np.sin(np.linspace(0, np.pi, 11))
    mixed = (picture + share * (b - picture) for picture, share in zip(a[20:31], shares, strict=True))
    taken = _taken([*a[:20], *mixed, *a[31:]])
    assert not any(frame.begins_shot for frame in taken.values())


def test_the_frames_of_a_flash_are_left_out() -> None:
    a, b = _still(1, 20), _still(2, 2)
    taken = _taken([*a[:10], *b, *a[12:]])
    assert list(taken) == [*range(10), *range(12, 20)]
    assert not any(frame.begins_shot for frame in taken.values())


def test_a_stream_that_turns_dark_continues() -> None:
    a = _still(1, 10)
    taken = _taken([*a, *[0 * a[0]] * 5, *a])
    assert list(taken) == list(range(25))
    assert not any(frame.begins_shot for frame in taken.values())


def test_borders_are_those_of_each_shot() -> None:
    boxed = _still(2, 20)
    for picture in boxed:
        picture[:12] = picture[-12:] = 0
    taken = _taken([*_still(1, 9), *boxed])
    assert taken[8].picture_px is None
    assert taken[28].picture_px == (0, 12, 128, 60)


def test_borders_at_the_beginning_are_judged_by_several_frames() -> None:
    boxed = _still(2, 9)
    for picture in boxed:
        picture[:, :20] = picture[:, -20:] = 0
    taken = _taken([np.zeros((*_SIZE, 3)), *boxed])
    assert list(taken)[:2] == [0, 4]
    assert taken[4].picture_px == (20, 0, 108, 72)
    assert taken[4].begins_shot  # the network has seen the dark frame with its borders
