"""Bodies of few triangles."""

from __future__ import annotations

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.exporting.motion import build_skin, coarse_skin


def test_a_coarse_body_is_near_the_whole_one(small_body: SmplxBody) -> None:
    vertices = small_body.rest_vertices(torch.zeros(1, 10), torch.zeros(1, 10))[0].numpy()
    skin = build_skin(small_body)
    cell_m = 0.5
    kept, coarse = coarse_skin(skin, vertices, cell_m)
    distances = np.linalg.norm(vertices[:, None] - vertices[kept][None], axis=-1).min(axis=1)
    assert 0 < len(kept) < len(vertices)
    assert distances.max() <= cell_m * 3**0.5
    assert coarse.faces.max() < len(kept)
    assert all(len({*face}) == 3 for face in coarse.faces.tolist())
    np.testing.assert_array_equal(coarse.joint_index, skin.joint_index[kept])
