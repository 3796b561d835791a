"""Candidates, crops and size of the enlarged pass of the human prior."""

from __future__ import annotations

import pytest
import torch

from human3r.models.compact.convnets.movenet import HEADS, MoveNetMaps
from human3r.models.compact.people.detection.human_prior import (
    MoveNetPrior,
    choose_crops,
    enlarged_size,
    find_candidates,
)
from human3r.models.config import CompactConfig


def center_map(*peaks: float) -> torch.Tensor:
    center = torch.full((1, 1, 24, 24), 0.01)
    for index, score in enumerate(peaks):
        center[0, 0, 6, 4 + 8 * index] = score
    return center


def test_a_weak_peak_is_a_candidate() -> None:
    assert find_candidates(center_map(0.9, 0.2)).tolist() == [[0, 6, 12]]


def test_clear_people_and_clutter_are_not_candidates() -> None:
    assert not len(find_candidates(center_map(0.9, 0.6)))
    assert not len(find_candidates(center_map(0.9, 0.04)))
    assert not len(find_candidates(center_map()))


def test_the_slope_of_a_strong_peak_is_not_a_weak_peak() -> None:
    center = center_map(0.9)
    center[0, 0, 6, 5] = 0.3

    assert not len(find_candidates(center))


def maps_with_boxes(rows: int, columns: int, box_cells: float) -> MoveNetMaps:
    maps = {name: torch.zeros(1, channels, rows, columns) for name, channels in HEADS.items()}
    maps["box_scale"] += box_cells
    return MoveNetMaps(features=torch.zeros(1, 24, rows, columns), **maps)


def test_a_crop_is_centered_on_its_candidate() -> None:
    candidate = torch.tensor([[0, 28, 48]])

    (corner,) = choose_crops(maps_with_boxes(56, 96, 8.0), candidate, (288, 512))

    # Cell 48 of 96 begins at pixel 256 of 512, cell 28 of 56 at 144 of 288.
    assert abs(corner[0] + 96 - 256) <= 4
    assert abs(corner[1] + 96 - 144) <= 4


def test_crops_stay_inside_the_image_and_near_candidates_share_one() -> None:
    candidates = torch.tensor([[0, 0, 0], [0, 3, 3], [0, 55, 95]])

    corners = choose_crops(maps_with_boxes(56, 96, 8.0), candidates, (288, 512))

    assert corners == [(0, 0), (512 - 192, 288 - 192)]


def test_small_people_get_a_crop_and_large_ones_do_not() -> None:
    candidate, small, large = (28, 10), (28, 80), (28, 45)
    maps = maps_with_boxes(56, 96, 8.0)
    maps.center[0, 0, small[0], small[1]] = 0.9
    maps.center[0, 0, large[0], large[1]] = 0.9
    maps.box_scale[0, :, large[0], large[1]] = 40.0

    corners = choose_crops(maps, torch.tensor([[0, *candidate]]), (288, 512))

    assert [x for x, _ in corners] == [0, 512 - 192]


def test_a_large_candidate_needs_the_whole_image() -> None:
    assert choose_crops(maps_with_boxes(56, 96, 30.0), torch.tensor([[0, 28, 48]]), (288, 512)) is None


def test_many_candidates_need_the_whole_image() -> None:
    candidates = torch.tensor([[0, row, column] for row in (5, 50) for column in (5, 35, 65, 90)])

    assert choose_crops(maps_with_boxes(56, 96, 8.0), candidates, (288, 512)) is None


def test_the_enlarged_size_is_a_multiple_of_32() -> None:
    assert enlarged_size((224, 384), 512) == (288, 512)
    assert enlarged_size((384, 224), 512) == (512, 288)


def test_a_large_image_is_not_enlarged() -> None:
    assert enlarged_size((512, 384), 512) is None
    assert enlarged_size((224, 384), 0) is None


class Clutter(torch.nn.Module):
    """A weak peak with a large box in the frame, and nobody or somebody there in the enlarged frame."""

    def __init__(self, confirmed: float) -> None:
        super().__init__()
        self.stem = torch.nn.Linear(1, 1)
        self.confirmed, self.widths = confirmed, []

    def forward(self, image: torch.Tensor) -> MoveNetMaps:
        height, width = image.shape[-2:]
        self.widths.append(width)
        maps = maps_with_boxes(height // 4, width // 4, 30.0)
        maps.center[0, 0, height // 8, width // 8] = 0.2 if width == 384 else self.confirmed
        return maps


@pytest.mark.parametrize(("confirmed", "expected"), [(0.05, [384, 512, 384, 384, 512]), (0.5, [384, 512] * 3)])
def test_clutter_that_the_enlarged_image_did_not_confirm_is_left_alone_for_a_frame(confirmed, expected) -> None:
    prior = MoveNetPrior(CompactConfig())
    prior.network = Clutter(confirmed)
    before = None
    for _ in range(3):
        before = prior(torch.zeros(1, 3, 224, 384), before)
    assert prior.network.widths == expected
