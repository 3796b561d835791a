"""Give observations another shape or distance without moving them in the picture, as far as that is possible.

Works on the person table of a run (``ResultStore.people``). A body that grows moves away from the camera by the same
factor, so that it looks as before; hands, face and pose stay.
"""

from __future__ import annotations

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.records import BodyParameters
from human3r.skeleton import TRUNK_JOINTS, body_size, bone_vectors

_BETA_RANGE = (-8.0, 5.0)
_PARAMETERS = tuple(BodyParameters.__dataclass_fields__)

PersonTable = dict[str, np.ndarray]


def body_sizes(body: SmplxBody, betas: np.ndarray) -> np.ndarray:
    """Return lengths from head to ankle along the bones of shapes ``N 10``: ``N`` metres."""
    values = torch.as_tensor(np.asarray(betas), dtype=torch.float32)
    return body_size(bone_vectors(body.rest_joints(values, torch.zeros_like(values)).double())).numpy()


def scaled_betas(body: SmplxBody, betas: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Change beta 0, which is stature, of shapes ``N 10`` so that their sizes change by ``factor`` (``N``)."""
    goal = body_sizes(body, betas) * factor
    scaled = np.array(betas, dtype=np.float64)
    step = np.zeros(10)
    step[0] = 0.5
    # Bone lengths are nearly linear in a beta: three Newton steps are exact to the millimetre.
    for _ in range(3):
        size = body_sizes(body, scaled)
        slope = (body_sizes(body, scaled + step) - size) / step[0]
        # A body whose first beta is not stature is left as it is.
        change = np.where(np.abs(slope) > 1e-3, (goal - size) / np.where(np.abs(slope) > 1e-3, slope, 1.0), 0.0)
        scaled[:, 0] = np.clip(scaled[:, 0] + change, *_BETA_RANGE)
    return scaled.astype(np.float32)


def with_shapes(
    people: PersonTable,
    body: SmplxBody,
    camera_position: np.ndarray,
    betas: np.ndarray,
    log_distance: np.ndarray | None = None,
) -> PersonTable:
    """Return the table with other shapes; every body goes nearer or away as its size asks.

    Args:
        people: N rows with SMPL-X parameters in world and ``joints_world``.
        body: Their body.
        camera_position: ``N 3`` of each row's camera, world, metres.
        betas: ``N 10`` new shapes.
        log_distance: ``N`` further change of the logarithm of the distance; None for none.
    """
    if len(people["betas"]) == 0:
        return people
    factor = body_sizes(body, betas) / body_sizes(body, people["betas"])
    if log_distance is not None:
        factor = factor * np.exp(log_distance)
    values = {name: people[name] for name in _PARAMETERS} | {"betas": betas}
    parameters = BodyParameters(**{name: torch.as_tensor(values[name], dtype=torch.float32) for name in _PARAMETERS})
    with torch.inference_mode():
        joints = body.joints(parameters).numpy()
    anchor = people["joints_world"][:, TRUNK_JOINTS].mean(1)
    wanted = camera_position + (anchor - camera_position) * factor[:, None]
    shift = wanted - joints[:, TRUNK_JOINTS].mean(1)
    changed = {
        "betas": betas.astype(np.float32),
        "transl": (people["transl"] + shift).astype(np.float32),
        "joints_world": (joints + shift[:, None]).astype(np.float32),
    }
    return people | changed
