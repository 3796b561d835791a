"""Crops, colors, the square, and whose patch is whose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from human3r.bodies.loading import EMBEDDED_BODY_PATH
from human3r.errors import FormatError
from human3r.models.paper.letterbox import letterbox_points_to_image
from human3r.training.paper.config import IMAGE_SIZES
from human3r.training.paper.data.color_jitter import jitter_colors, shift_hue
from human3r.training.paper.data.cropping import clean_depth, crop_frame
from human3r.training.paper.data.dataset import slots_of
from human3r.training.paper.data.layout import LabeledFrame, LabeledPeople
from human3r.training.paper.data.people_truth import (
    assign_heads,
    image_points_to_square,
    load_true_body,
    pose_predicted,
    pose_truth,
)
from human3r.training.paper.rays import ray_maps


def _frame(height: int = 720, width: int = 1280, cx: float = 640.0, cy: float = 360.0) -> LabeledFrame:
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 7)], axis=-1).astype(np.uint8)
    K = np.array([[1000.0, 0, cx], [0, 1000.0, cy], [0, 0, 1]])
    people = LabeledPeople(np.zeros((0, 55, 3)), np.zeros((0, 11)), np.zeros((0, 3)))
    depth = (2 + columns / width).astype(np.float32)
    return LabeledFrame(image, depth, (columns > width // 2), K, np.eye(4), people)


@pytest.mark.parametrize("target", IMAGE_SIZES)
@pytest.mark.parametrize("enlargement", [0, 15])
def test_every_crop_has_its_size_and_its_principal_point_in_the_middle(target: tuple[int, int], enlargement: int):
    frame = crop_frame(_frame(), target, enlargement)

    assert frame.image.shape[:2] == frame.depth.shape == frame.person_mask.shape == target
    middle = (frame.K[:2, 2] + 0.5) - np.array(target[::-1]) / 2
    assert np.abs(middle).max() <= 1.0


@pytest.mark.parametrize("target", [(288, 512), (512, 256)])
def test_intrinsics_follow_the_pixels(target: tuple[int, int]):
    source = _frame()
    frame = crop_frame(source, target, 5)

    # A pixel looks along the same ray before and after: its depth, which is linear in x, tells where it came from.
    columns = np.array([10, target[1] - 10])
    slope = (columns - frame.K[0, 2]) / frame.K[0, 0]
    came_from = slope * source.K[0, 0] + source.K[0, 2]
    assert np.allclose(frame.depth[target[0] // 2, columns], 2 + came_from / 1280, atol=2.5 / 1280)


def test_a_principal_point_at_the_border_is_refused_and_one_off_center_is_centered():
    with pytest.raises(FormatError, match="principal point"):
        crop_frame(_frame(cx=200.0), (288, 512))

    frame = crop_frame(_frame(cx=500.0), (288, 512))
    assert abs(frame.K[0, 2] + 0.5 - 256) <= 1


def test_invalid_depth_becomes_zero():
    assert clean_depth(np.array([1.0, np.inf, np.nan, 250.0, 200.0])).tolist() == [1.0, 0.0, 0.0, 0.0, 200.0]


def test_hue_turns_red_to_green_and_a_whole_turn_changes_nothing():
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)

    assert torch.allclose(shift_hue(red, 1 / 3).flatten(), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)
    assert torch.allclose(shift_hue(images, 1.0), images, atol=1e-5)


def test_a_clip_has_one_color_jitter():
    image = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(2))

    jittered = jitter_colors(image.repeat(4, 1, 1, 1), np.random.default_rng(3))

    assert torch.equal(jittered[0], jittered[3])
    assert not torch.allclose(jittered[0], image[0])
    assert jittered.min() >= 0
    assert jittered.max() <= 1


@pytest.mark.parametrize("size", IMAGE_SIZES)
@pytest.mark.parametrize("side", [672, 896])
def test_a_pixel_goes_to_the_square_and_back(size: tuple[int, int], side: int):
    height, width = size
    points = torch.tensor([[0.0, 0.0], [width - 1.0, height - 1.0], [width / 3, height / 2]])

    assert torch.allclose(
        letterbox_points_to_image(image_points_to_square(points, side, size), side, size), points, atol=1
    )


_K = torch.tensor([[500.0, 0, 256], [0, 500, 144], [0, 0, 1]]).view(1, 1, 3, 3)


def _assign(heads: list[list[float]], truncated: str = "drop"):
    points = torch.tensor(heads).view(1, 1, -1, 3)
    return assign_heads(points, torch.ones(points.shape[:3], dtype=torch.bool), _K, (288, 512), 896, 14, truncated)


def test_two_heads_in_one_patch_leave_the_nearer_one():
    assignment = _assign([[0.0, 0.0, 2.0], [0.0, 0.001, 3.0], [0.5, 0.0, 4.0]])

    assert assignment.is_owner.flatten().tolist() == [True, False, True]
    assert assignment.score_target.sum() == 2
    row, column = assignment.cells[0, 0, 0].tolist()
    assert (row, column) == (32, 32)  # the middle of 64 x 64
    assert assignment.score_target[0, 0, row, column] == 1


def test_heads_outside_are_dropped_or_stay_in_the_black_border_or_move_to_the_edge():
    beside, above, behind = [3.0, 0.0, 2.0], [0.0, -0.8, 2.0], [0.0, 0.0, -2.0]

    dropped = _assign([beside, above, behind])
    assert dropped.is_owner.flatten().tolist() == [False, True, False]
    assert dropped.cells[0, 0, 1].tolist()[0] < 14  # 196 of 896 rows are black above the image
    clamped = _assign([beside, above, behind], "clamp")
    assert clamped.is_owner.flatten().tolist() == [True, True, False]
    assert clamped.cells[0, 0, :2].tolist() == [[32, 63], [14, 32]]


def test_moving_the_head_moves_every_vertex_and_turning_the_root_leaves_it(body):
    rotations = torch.eye(3).repeat(1, 53, 1, 1)
    zeros, head = torch.zeros(1, 10), torch.tensor([[0.2, -0.3, 3.0]])
    turned = rotations.clone()
    turned[:, 0] = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    shift = torch.tensor([[0.5, 0.1, -1.0]])

    start = pose_predicted(body, rotations, zeros, zeros, head)
    moved = pose_predicted(body, rotations, zeros, zeros, head + shift)
    spun = pose_predicted(body, turned, zeros, zeros, head)

    assert torch.allclose(moved.vertices, start.vertices + shift, atol=1e-6)
    assert torch.allclose(spun.joints[:, 15], head, atol=1e-6)
    assert torch.allclose(start.joints[:, 15], head, atol=1e-6)
    assert start.joints.shape == (1, 127, 3)


def test_rays_start_at_the_camera_and_point_at_what_it_sees():
    T_world_camera = torch.eye(4).view(1, 1, 4, 4).clone()
    T_world_camera[..., :3, 3] = torch.tensor([1.0, 2.0, 3.0])

    rays = ray_maps(_K, T_world_camera, (288, 512))

    assert rays[0, 0, :3, 5, 7].tolist() == [1.0, 2.0, 3.0]
    assert torch.allclose(rays[0, 0, 3:, 144, 256], torch.tensor([0.0, 0.0, 1.0]))
    assert torch.allclose(rays[0, 0, 3:].norm(dim=0), torch.ones(288, 512))


def test_true_bodies_have_an_eleventh_shape_direction_where_the_file_has_one(tmp_path, body):
    with np.load(EMBEDDED_BODY_PATH, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    directions = np.zeros((*arrays["shapedirs"].shape[:2], 400), np.float16)
    directions[..., :10] = arrays["shapedirs"][..., :10]
    directions[:, 0, 10] = 0.25
    np.savez(tmp_path / "wide.npz", **arrays | {"shapedirs": directions})
    wide = load_true_body(str(tmp_path / "wide.npz"), 11)
    slots = slots_of(LabeledPeople(np.zeros((1, 55, 3)), np.eye(1, 11, 10), np.array([[0.0, 0, 3]])), 1)
    slots = slots.map(lambda values: values[None, None])

    vertices = pose_truth(wide, slots, slots.is_present).vertices

    assert wide.shape_directions.shape[-1] == 11
    assert load_true_body(str(tmp_path / "wide.npz"), 10).shape_directions.shape[-1] == 10
    assert load_true_body("", 11).shape_directions.shape[-1] == 10
    plain = pose_truth(body, slots, slots.is_present).vertices
    shift = (vertices - plain)[0]
    assert torch.allclose(shift, torch.tensor([0.25, 0.0, 0.0]).expand_as(shift), atol=2e-3)
