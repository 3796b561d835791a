"""The compact person head: lift keypoints, refine against the same keypoints, complete to SMPL-X.

The lifter also reads the human token of the decoder. Hands stay flat and the jaw closed: 17 keypoints do not show them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import (
    PersonKeypoints,
    normalize_keypoints,
    without_imagined_legs,
)
from human3r.models.compact.people.lifting.lifter import BodyLifter, LiftedPeople
from human3r.models.compact.people.lifting.person_memory import PersonStates
from human3r.models.compact.people.lifting.refine import Refiner, decide_legs
from human3r.models.compact.people.prompter import KeypointDetections, principal_point
from human3r.models.config import CompactConfig, TrunkConfig
from human3r.models.parts import DecodedFrame, PersonParameters, ScenePoints
from human3r.records import TensorRecord
from human3r.skeleton import NUM_BODY_JOINTS, NUM_JOINT_ROTATIONS, Joint


class KeypointPersonHead(nn.Module):
    """A ``signatures.PersonHead``."""

    state_type = PersonStates

    def __init__(self, trunk: TrunkConfig, parts: CompactConfig) -> None:
        super().__init__()
        self.lifter = BodyLifter(
            BodyPoints(), parts.lifter_dim, parts.lifter_depth, trunk.decoder_dim, parts.memory_width
        )
        self.refiner = Refiner()

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, state: TensorRecord | None
    ) -> tuple[PersonParameters, PersonStates | None]:
        """Predict the people of ``frame.detections``, which must come from the compact prompter."""
        people = keypoints_in_camera(frame, points.focal_px)
        if self.lifter.memory is None:
            lifted, state = self.lifter(people, frame.human_tokens), None
        else:
            features = frame.detections.track_features
            assert features is not None
            nobody = PersonStates.nobody(features, self.lifter.memory.width)
            memory = state if isinstance(state, PersonStates) else nobody
            rows = memory.recall(features)
            lifted, states = self.lifter.follow(people, memory.states_of(rows), frame.human_tokens)
            state = memory.updated(rows, features, states)
        if not self.training:
            lifted = decide_legs(self.refiner(lifted, people, self.lifter.points), people.scores)
        keypoints = torch.cat([_found_in(frame).keypoints_px, people.scores[..., None]], dim=-1)
        parameters = to_person_parameters(lifted, self.lifter.points)
        return _as_in_image(replace(parameters, keypoints=keypoints), frame), state


def keypoints_in_camera(frame: DecodedFrame, focal_px: Tensor) -> PersonKeypoints:
    """Map the frame's keypoints to the normalized image plane of a camera with focal length ``focal_px``.

    Its pixels are square: in the image, which is squeezed by a few percent, bodies would be too tall or too broad.
    """
    keypoints = _found_in(frame)
    center = keypoints.keypoints_px.new_tensor(principal_point(frame.image_size))
    focal = focal_px / keypoints.keypoints_px.new_tensor(_stretch(frame))
    people = normalize_keypoints(keypoints.keypoints_px, keypoints.keypoint_score, focal, center, frame.image_size)
    return without_imagined_legs(people)


def _stretch(frame: DecodedFrame) -> tuple[float, float]:
    """Return the factors on x and y that make the pixels of the network image square."""
    return frame.pixel_aspect**0.5, frame.pixel_aspect**-0.5


def _as_in_image(people: PersonParameters, frame: DecodedFrame) -> PersonParameters:
    """Return people from square pixels where the camera of the network image, as that of the points, sees them."""
    joints = people.joints_camera
    assert joints is not None
    stretch = joints.new_tensor([*_stretch(frame), 1.0])
    return replace(people, head_camera=people.head_camera / stretch, joints_camera=joints / stretch)


def _found_in(frame: DecodedFrame) -> ImageKeypoints:
    detections = frame.detections
    if not isinstance(detections, KeypointDetections) or detections.keypoints is None:
        raise TypeError("the compact person head needs the detections of the compact prompter")
    return detections.keypoints


def to_person_parameters(lifted: LiftedPeople, points: BodyPoints) -> PersonParameters:
    """Complete lifted people to SMPL-X parameters; their position is that of the head joint."""
    posed = points(lifted.joint_rotations, lifted.betas)
    return PersonParameters(
        joint_rotations=complete_rotations(lifted.joint_rotations),
        betas=lifted.betas,
        expression=torch.zeros_like(lifted.betas),
        head_camera=lifted.root_camera + posed.joints[:, Joint.HEAD],
        joints_camera=lifted.root_camera[:, None] + posed.joints,
    )


def complete_rotations(body_rotations: Tensor) -> Tensor:
    """Append flat hands and a closed jaw: ``P 22 3 3`` to ``P 53 3 3``."""
    missing = NUM_JOINT_ROTATIONS - NUM_BODY_JOINTS
    rest = torch.eye(3, dtype=body_rotations.dtype, device=body_rotations.device)
    return torch.cat([body_rotations, rest.expand(body_rotations.shape[0], missing, 3, 3)], dim=1)
