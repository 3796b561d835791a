"""The license-free replacement for SMPL-X that the recorded bodies were posed with: seeded noise in SMPL-X's shapes."""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np

from human3r.bodies.base import NUM_VERTICES, BodyArrays
from human3r.bodies.smplx import SmplxBody
from human3r.skeleton import NUM_JOINTS, PARENTS

_NUM_FACES = 20908
_FIRST_EXPRESSION = 300


def _noise(name: str, *shape: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"smplx/{name}".encode())))
    return generator.standard_normal(shape)


@cache
def synthetic_body() -> tuple[SmplxBody, BodyArrays]:
    """Return the body, and the arrays it was made from; made once, a second or two."""
    parents = np.array(PARENTS)
    step = 0.12 * _noise("u", NUM_JOINTS, 3)
    anchors = np.zeros((NUM_JOINTS, 3))
    for joint in range(1, NUM_JOINTS):
        anchors[joint] = anchors[parents[joint]] + step[joint]
    segment = NUM_JOINTS * np.arange(NUM_VERTICES) // NUM_VERTICES
    template = anchors[segment] + 0.05 * _noise("v_template", NUM_VERTICES, 3)
    directions = 0.01 * _noise("shapedirs", NUM_VERTICES, 3, 400)
    regressor = np.zeros((NUM_JOINTS, NUM_VERTICES))
    for joint in range(NUM_JOINTS):
        regressor[joint, 190 * joint + 20 * np.arange(8)] = 1 / 8
    weights = np.zeros((NUM_VERTICES, NUM_JOINTS))
    weights[np.arange(NUM_VERTICES), segment] = 0.7
    weights[np.arange(NUM_VERTICES), np.maximum(parents[segment], 0)] += 0.3
    triangle = np.arange(_NUM_FACES)
    landmark_weights = np.abs(_noise("lmk_bary_coords", 51, 3))
    arrays = BodyArrays(
        name="synthetic",
        template=template.astype(np.float32),
        shape_directions=directions[..., :10].astype(np.float32),
        expression_directions=directions[..., _FIRST_EXPRESSION : _FIRST_EXPRESSION + 10].astype(np.float32),
        pose_directions=(0.002 * _noise("posedirs", NUM_VERTICES, 3, 486)).astype(np.float32),
        joint_regressor=regressor.astype(np.float32),
        skinning_weights=weights.astype(np.float32),
        faces=np.stack((triangle, 7 * triangle + 1, 13 * triangle + 2), axis=-1) % NUM_VERTICES,
        parents=parents,
        landmark_faces=401 * np.arange(51) % _NUM_FACES,
        landmark_weights=(landmark_weights / landmark_weights.sum(-1, keepdims=True)).astype(np.float32),
    )
    return SmplxBody(arrays), arrays
