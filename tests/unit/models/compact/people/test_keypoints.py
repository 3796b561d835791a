"""Decoding of hand-made head maps."""

from __future__ import annotations

from dataclasses import replace

import torch

from human3r.models.compact.convnets.movenet import MoveNetMaps
from human3r.models.compact.people.detection.keypoints import (
    ImageKeypoints,
    decode_people,
    find_keypoints,
    has_own_torso,
    join_scales,
    keypoint_similarity,
    person_size,
    remove_duplicates,
)
from human3r.records import concatenate

HEIGHT, WIDTH = 48, 64


def blank_maps() -> MoveNetMaps:
    def zeros(channels: int) -> torch.Tensor:
        return torch.zeros(1, channels, HEIGHT, WIDTH)

    return MoveNetMaps(zeros(24), zeros(1), zeros(2), zeros(2), zeros(17), zeros(34), zeros(34))


def add_person(maps: MoveNetMaps, row: int, column: int, score: float, spread: int = 10) -> None:
    """Put 17 keypoints on a vertical line of ``spread`` cells through the center, exactly where they are regressed."""
    maps.center[0, 0, row, column] = score
    places = torch.linspace(-spread / 2, spread / 2, 17).round().long()
    for joint, shift in enumerate(places.tolist()):
        maps.keypoint_heatmap[0, joint, row + shift, column] = 0.9
        maps.keypoint_regression[0, 2 * joint, row, column] = shift
        maps.keypoint_offset[0, 2 * joint : 2 * joint + 2, row + shift, column] = 0.25


def people_at(shift_px: float, score: float = 0.9, size_px: float = 100.0) -> ImageKeypoints:
    keypoints = torch.stack([torch.full((17,), 50.0), torch.linspace(0, size_px, 17)], dim=-1)[None] + shift_px
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    return ImageKeypoints(keypoints, torch.full((1, 17), 0.9), torch.tensor([score]), box, torch.zeros(1, 2))


def test_keypoints_come_out_at_cell_plus_offset_in_pixel_centers() -> None:
    maps = blank_maps()
    add_person(maps, 20, 30, 0.9)

    people = decode_people(maps)

    expected_x = torch.full((17,), (30 + 0.25) * 4 - 0.5)
    torch.testing.assert_close(people.keypoints_px[0, :, 0], expected_x)
    torch.testing.assert_close(people.keypoints_px[0, 0], torch.tensor([120.5, (15 + 0.25) * 4 - 0.5]))


def test_the_best_cell_of_the_whole_map_is_found_wherever_it_is() -> None:
    generator = torch.Generator().manual_seed(3)
    maps = blank_maps()
    heat = torch.rand(maps.keypoint_heatmap.shape, generator=generator) ** 8
    maps = replace(maps, keypoint_heatmap=heat)
    height, width = heat.shape[-2:]
    # Some inside, some far outside of the map.
    regressed = (2 * torch.rand(30, 17, 2, generator=generator) - 0.5) * torch.tensor([height, width])
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = torch.hypot(regressed[..., 0, None, None] - rows, regressed[..., 1, None, None] - columns)
    best = (heat / (distance + 1.8)).flatten(2).argmax(-1)

    place, score = find_keypoints(maps, regressed)

    assert torch.equal(place, torch.stack([best // width, best % width], dim=-1).float())
    assert torch.equal(score, heat[0].flatten(1)[torch.arange(17), best])


def test_there_is_no_limit_of_six_people() -> None:
    maps = blank_maps()
    for column in range(4, 64, 7):
        add_person(maps, 24, column, 0.9)

    assert len(decode_people(maps)) == 9


def test_people_come_best_first() -> None:
    maps = blank_maps()
    add_person(maps, 20, 10, 0.5)
    add_person(maps, 20, 40, 0.8)

    torch.testing.assert_close(decode_people(maps).score, torch.tensor([0.8, 0.5]))


def test_a_small_person_needs_a_higher_score() -> None:
    maps = blank_maps()
    add_person(maps, 20, 10, 0.35, spread=4)
    add_person(maps, 20, 40, 0.35, spread=16)

    people = decode_people(maps)

    assert len(people) == 1
    assert people.center_px[0, 0] > 100


def test_coinciding_keypoints_are_not_a_person() -> None:
    maps = blank_maps()
    add_person(maps, 20, 10, 0.9, spread=6)
    add_person(maps, 20, 40, 0.9, spread=16)
    maps.box_scale[0, :, 20, 10] = 20.0
    maps.box_scale[0, :, 20, 40] = 20.0

    people = decode_people(maps)

    assert people.center_px[:, 0].tolist() == [40.5 * 4 - 0.5]


def test_two_center_peaks_on_one_person_are_one_person() -> None:
    first, second = people_at(0.0, 0.9), people_at(2.0, 0.6)
    both = ImageKeypoints(**{name: torch.cat([getattr(first, name), getattr(second, name)]) for name in vars(first)})

    people = remove_duplicates(both)

    torch.testing.assert_close(people.score, torch.tensor([0.9]))


def test_the_limbs_of_one_and_the_torso_of_another_are_nobody() -> None:
    real, behind = people_at(0.0, 0.9), people_at(30.0, 0.6)
    mixed = behind.keypoints_px.clone()
    mixed[:, [5, 6, 11, 12]] = real.keypoints_px[:, [5, 6, 11, 12]] + 2.0
    chimera = replace(behind, keypoints_px=mixed)
    assert keypoint_similarity(chimera, real).item() < 0.5

    assert has_own_torso(concatenate([chimera, real])).tolist() == [False, True]
    assert has_own_torso(concatenate([behind, real])).tolist() == [True, True]


def test_people_far_apart_are_not_similar() -> None:
    assert keypoint_similarity(people_at(0.0), people_at(200.0)).item() < 1e-3
    assert keypoint_similarity(people_at(0.0), people_at(0.0)).item() > 0.999


def test_the_second_scale_adds_only_new_people() -> None:
    base, again, newcomer = people_at(0.0), people_at(3.0, 0.95), people_at(300.0, 0.9)
    other = ImageKeypoints(**{name: torch.cat([getattr(again, name), getattr(newcomer, name)]) for name in vars(again)})

    joined = join_scales(base, other)

    torch.testing.assert_close(joined.keypoints_px, torch.cat([base.keypoints_px, newcomer.keypoints_px]))


def test_a_part_of_an_accepted_person_is_not_a_new_person() -> None:
    base = people_at(0.0)
    lower_half = replace(base, keypoints_px=base.keypoints_px * torch.tensor([1.0, 0.5]) + torch.tensor([0.0, 50.0]))

    assert len(join_scales(base, lower_half)) == 1


def test_a_person_without_trusted_keypoints_has_no_size() -> None:
    blind = replace(people_at(0.0), keypoint_score=torch.zeros(1, 17))

    assert person_size(blind).tolist() == [0.0]
