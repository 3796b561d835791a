"""Decimate a mesh to an exact vertex count by half-edge collapse.

Half-edge collapse keeps a subset of the vertices, so weights, shape directions and texture coordinates are simply
indexed. The order of collapses is fixed by the geometry: the result is deterministic.
"""

from __future__ import annotations

import heapq

import numpy as np

_INTERIOR_COST = 1e-3
"""Factor on the cost of interior vertices (mouth cavity, behind the eyes), which are removed first."""
_MIN_FACE_COSINE = 0.2
"""A collapse that rotates a face normal further is rejected: it would fold the surface."""


class _Mesh:
    """Faces and their vertex adjacency under collapses."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices = vertices
        self.faces: dict[int, tuple[int, ...]] = {row: tuple(face) for row, face in enumerate(faces.tolist())}
        self.around: list[set[int]] = [set() for _ in vertices]
        for row, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(row)

    def neighbors(self, vertex: int) -> set[int]:
        return {other for row in self.around[vertex] for other in self.faces[row]} - {vertex}

    def normal(self, face: tuple[int, ...]) -> np.ndarray:
        a, b, c = self.vertices[list(face)]
        return np.cross(b - a, c - a)

    def can_collapse(self, gone: int, kept: int) -> bool:
        """Whether the surface stays a manifold without folds."""
        shared = self.around[gone] & self.around[kept]
        if len(shared) != 2 or len(self.neighbors(gone) & self.neighbors(kept)) != 2:
            return False
        for row in self.around[gone] - shared:
            before = self.normal(self.faces[row])
            after = self.normal(tuple(kept if vertex == gone else vertex for vertex in self.faces[row]))
            length = np.sqrt((before @ before) * (after @ after))
            if length <= 1e-16 or before @ after < _MIN_FACE_COSINE * length:
                return False
        return True

    def collapse(self, gone: int, kept: int) -> None:
        for row in list(self.around[gone]):
            face = self.faces[row]
            if kept in face:
                for vertex in face:
                    self.around[vertex].discard(row)
                del self.faces[row]
            else:
                self.faces[row] = tuple(kept if vertex == gone else vertex for vertex in face)
                self.around[kept].add(row)
        self.around[gone] = set()


def decimate(
    vertices: np.ndarray, faces: np.ndarray, num_vertices: int, is_fixed: np.ndarray, is_interior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Collapse edges, cheapest quadric error first, until ``num_vertices`` remain.

    Args:
        vertices: ``N 3``.
        faces: ``F 3``.
        num_vertices: Wanted count.
        is_fixed: ``N`` bool, vertices that must stay (texture seams, landmarks).
        is_interior: ``N`` bool, vertices that are not visible from outside.

    Returns:
        Kept vertex rows ``num_vertices`` (ascending) and, per face, the surviving rows of ``faces`` with the new corner
        indices in the old numbering: ``F' 4`` (face row, three vertices).
    """
    mesh = _Mesh(vertices, faces)
    quadrics = _quadrics(vertices, faces)
    version = np.zeros(len(vertices), dtype=np.int64)
    heap: list[tuple[float, int, int, int]] = []

    def push(gone: int) -> None:
        if is_fixed[gone] or not mesh.around[gone]:
            return
        for kept in sorted(mesh.neighbors(gone)):
            point = np.append(vertices[kept], 1.0)
            cost = float(point @ (quadrics[gone] + quadrics[kept]) @ point)
            cost += 1e-6 * float(((vertices[gone] - vertices[kept]) ** 2).sum())
            if is_interior[gone]:
                cost *= _INTERIOR_COST
            heapq.heappush(heap, (cost, gone, kept, int(version[gone])))

    for vertex in range(len(vertices)):
        push(vertex)
    remaining = len(vertices)
    while remaining > num_vertices:
        if not heap:
            raise ValueError(f"no more edges can collapse at {remaining} vertices, wanted {num_vertices}")
        _, gone, kept, stamp = heapq.heappop(heap)
        if stamp != version[gone] or not mesh.around[gone] or not mesh.can_collapse(gone, kept):
            continue
        affected = mesh.neighbors(gone)
        mesh.collapse(gone, kept)
        quadrics[kept] += quadrics[gone]
        remaining -= 1
        for vertex in sorted(affected):
            version[vertex] += 1
            push(vertex)
    alive = np.array([bool(around) for around in mesh.around])
    survivors = [(row, *face) for row, face in mesh.faces.items()]
    return np.flatnonzero(alive), np.array(survivors)


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Sum of the area-weighted plane quadrics around each vertex: ``N 4 4``."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(area, 1e-20)
    planes = np.concatenate([normals, -(normals * corners[:, 0]).sum(axis=1, keepdims=True)], axis=1)
    quadric = area[:, :, None] * planes[:, :, None] * planes[:, None, :]
    total = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(total, faces[:, corner], quadric)
    return total
