"""Walls with openings, doors, windows, frames, curtains and skirting boards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from human3r.training.synthetic.places.surfaces import Surface
from human3r.training.synthetic.rendering.mesh import Mesh, box, join_meshes, translation, turn_y


@dataclass(frozen=True)
class Opening:
    """A hole in a wall, meters along it and above the floor."""

    kind: str
    """``door``, ``window`` or ``passage``."""
    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Wall:
    """A straight wall on the floor; seen from inside, it runs from ``start`` to ``end`` left to right."""

    start: np.ndarray
    """``2`` (x, z)."""
    end: np.ndarray
    """``2`` (x, z)."""
    height: float
    openings: tuple[Opening, ...]

    @property
    def length(self) -> float:
        """Meters along the floor."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def along(self) -> np.ndarray:
        """``3`` unit vector from start to end."""
        x, z = (self.end - self.start) / self.length
        return np.array([x, 0.0, z])

    @property
    def inward(self) -> np.ndarray:
        """``3`` unit vector into the room."""
        x, _, z = self.along
        return np.array([-z, 0.0, x])

    def at(self, along: float, height: float = 0.0, inward: float = 0.0) -> np.ndarray:
        """Return the scene point at wall coordinates, meters."""
        return np.array([self.start[0], height, self.start[1]]) + along * self.along + inward * self.inward

    def frame(self) -> np.ndarray:
        """Return ``4 4`` from wall axes (x along, y up, z inward) to the scene."""
        T = np.eye(4)
        T[:3, 0], T[:3, 2] = self.along, self.inward
        T[:3, 3] = (self.start[0], 0, self.start[1])
        return T


def wall_mesh(wall: Wall, surface: Surface, lower: Surface | None, lower_height: float) -> Mesh:
    """Build the wall around its openings; below ``lower_height`` it has the surface ``lower`` if given."""
    edges_u = sorted({0.0, wall.length, *(edge for hole in wall.openings for edge in (hole.left, hole.right))})
    edges_v = {0.0, wall.height, *(edge for hole in wall.openings for edge in (hole.bottom, hole.top))}
    if lower is not None:
        edges_v.add(lower_height)
    edges_v = sorted(edges_v)
    parts = []
    for left, right in pairwise(edges_u):
        for bottom, top in pairwise(edges_v):
            middle_u, middle_v = (left + right) / 2, (bottom + top) / 2
            if any(hole.left < middle_u < hole.right and hole.bottom < middle_v < hole.top for hole in wall.openings):
                continue
            look = lower if lower is not None and middle_v < lower_height else surface
            part = look.quad(wall.at(left, bottom), wall.along * (right - left), np.array([0, top - bottom, 0]))
            shift = np.array([left, bottom], np.float32) / np.float32(look.repeat_m)
            parts.append(replace(part, uv=part.uv + shift))
    return join_meshes(parts)


def opening_mesh(wall: Wall, hole: Opening, trim: Surface, rng: np.random.Generator) -> Mesh:
    """Build the frame of an opening with its door leaf or its window bars and sill, in the scene frame."""
    wide, deep, thick = rng.uniform(0.05, 0.1), 0.02, 0.12
    bars = [
        trim.box([hole.left - wide, hole.bottom, -thick], [hole.left, hole.top + wide, deep]),
        trim.box([hole.right, hole.bottom, -thick], [hole.right + wide, hole.top + wide, deep]),
        trim.box([hole.left, hole.top, -thick], [hole.right, hole.top + wide, deep]),
    ]
    if hole.kind == "window":
        bars.append(trim.box([hole.left - wide, hole.bottom - 0.04, -thick], [hole.right + wide, hole.bottom, 0.12]))
        for share in np.linspace(0, 1, int(rng.integers(2, 5)))[1:-1]:
            middle = hole.left + share * (hole.right - hole.left)
            bars.append(trim.box([middle - 0.03, hole.bottom, -0.08], [middle + 0.03, hole.top, -0.03]))
        if rng.uniform() < 0.5:
            middle = hole.bottom + rng.uniform(0.5, 0.75) * (hole.top - hole.bottom)
            bars.append(trim.box([hole.left, middle - 0.02, -0.08], [hole.right, middle + 0.02, -0.03]))
    mesh = join_meshes(bars)
    if hole.kind == "door":
        leaf = trim.box([0, 0.01, -0.04], [hole.right - hole.left, hole.top, 0.0])
        for low, high in ((0.15, 0.9), (1.05, hole.top - 0.15)):
            panel = trim.box([0.12, low, -0.001], [hole.right - hole.left - 0.12, high, 0.012])
            leaf = join_meshes([leaf, panel])
        knob = box(
            [hole.right - hole.left - 0.12, 1.0, 0],
            [hole.right - hole.left - 0.02, 1.03, 0.05],
            replace(trim.material, color=(0.3, 0.3, 0.3), texture=-1),
        )
        angle = rng.uniform(0.3, 1.9) if rng.uniform() < 0.4 else 0.0
        T = translation(hole.left, 0, -0.03) @ turn_y(angle)
        mesh = join_meshes([mesh, join_meshes([leaf, knob]).moved(T)])
    return mesh.moved(wall.frame())


def curtain_mesh(wall: Wall, hole: Opening, cloth: Surface, rng: np.random.Generator) -> Mesh:
    """Build a pair of wavy curtains beside a window."""
    parts = []
    bottom = 0.05 if rng.uniform() < 0.6 else hole.bottom - 0.1
    top = min(hole.top + 0.15, wall.height - 0.02)
    width = rng.uniform(0.25, 0.55)
    for left in (hole.left - width * 0.7, hole.right - width * 0.3):
        steps = np.linspace(0, 1, 25)
        wave = 0.07 + 0.03 * np.sin(steps * rng.uniform(20, 45) + rng.uniform(0, 6))
        x = left + steps * width
        for here in range(24):
            a, b = np.array([x[here], bottom, wave[here]]), np.array([x[here + 1], bottom, wave[here + 1]])
            part = cloth.quad(a, b - a, np.array([0, top - bottom, 0]))
            parts.append(replace(part, uv=part.uv + np.float32(here * 0.05)))
    mesh = join_meshes(parts)
    one = replace(mesh, material=np.zeros(len(mesh.faces), np.int32), materials=(cloth.material,))
    return one.moved(wall.frame())


def skirting_mesh(wall: Wall, trim: Surface, height: float) -> Mesh | None:
    """Build the skirting board, with gaps at doors."""
    cuts = sorted((hole.left - 0.06, hole.right + 0.06) for hole in wall.openings if hole.bottom <= 0)
    pieces, start = [], 0.0
    for left, right in [*cuts, (wall.length, wall.length)]:
        if left - start > 0.05:
            pieces.append(trim.box([start, 0, 0], [left, height, 0.015]))
        start = right
    return join_meshes(pieces).moved(wall.frame()) if pieces else None
