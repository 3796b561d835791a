"""Sampling: strides, revisits, epochs and sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from human3r.errors import InputError
from human3r.training.paper.config import DataSettings
from human3r.training.paper.data.clips import choose_frames, list_starts, plan_epoch, plan_validation, stride_choices


@pytest.mark.parametrize(
    ("num_after", "strides"), [(4, [1]), (6, [1, 2]), (9, [1, 2, 3]), (12, [1, 2, 3, 4]), (40, [1, 2, 3, 4])]
)
def test_strides_fit_into_what_is_left(num_after: int, strides: list[int]):
    assert list(stride_choices(num_after)) == strides


def test_a_clip_keeps_one_stride_and_stays_inside():
    rng = np.random.default_rng(0)
    clips = [choose_frames(11, rng) for _ in range(200)]

    assert {tuple(np.diff(clip)) for clip in clips} == {(1, 1, 1), (2, 2, 2), (3, 3, 3)}
    assert {clip[0] for clip in clips} == {0}


def test_the_end_of_a_sequence_gives_neighbors_and_three_frames_are_shown_twice():
    rng = np.random.default_rng(0)

    assert choose_frames(3, rng) == [0, 1, 2, 3]
    assert {tuple(choose_frames(2, rng)) for _ in range(50)} == {(0, 1, 0, 1), (1, 2, 1, 2)}


def test_starts_need_three_frames_and_excluded_sequences_are_left_out(tmp_path: Path):
    for name, count in (("a_zoom", 5), ("b_orbit", 2), ("c_orbit", 3)):
        folder = tmp_path / "Training" / name / "rgb"
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index:04d}.png").touch()

    starts = list_starts(tmp_path, "Training")
    assert [(start.sequence, len(start.frames)) for start in starts] == [
        ("a_zoom", 5), ("a_zoom", 4), ("a_zoom", 3), ("c_orbit", 3),
    ]  # fmt: skip
    assert [start.sequence for start in list_starts(tmp_path, "Training", ("*zoom",))] == ["c_orbit"]
    with pytest.raises(InputError, match="no sequences"):
        list_starts(tmp_path, "Test")


def test_an_epoch_has_the_published_size_and_follows_from_its_number():
    data = DataSettings()
    first, again, second = (
        plan_epoch(9000, 3, 0, 8, data),
        plan_epoch(9000, 3, 0, 8, data),
        plan_epoch(9000, 4, 0, 8, data),
    )

    requests = [request for batch in first for request in batch]
    assert len(first) == 500
    assert len({request.start for request in requests}) == len({request.seed for request in requests}) == 4000
    assert all(len({request.image_size for request in batch}) == 1 for batch in first)
    assert first == again
    assert first != second


def test_landscape_sizes_come_twice_as_often_as_the_others():
    data = DataSettings(clips_per_epoch=30_000)
    sizes = [batch[0].image_size for batch in plan_epoch(100, 0, 0, 1, data)]

    shares = [sizes.count(size) / len(sizes) for size in data.image_sizes]
    assert np.allclose(shares, [2 / 15] * 5 + [1 / 15] * 5, atol=0.006)
    assert data.image_sizes[0] == (384, 512)


def test_a_small_data_set_is_gone_through_again_and_validation_is_always_the_same():
    data = DataSettings(clips_per_epoch=25, validation_clips=5)
    rows = [request.start for batch in plan_epoch(10, 0, 0, 5, data) for request in batch]

    assert np.bincount(rows).tolist().count(3) == 5
    assert plan_validation(9, 2, data) == plan_validation(9, 2, data)
    assert [len(batch) for batch in plan_validation(9, 2, data)] == [2, 2, 1]
    assert not plan_validation(9, 2, data)[0][0].is_augmented
