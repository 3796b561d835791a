"""The clip's colors on people: each vertex has the mean color of the looks in which it is seen.

A vertex is seen where it faces the camera, no body is in front of it and the person mask says person. What no look sees
takes the color of the other side of the body, and what neither shows that of its surroundings on the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.geometry.mesh import vertex_normals
from human3r.geometry.rigid import inverse_transform_points
from human3r.rendering.overlay import scale_intrinsics
from human3r.rendering.overlay_video import shrink
from human3r.rendering.rasterizer import rasterize

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from human3r.bodies import SmplxBody
    from human3r.records import FramePrediction

PeopleColors = Mapping[int, np.ndarray]
"""Per identity ``V 3`` uint8, sRGB."""

MAX_PEOPLE = 64
"""Later identities keep their own color."""
_MAX_PICTURE_PX = 960
"""Longer side on which looks are taken; larger frames are scaled down."""
_FIRST_INTERVAL_S, _MAX_LOOKS = 0.2, 16
"""Between looks at one person; after so many, twice as long, and so on."""
_MIN_PERSON = 0.6
"""Probability of a person from which on a pixel's color counts."""
_MIN_FACING = 0.2
"""Cosine between a vertex's normal and the direction to the camera."""
_SAME_DEPTH_M = 0.03
_MIN_SEEN = 0.1
"""Share of the vertices of a person that must be seen, else the identity's color stays."""
_FILL_STEPS, _SMOOTHING_STEPS = 60, 2


@dataclass
class _Sum:
    """Colors of one person so far."""

    color: np.ndarray
    """``V 3`` weighted sum."""
    weight: np.ndarray
    """``V``"""
    interval_s: float = _FIRST_INTERVAL_S
    last_s: float = -np.inf
    num_looks: int = 0


@dataclass
class PeopleColorCollector:
    """Takes the frames of a run; ``finish`` returns everyone's colors. Its memory is that of ``MAX_PEOPLE`` bodies."""

    body: SmplxBody
    _sums: dict[int, _Sum] = field(default_factory=dict)
    _waiting: FramePrediction | None = None
    """The last frame, until it is known whether its source comes."""

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        self._take(None)
        if any(self._is_due(track, prediction.time_s) for track in prediction.people.track_id.tolist()):
            self._waiting = prediction

    def add_source(self, image: np.ndarray) -> None:
        """Take the upright source frame ``H W 3`` uint8 of the frame that was added last."""
        self._take(image)

    def finish(self) -> PeopleColors:
        """Return the colors of those who were seen well enough."""
        self._take(None)
        if not self._sums:
            return {}
        mesh = _Mesh.of(self.body)
        found = {track: mesh.completed(each.color, each.weight) for track, each in self._sums.items()}
        return {track: colors for track, colors in found.items() if colors is not None}

    def _is_due(self, track: int, time_s: float) -> bool:
        known = self._sums.get(track)
        if known is None:
            return len(self._sums) < MAX_PEOPLE
        return not 0 <= time_s - known.last_s < known.interval_s

    def _take(self, source: np.ndarray | None) -> None:
        prediction, self._waiting = self._waiting, None
        if prediction is None:
            return
        x0, y0, x1, y1 = prediction.source_rect_px
        image = prediction.image.numpy() if source is None else shrink(source, _MAX_PICTURE_PX)
        rect = (
            prediction.source_rect_px if source is None else (0.0, 0.0, *map(float, prediction.camera.image_size[::-1]))
        )
        K = _intrinsics_on(prediction.camera.K.numpy(), rect, image.shape[:2])
        with torch.inference_mode():
            vertices = self.body(prediction.parameters_world).vertices.cpu().numpy()
        T = prediction.camera.T_world_camera.numpy().astype(np.float64)
        vertices = inverse_transform_points(T, vertices.astype(np.float64))
        mask = prediction.person_mask.numpy()
        K_mask = _intrinsics_on(prediction.camera.K.numpy(), (x0, y0, x1, y1), mask.shape)
        faces = self.body.faces.cpu().numpy()
        nearest = _nearest_depth(vertices, faces, K, image.shape[:2])
        for track, body in zip(prediction.people.track_id.tolist(), vertices, strict=True):
            if not self._is_due(track, prediction.time_s):
                continue
            weight = _facing(body, faces)
            weight *= _sample(mask, body, K_mask) > _MIN_PERSON
            weight *= body[:, 2] < _sample(nearest, body, K, order=0) + _SAME_DEPTH_M
            color = np.stack([_sample(image[..., channel], body, K) for channel in range(3)], axis=1)
            self._add(track, color, weight * np.median(K[0, 0] / body[:, 2]), prediction.time_s)

    def _add(self, track: int, color: np.ndarray, weight: np.ndarray, time_s: float) -> None:
        known = self._sums.setdefault(track, _Sum(np.zeros(color.shape), np.zeros(len(color))))
        known.color += color * weight[:, None]
        known.weight += weight
        known.last_s = time_s
        known.num_looks += 1
        if known.num_looks % _MAX_LOOKS == 0:
            known.interval_s *= 2


