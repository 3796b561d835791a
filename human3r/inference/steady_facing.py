"""Who faces the camera, causally, with hysteresis; over a whole track: ``refinement/facing.py``, whose costs these are.

A detector that imagines a face on the back of a head, or exchanges the sides, reverses somebody for single frames. Who
seems to turn around faster than people can is mirrored back, until the picture has contradicted that for long enough.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS
from human3r.records import People
from human3r.refinement.facing import FACE, FacingOptions, cost_of_turn, costs_by_face, heading_of, mirrored
from human3r.skeleton import NUM_BODY_JOINTS, forward_kinematics, to_local_rotations

_OPTIONS = FacingOptions()
_NUM_FINGER_JOINTS = 15


def steadily_facing(
    people: People, keypoints: Tensor, known: Tensor, before: Tensor, doubt: Tensor, age_s: Tensor
) -> tuple[People, Tensor, Tensor]:
    """Mirror people, and exchange their keypoints' sides, who turned around too fast to be believed.

    This is the forward pass over two states, as seen and reversed: ``doubt`` is how much more the state costs that was
    not chosen. Who is seen from the side is left as seen.

    Args:
        people: P people of one frame.
        keypoints: ``P 17 3`` with scores.
        known: ``P`` bool, who was there before; others are left as seen.
        before: ``P 22 3 3`` bones of the same people in the frame before, camera frame.
        doubt: ``P`` from that frame.
        age_s: ``P`` seconds since that frame.

    Returns:
        The people, their keypoints, and the new doubt.
    """
    body = people.joint_rotations[:, :NUM_BODY_JOINTS]
    orientation = forward_kinematics(body, torch.zeros_like(body[..., 0]))[0].double().numpy()
    ray = torch.nn.functional.normalize(people.head_camera, dim=1).double().numpy()
    turned, heading = mirrored(orientation, ray), heading_of(orientation)
    last, step_s, other_costs = heading_of(before.double().numpy()), age_s.double().numpy(), doubt.double().numpy()
    away = (heading * ray).sum(axis=1)
    stays = cost_of_turn((last * heading).sum(axis=1), step_s, _OPTIONS)
    turns = cost_of_turn((last * heading_of(turned)).sum(axis=1), step_s, _OPTIONS)
    as_seen = stays.clip(max=other_costs + turns)
    as_mirrored = turns.clip(max=other_costs + stays)
    as_mirrored += costs_by_face(away, keypoints[:, FACE, 2].double().mean(dim=1).numpy(), _OPTIONS)
    excess = torch.from_numpy(as_mirrored - as_seen).to(doubt)
    excess = torch.where(torch.from_numpy(abs(away) < _OPTIONS.profile), excess.clamp_min(0), excess) * known
    is_reversed = excess < 0
    if is_reversed.any():
        mirror = torch.from_numpy(to_local_rotations(turned)).to(body)
        rotations = torch.where(is_reversed[:, None, None, None], _with_body(people, mirror), people.joint_rotations)
        people = replace(people, joint_rotations=rotations)
        keypoints = torch.where(is_reversed[:, None, None], keypoints[:, MIRRORED_KEYPOINTS], keypoints)
    return people, keypoints, excess.abs()


def _with_body(people: People, body: Tensor) -> Tensor:
    """Return ``P 53 3 3`` with other rotations ``P 22 3 3`` of the body, and the hands exchanged."""
    left, right, others = people.joint_rotations[:, NUM_BODY_JOINTS:].split([_NUM_FINGER_JOINTS] * 2 + [1], dim=1)
    # A reflection changes the sign of two axes of a rotation vector, thus of the elements between them and the third.
    reflection = body.new_tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    return torch.cat([body, reflection * right, reflection * left, others], dim=1)
