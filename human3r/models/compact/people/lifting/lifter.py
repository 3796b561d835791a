"""The lifter: from keypoint features (and human tokens) to SMPL-X body parameters in the camera frame.

Orientation and position are predicted in the virtual camera of ``keypoint_encoder`` and rotated back; depth is
predicted as depth times box size, which perspective leaves constant. ``refine`` fits the result to the keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.geometry.rigid import rotation_from_6d
from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import (
    KeypointEncoder,
    KeypointFeatures,
    PersonKeypoints,
    keypoint_features,
)
from human3r.models.compact.people.lifting.person_memory import PersonMemory
from human3r.models.layers.casting import Linear
from human3r.records import TensorRecord
from human3r.skeleton import NUM_BODY_JOINTS

NUM_OUTPUTS = NUM_BODY_JOINTS * 6 + 10 + 3 + NUM_BODY_JOINTS + 1
"""Rotations, betas, position, log sigma of every rotation, log sigma of log depth."""
_UPRIGHT_6D = (1.0, 0.0, 0.0, -1.0, 0.0, 0.0)
"""Half a turn about x, row-major 3 x 2: a y-up body facing an OpenCV camera."""
_IDENTITY_6D = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class LiftedPeople(TensorRecord):
    """P people in the camera frame, with predicted errors."""

    joint_rotations: Tensor
    """``P 22 3 3`` local, root in the camera frame."""
    betas: Tensor
    """``P 10``"""
    root_camera: Tensor
    """``P 3`` pelvis joint, meters."""
    rotation_sigma: Tensor
    """``P 22`` standard deviation of each local rotation per axis, radians."""
    log_depth_sigma: Tensor
    """``P`` standard deviation of the log depth."""


class BodyLifter(nn.Module):
    """From keypoints, and optionally a human token, to a body.

    Args:
        points: The skeleton; its tables come with the weights.
        dim: Width of the keypoint encoder.
        depth: Number of its residual blocks.
        token_dim: Channels of the decoder's human tokens; 0 builds no connection. The connection starts at zero, so
            a lifter trained on keypoints alone predicts the same inside a network until the network is trained.
        memory_width: Length of the recurrent state of one person; 0 builds no memory.
    """

    def __init__(
        self, points: BodyPoints, dim: int = 640, depth: int = 4, token_dim: int = 0, memory_width: int = 0
    ) -> None:
        super().__init__()
        self.points = points
        self.encoder = KeypointEncoder(dim, depth)
        self.memory = PersonMemory(dim, memory_width) if memory_width else None
        self.from_keypoints = Linear(dim, NUM_OUTPUTS)
        self.from_token = Linear(token_dim, NUM_OUTPUTS, bias=False) if token_dim else None
        self._initialize()

    def _initialize(self) -> None:
        with torch.no_grad():
            self.from_keypoints.weight.mul_(0.1)
            rotations = torch.tensor([_UPRIGHT_6D] + [_IDENTITY_6D] * (NUM_BODY_JOINTS - 1)).flatten()
            rest = torch.zeros(NUM_OUTPUTS - len(rotations))
            # Box height times depth is about 1.5 m for an upright adult; sigmas start at 0.2.
            rest[12] = 0.4
            rest[13:] = -1.6
            self.from_keypoints.bias.copy_(torch.cat([rotations, rest]))
            if self.from_token is not None:
                self.from_token.weight.zero_()

    def forward(self, people: PersonKeypoints, human_tokens: Tensor | None = None) -> LiftedPeople:
        """Lift P people; ``human_tokens`` is ``P token_dim``."""
        inputs = keypoint_features(people)
        outputs = self.from_keypoints(self.encoder(inputs.values))
        return decode_outputs(self._with_tokens(outputs, human_tokens), inputs)

    def follow(
        self,
        people: PersonKeypoints,
        state: Tensor,
        human_tokens: Tensor | None = None,
        *,
        frames: int = 1,
        is_seen: Tensor | None = None,
        is_new: Tensor | None = None,
    ) -> tuple[LiftedPeople, Tensor]:
        """Lift P people over T frames with memory.

        Args:
            people: ``P * T`` rows: all frames of the first person, then all of the second.
            state: ``P width`` before the first frame.
            human_tokens: ``P * T token_dim``.
            frames: T.
            is_seen: ``P * T`` bool; the state of an unseen person stays. None: all are seen.
            is_new: ``P * T`` bool; states that are set to zero before a frame. None: none.

        Returns:
            The lifted people, ``P * T``, and the states after the last frame.
        """
        assert self.memory is not None
        inputs = keypoint_features(people)
        in_time = (state.shape[0], frames)
        features = self.encoder(inputs.values).unflatten(0, in_time).transpose(0, 1)
        seen, new = (None if mask is None else mask.unflatten(0, in_time).T for mask in (is_seen, is_new))
        features, state = self.memory(features, state, seen, new)
        outputs = self.from_keypoints(features.transpose(0, 1).flatten(0, 1))
        return decode_outputs(self._with_tokens(outputs, human_tokens), inputs), state

    def _with_tokens(self, outputs: Tensor, human_tokens: Tensor | None) -> Tensor:
        if self.from_token is not None and human_tokens is not None:
            outputs = outputs + self.from_token(human_tokens)
        return outputs.float()


def decode_outputs(outputs: Tensor, features: KeypointFeatures) -> LiftedPeople:
    """Convert raw outputs ``P 168`` to people in the camera frame."""
    sizes = [NUM_BODY_JOINTS * 6, 10, 3, NUM_BODY_JOINTS, 1]
    rotations, betas, position, rotation_sigma, depth_sigma = outputs.split(sizes, dim=1)
    local = rotation_from_6d(rotations.unflatten(1, (NUM_BODY_JOINTS, 6)))
    local = torch.cat([(features.R_camera_virtual @ local[:, 0])[:, None], local[:, 1:]], dim=1)
    depth = position[:, 2:].clamp(-4.0, 4.0).exp() / features.size[:, None]
    across = position[:, :2] * features.size[:, None]
    root_virtual = torch.cat([across, torch.ones_like(depth)], dim=1) * depth
    root_camera = (features.R_camera_virtual @ root_virtual[..., None])[..., 0]
    return LiftedPeople(
        joint_rotations=local,
        betas=betas,
        root_camera=root_camera,
        rotation_sigma=rotation_sigma.clamp(-4.0, 1.0).exp(),
        log_depth_sigma=depth_sigma[:, 0].clamp(-4.0, 1.0).exp(),
    )