@dataclass(frozen=True)
class _Mesh:
    """What a body's vertices have to do with each other."""

    mirrored: np.ndarray
    """``V`` the vertex on the other side of the body."""
    neighbors: csr_matrix
    """``V V`` 1 where an edge joins two vertices, and on the diagonal."""

    @classmethod
    def of(cls, body: SmplxBody) -> _Mesh:
        from scipy.sparse import coo_matrix, diags
        from scipy.spatial import KDTree

        template, faces = body.template.cpu().numpy(), body.faces.cpu().numpy()
        mirrored = np.asarray(KDTree(template).query(template * (-1, 1, 1))[1])
        pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        edges = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(template),) * 2)
        return cls(mirrored, ((edges + edges.T).sign() + diags(np.ones(len(template)))).tocsr())

    def completed(self, color: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
        """Return ``V 3`` uint8 from weighted sums; None where too little is seen."""
        is_seen = weight > 1e-6
        if is_seen.mean() < _MIN_SEEN:
            return None
        is_mirrored = ~is_seen & is_seen[self.mirrored]
        color = np.where(is_mirrored[:, None], color[self.mirrored], color)
        weight = np.where(is_mirrored, weight[self.mirrored], weight)
        is_known = weight > 1e-6
        color = color / np.maximum(weight, 1e-6)[:, None] * is_known[:, None]
        for _ in range(_FILL_STEPS):
            if is_known.all():
                break
            count = self.neighbors @ is_known.astype(np.float64)
            spread = (self.neighbors @ color) / np.maximum(count, 1)[:, None]
            is_new = ~is_known & (count > 0)
            color, is_known = np.where(is_new[:, None], spread, color), is_known | is_new
        # Parts of the mesh that nothing joins to the rest, such as eyes.
        color[~is_known] = np.median(color[is_known], axis=0)
        degree = np.asarray(self.neighbors.sum(axis=1)).reshape(-1, 1)
        for _ in range(_SMOOTHING_STEPS):
            color = (self.neighbors @ color) / degree
        return np.round(color).clip(0, 255).astype(np.uint8)


def _intrinsics_on(K: np.ndarray, rect_px: tuple[float, ...], shape: tuple[int, int]) -> np.ndarray:
    """Return ``K`` in pixels of a grid that covers a part (x0, y0, x1, y1, edges) of the source frame."""
    x0, y0, x1, y1 = rect_px
    shifted = K.astype(np.float64)
    shifted[:2, 2] -= (x0, y0)
    return scale_intrinsics(shifted, (y1 - y0, x1 - x0), shape)


def _nearest_depth(vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ``h w`` depth of the nearest of ``P V 3`` bodies; infinite where there is none."""
    count = vertices.shape[1]
    everyone = np.concatenate([faces + number * count for number in range(len(vertices))])
    seen = rasterize(vertices.reshape(-1, 3), everyone, K, shape)
    depth = np.full(shape[0] * shape[1], np.inf)
    depth[seen.pixel] = seen.depth
    return depth.reshape(shape)


def _facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return ``V`` weights: how much a vertex faces the camera; 0 where it hardly does."""
    to_camera = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True).clip(1e-6)
    cosine = np.einsum("vc,vc->v", vertex_normals(vertices, faces).astype(np.float64), to_camera)
    return np.where((cosine > _MIN_FACING) & (vertices[:, 2] > 0), cosine, 0) ** 2


def _sample(image: np.ndarray, vertices: np.ndarray, K: np.ndarray, order: int = 1) -> np.ndarray:
    """Return ``V`` values of ``h w`` where vertices are seen; 0 outside of the image."""
    from scipy.ndimage import map_coordinates

    pixels = (vertices / np.maximum(vertices[:, 2:], 1e-6)) @ K.T
    return map_coordinates(image.astype(np.float32), pixels[:, 1::-1].T, order=order, mode="constant")
