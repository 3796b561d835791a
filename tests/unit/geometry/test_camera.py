"""Cameras: projection both ways, intrinsics of a crop, focal length of a pointmap."""

from __future__ import annotations

import pytest
import torch

from human3r.geometry.camera import (
    focal_from_pointmap,
    intrinsics,
    intrinsics_in_source,
    pixels_in_source,
    project,
    unproject,
)

RECT = (10.0, 20.0, 1290.0, 740.0)
SIZE = (288, 512)


def test_projection_undoes_unprojection() -> None:
    K = intrinsics(50.0, (6, 8))
    pixels = project(unproject(torch.full((6, 8), 2.5), K).flatten(0, 1), K).view(6, 8, 2)
    assert pixels[4, 7].tolist() == pytest.approx([7, 4], abs=1e-5)


def test_projecting_in_the_source_equals_moving_the_pixels_of_the_crop() -> None:
    K = intrinsics(400.0, SIZE)
    points = torch.tensor([[0.5, -0.2, 3.0], [-1.0, 0.4, 2.0]])
    in_source = project(points, intrinsics_in_source(K, SIZE, RECT))
    assert torch.allclose(in_source, pixels_in_source(project(points, K), SIZE, RECT), atol=1e-3)


def test_the_corner_of_a_crop_is_the_corner_of_its_rectangle() -> None:
    corner = pixels_in_source(torch.tensor([[-0.5, -0.5], [511.5, 287.5]]), SIZE, RECT)
    assert corner.flatten().tolist() == pytest.approx([9.5, 19.5, 1289.5, 739.5])


def test_the_focal_length_has_the_published_value() -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    depth = 2 + 0.1 * x + 0.05 * y**2
    across = (x - 4) / 10 * depth + 0.01 * torch.sin(x * y)
    down = (y - 3) / 10 * depth + 0.01 * torch.cos(3 * x + y)
    pointmap = torch.stack((across, down, depth), dim=-1)
    assert focal_from_pointmap(pointmap).item() == pytest.approx(9.99378, abs=1e-4)


def test_points_at_the_camera_do_not_spoil_the_focal_length() -> None:
    pointmap = unproject(torch.full((12, 16), 3.0), intrinsics(20.0, (12, 16)))
    pointmap[3, 4] = 0
    assert focal_from_pointmap(pointmap).item() == pytest.approx(20, rel=1e-4)
