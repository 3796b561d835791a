"""Edges of a rendered room determine the focal length; images without directions do not."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from human3r.models.compact.scene.straight_edges import find_edges, focal_evidence, log_focals

SIZE = (224, 384)
CENTER_PX = torch.tensor([192.0, 112.0])
REFERENCE_PX = torch.tensor(332.6)


def room(focal_px: float, roll: float, pitch: float, yaw: float) -> torch.Tensor:
    """Render ``H W`` gray values of a box, every wall of which has a grid of lines along two of its axes."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float(), indexing="ij")
    rays = torch.stack([(x - CENTER_PX[0]) / focal_px, (y - CENTER_PX[1]) / focal_px, torch.ones_like(x)], dim=-1)
    # Columns of the rotation are the room's axes in the camera.
    turn = roma.euler_to_rotmat("ZXY", torch.tensor([roll, pitch, yaw]), degrees=True)
    direction = rays @ turn
    walls = torch.tensor([[-2.5, 3.0], [-1.6, 1.4], [-3.0, 5.0]])
    distance = torch.where(direction > 0, walls[:, 1], walls[:, 0]) / direction
    nearest = distance.min(dim=-1)
    place = direction * nearest.values[..., None]
    tiles = (place / 0.7).floor().sum(-1) % 2
    return (tiles + nearest.indices / 2) - 1


def best_focal(gray: torch.Tensor, person_mask: torch.Tensor | None = None) -> float:
    mask = torch.zeros_like(gray) if person_mask is None else person_mask
    evidence = focal_evidence(find_edges(gray, mask, CENTER_PX), REFERENCE_PX)
    return float(log_focals(REFERENCE_PX)[evidence.argmax()].exp() * REFERENCE_PX)


@pytest.mark.parametrize("focal_px", [240.0, 330.0, 450.0])
@pytest.mark.parametrize("turn", [(3.0, 12.0, 35.0), (-6.0, -18.0, 55.0)])
def test_a_room_determines_the_focal_length(focal_px: float, turn: tuple[float, float, float]) -> None:
    step = float(log_focals(REFERENCE_PX)[1] - log_focals(REFERENCE_PX)[0])

    assert abs(math.log(best_focal(room(focal_px, *turn)) / focal_px)) < step


def test_edges_on_people_are_ignored() -> None:
    gray = room(330.0, 3.0, 12.0, 35.0)
    mask = torch.zeros(SIZE)
    mask[:, 100:200] = 1

    columns = find_edges(gray, mask, CENTER_PX).position_px[:, 0] + CENTER_PX[0]

    assert len(columns) > 100
    assert not bool(((columns >= 97) & (columns <= 202)).any())


@pytest.mark.parametrize("gray", [torch.zeros(SIZE), torch.full(SIZE, 0.5), torch.linspace(-1, 1, 384).expand(SIZE)])
def test_an_image_without_edges_gives_no_evidence(gray: torch.Tensor) -> None:
    evidence = focal_evidence(find_edges(gray, torch.zeros(SIZE), CENTER_PX), REFERENCE_PX)

    assert not bool(evidence.any())


def test_edges_have_the_right_direction() -> None:
    gray = torch.zeros(SIZE)
    y, x = torch.meshgrid(torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float(), indexing="ij")
    gray[(x - 192) * math.cos(0.4) + (y - 112) * math.sin(0.4) > 0] = 1.0

    seen = find_edges(gray, torch.zeros(SIZE), CENTER_PX).normal

    along = torch.tensor([math.cos(0.4), math.sin(0.4)])
    assert float((seen @ along).abs().median()) > math.cos(0.03)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (9, 9), (16, 16), (224, 16)])
def test_images_too_small_for_edges_are_handled(size: tuple[int, int]) -> None:
    gray = room(330.0, 3.0, 12.0, 35.0)[: size[0], : size[1]]
    edges = find_edges(gray, torch.zeros(size), torch.tensor([size[1] // 2, size[0] // 2]))

    assert len(edges) < 200
    assert bool(torch.isfinite(focal_evidence(edges, REFERENCE_PX)).all())


def test_an_image_full_of_people_gives_no_evidence() -> None:
    gray = room(330.0, 3.0, 12.0, 35.0)

    assert bool(focal_evidence(find_edges(gray, torch.zeros(SIZE), CENTER_PX), REFERENCE_PX).any())
    assert not bool(focal_evidence(find_edges(gray, torch.ones(SIZE), CENTER_PX), REFERENCE_PX).any())
