"""Squares around hands, crops, and the readout of fingers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.hands.finger_readout import FingerReadout, limit_fingers
from human3r.models.compact.people.hands.hand_detector import cut_rotated, forearm_squares, point_squares

_UP = torch.tensor([[100.0, 200.0]])


def test_the_first_square_lies_beyond_the_wrist_with_the_fingers_up() -> None:
    elbow = torch.tensor([[100.0, 300.0], [0.0, 200.0]])
    square = forearm_squares(elbow, _UP.expand(2, 2), torch.tensor([75.0, 75.0]))

    # .3 lengths of a hand of .75 forearms beyond the wrist; the second forearm points to the right.
    expected = [[100.0, 177.5, 112.5, 0.0], [122.5, 200.0, 112.5, math.pi / 2]]
    torch.testing.assert_close(square, torch.tensor(expected), atol=1e-4, rtol=0)


def test_the_second_square_turns_with_the_points() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1, 21, 2, generator=generator) * 50
    points[0, 0], points[0, [6, 10, 14]] = torch.tensor([25.0, 60.0]), torch.tensor([25.0, 10.0])
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])

    upright, turned = point_squares(points), point_squares(points @ quarter)

    torch.testing.assert_close(turned[:, :2], upright[:, :2] @ quarter, atol=1e-3, rtol=0)
    torch.testing.assert_close(turned[:, 2:], upright[:, 2:] + torch.tensor([0.0, math.pi / 2]), atol=1e-4, rtol=0)


def test_a_crop_is_the_picture_turned_upright_and_black_outside() -> None:
    image = torch.zeros(100, 200, 3, dtype=torch.uint8)
    image[40:60, 100:140] = 255  # a bar to the right of the center

    crop = cut_rotated(image, torch.tensor([100.0, 50.0, 80.0, math.pi / 2]))
    outside = cut_rotated(image, torch.tensor([500.0, 50.0, 80.0, 0.3]))

    assert crop[:, 8:100, 90:134].min() > 0.9
    assert crop[:, 120:].max() < 0.1
    assert outside.max() == 0


def test_a_large_hand_is_shrunk_without_gaps() -> None:
    image = torch.from_numpy(np.indices((1200, 1200)).sum(0) % 2 * 255).to(torch.uint8)[..., None].expand(-1, -1, 3)
    crop = cut_rotated(image, torch.tensor([600.0, 600.0, 1000.0, 0.2]))
    torch.testing.assert_close(crop, torch.full_like(crop, 0.5), atol=0.1, rtol=0)


@pytest.fixture
def readout() -> FingerReadout:
    readout = FingerReadout()
    readout.palm.copy_(torch.tensor([[0, 0, 0], [-9, 0, 3], [-9, 0, 1], [-8, 0, -1], [-7, 0, -3]]).float())
    torch.manual_seed(0)
    torch.nn.init.normal_(readout.map.weight, std=0.05)
    return readout


def test_fingers_do_not_depend_on_where_the_hand_is(readout: FingerReadout) -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(4, 21, 3, generator=generator)
    rotation = rotation_from_axis_angle(torch.randn(4, 3, generator=generator))
    is_right = torch.tensor([True, True, False, False])

    moved = 3 * points @ rotation + torch.randn(4, 1, 3, generator=generator)

    torch.testing.assert_close(readout(moved, is_right), readout(points, is_right), atol=1e-4, rtol=0)


def test_a_mirrored_hand_has_mirrored_fingers(readout: FingerReadout) -> None:
    points = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(2))
    right = readout(points, torch.tensor([True]))
    left = readout(points * torch.tensor([1.0, 1.0, -1.0]), torch.tensor([False]))
    torch.testing.assert_close(left, right * torch.tensor([1.0, -1.0, -1.0]), atol=1e-4, rtol=0)


def test_the_hand_is_turned_as_its_palm(readout: FingerReadout) -> None:
    generator = torch.Generator().manual_seed(4)
    rotation = rotation_from_axis_angle(torch.randn(2, 3, generator=generator))
    is_right = torch.tensor([True, False])
    at_rest = torch.randn(2, 21, 3, generator=generator)
    at_rest[:, [0, 5, 9, 13, 17]] = torch.stack([readout.palm, readout.palm * torch.tensor([-1.0, 1.0, 1.0])])
    turned = readout.orientation(at_rest @ rotation.mT + 1.0, is_right)
    torch.testing.assert_close(turned, rotation, atol=1e-4, rtol=0)


def test_fingers_stay_within_the_ranges_of_their_joints() -> None:
    limited = limit_fingers(10 * torch.randn(50, 15, 3, generator=torch.Generator().manual_seed(3)))
    degrees = torch.rad2deg(limited).unflatten(1, (5, 3))
    bend, spread = degrees[:, :4, :, 2], degrees[:, :4, :, 1]
    assert bend.amin((0, 1)).tolist() == pytest.approx([-25, -5, -5], abs=1e-3)
    assert bend.amax((0, 1)).tolist() == pytest.approx([95, 110, 80], abs=1e-3)
    assert spread.abs().amax((0, 1)).tolist() == pytest.approx([22, 0, 0], abs=1e-3)
    assert degrees[:, 4].norm(dim=-1).amax(0).tolist() == pytest.approx([45, 60, 85], abs=1e-3)
