"""Edges of a drawn room tell the lens; pictures without directions tell nothing."""

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
    """Render ``H W`` grey values of a box, every wall of which has a grid of lines along two of its axes."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float(), indexing="ij")
    rays = torch.stack([(x - CENTER_PX[0]) / focal_px, (y - CENTER_PX[1]) / focal_px, torch.ones_like(x)], dim=-1)
    # Columns of the turn are the room's axes in the camera.
    turn = roma.euler_to_rotmat("ZXY", torch.tensor([roll, pitch, yaw]), degrees=True)
    direction = rays @ turn
    walls = torch.tensor([[-2.5, 3.0], [-1.6, 1.4], [-3.0, 5.0]])
    distance = torch.where(direction > 0, walls[:, 1], walls[:, 0]) / direction
    nearest = distance.min(dim=-1)
    place = direction * nearest.values[..., None]
    tiles = (place / 0.7).floor().sum(-1) % 2
    return (tiles + nearest.indices / 2) - 1


def best_focal(grey: torch.Tensor, person_mask: torch.Tensor | None = None) -> float:
    mask = torch.zeros_like(grey) if person_mask is None else person_mask
    evidence = focal_evidence(find_edges(grey, mask, CENTER_PX), REFERENCE_PX)
    return float(log_focals(REFERENCE_PX)[evidence.argmax()].exp() * REFERENCE_PX)


@pytest.mark.parametrize("focal_px", [240.0, 330.0, 450.0])
@pytest.mark.parametrize("turn", [(3.0, 12.0, 35.0), (-6.0, -18.0, 55.0)])
def test_a_room_tells_the_focal_length(focal_px: float, turn: tuple[float, float, float]) -> None:
    step = float(log_focals(REFERENCE_PX)[1] - log_focals(REFERENCE_PX)[0])

    assert abs(math.log(best_focal(room(focal_px, *turn)) / focal_px)) < step


def test_people_are_not_looked_at() -> None:
    grey = room(330.0, 3.0, 12.0, 35.0)
    mask = torch.zeros(SIZE)
    mask[:, 100:200] = 1

    columns = find_edges(grey, mask, CENTER_PX).place_px[:, 0] + CENTER_PX[0]

    assert len(columns) > 100
    assert not bool(((columns >= 97) & (columns <= 202)).any())


@pytest.mark.parametrize("grey", [torch.zeros(SIZE), torch.full(SIZE, 0.5), torch.linspace(-1, 1, 384).expand(SIZE)])
def test_a_picture_without_edges_says_nothing(grey: torch.Tensor) -> None:
    evidence = focal_evidence(find_edges(grey, torch.zeros(SIZE), CENTER_PX), REFERENCE_PX)

    assert not bool(evidence.any())


def test_edges_know_their_direction() -> None:
    grey = torch.zeros(SIZE)
    y, x = torch.meshgrid(torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float(), indexing="ij")
    grey[(x - 192) * math.cos(0.4) + (y - 112) * math.sin(0.4) > 0] = 1.0

    seen = find_edges(grey, torch.zeros(SIZE), CENTER_PX).normal

    along = torch.tensor([math.cos(0.4), math.sin(0.4)])
    assert float((seen @ along).abs().median()) > math.cos(0.03)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (9, 9), (16, 16), (224, 16)])
def test_pictures_without_room_for_edges_do_no_harm(size: tuple[int, int]) -> None:
    grey = room(330.0, 3.0, 12.0, 35.0)[: size[0], : size[1]]
    edges = find_edges(grey, torch.zeros(size), torch.tensor([size[1] // 2, size[0] // 2]))

    assert len(edges) < 200
    assert bool(torch.isfinite(focal_evidence(edges, REFERENCE_PX)).all())


def test_a_picture_full_of_people_says_nothing() -> None:
    grey = room(330.0, 3.0, 12.0, 35.0)

    assert bool(focal_evidence(find_edges(grey, torch.zeros(SIZE), CENTER_PX), REFERENCE_PX).any())
    assert not bool(focal_evidence(find_edges(grey, torch.ones(SIZE), CENTER_PX), REFERENCE_PX).any())
