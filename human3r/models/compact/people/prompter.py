"""The compact prompter: detections from keypoints, and a prompt for each.

A prompt is an MLP of [human-prior features at the person, keypoint features, image token at the person's head].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.geometry.camera import sample_at_pixels
from human3r.models.compact.convnets.movenet import FEATURE_CHANNELS, TORSO_KEYPOINTS
from human3r.models.compact.people.detection.human_prior import MoveNetFeatures, find_people
from human3r.models.compact.people.detection.keypoints import DecodeOptions, ImageKeypoints, has_own_torso
from human3r.models.compact.people.detection.ownership import without_foreign_keypoints
from human3r.models.compact.people.detection.person_crops import PersonCropDetector
from human3r.models.compact.people.detection.second_look import Looks, look_again
from human3r.models.compact.people.lifting.keypoint_encoder import (
    NUM_KEYPOINT_FEATURES,
    keypoint_features,
    normalize_keypoints,
)
from human3r.models.config import CompactConfig, TrunkConfig
from human3r.models.layers.blocks import Mlp
from human3r.models.parts import FULL_EFFORT, Detections, Effort, ImageFeatures, PromptContext

PRIOR_FIELD_OF_VIEW = math.radians(60.0)
"""Of the long side, for an unknown camera. Source: measured on clips with known cameras."""
_FACE = slice(0, 5)
_POSITION_UNIT = 60.0
"""Distance for a shift by the long side of the image; the tracker's dustbin is at 10."""
_SIZE_UNIT = 3.0
_APPEARANCE_UNIT = 6.0


@dataclass(frozen=True)
class KeypointDetections(Detections):
    """Detections with the keypoints that they were made from."""

    keypoints: ImageKeypoints | None = None
    """Keypoints of the same people in the same order, network pixels. Never None from the compact prompter."""


def prior_focal_px(image_size: tuple[int, int]) -> float:
    """Return the focal length of an unknown camera, network pixels."""
    return 0.5 * max(image_size) / math.tan(0.5 * PRIOR_FIELD_OF_VIEW)


def principal_point(image_size: tuple[int, int]) -> tuple[float, float]:
    """Return the (x, y) principal point of ``ScenePoints.focal_px``, network pixels."""
    height, width = image_size
    return float(width // 2), float(height // 2)


class KeypointPrompter(nn.Module):
    """Detect people and make a prompt for each."""

    def __init__(self, trunk: TrunkConfig, parts: CompactConfig) -> None:
        super().__init__()
        self.options = DecodeOptions()
        self.crop_detector = PersonCropDetector(parts.max_cropped_people)
        self.patch_size = trunk.patch_size
        inputs = FEATURE_CHANNELS + NUM_KEYPOINT_FEATURES + trunk.token_dim
        self.fuse = Mlp(inputs, parts.prompt_hidden, trunk.decoder_dim)

    def find(self, human: MoveNetFeatures, image_size: tuple[int, int]) -> ImageKeypoints:
        """Return the people of one frame (batch 1), network pixels, with the keypoints of the crops."""
        return self.look(human, image_size)[0]

    def look(
        self,
        human: MoveNetFeatures,
        image_size: tuple[int, int],
        before: Looks | None = None,
        effort: Effort = FULL_EFFORT,
    ) -> tuple[ImageKeypoints, Looks | None]:
        """Return the people of ``find``, and the crops that they rest on; see ``look_again``."""
        people = find_people(human, image_size, self.options)
        if human.image is None:
            return people, None
        people, looks = look_again(self.crop_detector, human.image[0], people, before, effort)
        kept = has_own_torso(people, self.options)
        people = without_foreign_keypoints(people.select(kept))
        return people, replace(looks.map(lambda values: values[kept]), second=people)

    def forward(self, human: MoveNetFeatures, image: ImageFeatures, context: PromptContext) -> KeypointDetections:
        """Detect in one frame (batch 1)."""
        people = self.find(human, context.image_size) if human.people is None else human.people
        focal = prior_focal_px(context.image_size) if context.focal_px is None else context.focal_px
        center = people.score.new_tensor(principal_point(context.image_size))
        pose_features = keypoint_features(
            normalize_keypoints(people.keypoints_px, people.keypoint_score, focal, center, context.image_size)
        )
        head = head_position_px(people)
        rows, columns = image.grid
        limit = head.new_tensor([columns - 1, rows - 1])
        cell = torch.minimum((head / self.patch_size).floor().clamp(min=0), limit).long()
        tokens = image.tokens[0, cell[:, 1] * columns + cell[:, 0]]
        features = sample_at_pixels(human.maps.features[0].float(), people.center_px, context.image_size)
        fused = torch.cat([features, pose_features.values, tokens.float()], dim=-1)
        return KeypointDetections(
            score=people.score,
            head_uv_px=head,
            human_features=features,
            prompts=self.fuse(fused.to(tokens.dtype)),
            positions=cell.flip(-1),
            track_features=identity_features(people, image, context.image_size),
            keypoints=people,
        )


def head_position_px(people: ImageKeypoints) -> Tensor:
    """Return the ``P 2`` mean of the face keypoints, weighted by score."""
    weight = people.keypoint_score[:, _FACE, None] + 1e-3
    return (people.keypoints_px[:, _FACE] * weight).sum(1) / weight.sum(1)


def identity_features(people: ImageKeypoints, image: ImageFeatures, image_size: tuple[int, int]) -> Tensor:
    """Return ``P F`` features whose Euclidean distance separates people: position, size, and appearance of the torso.

    Position separates people of equal appearance; appearance separates a new person from one who left at that place.
    """
    torso = people.keypoints_px[:, TORSO_KEYPOINTS]
    weight = people.keypoint_score[:, TORSO_KEYPOINTS, None] + 1e-3
    middle = image.pyramid[2].float()
    centered = middle - middle.mean(dim=(2, 3), keepdim=True)
    corners = [sample_at_pixels(centered[0], torso[:, index], image_size) for index in range(len(TORSO_KEYPOINTS))]
    appearance = (torch.stack(corners, dim=1) * weight).sum(1) / weight.sum(1)
    return torch.cat([_place(people, image_size), functional.normalize(appearance, dim=-1) * _APPEARANCE_UNIT], dim=-1)


def moved_to(people: ImageKeypoints, features: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the ``identity_features`` of the same people where they are now."""
    place = _place(people, image_size)
    return torch.cat([place, features[:, place.shape[1] :]], dim=-1)


def _place(people: ImageKeypoints, image_size: tuple[int, int]) -> Tensor:
    """Return ``P 3`` position and size."""
    long_side = max(image_size)
    torso = people.keypoints_px[:, TORSO_KEYPOINTS]
    weight = people.keypoint_score[:, TORSO_KEYPOINTS, None] + 1e-3
    position = (torso * weight).sum(1) / weight.sum(1) / long_side * _POSITION_UNIT
    box = (people.keypoints_px.amax(1) - people.keypoints_px.amin(1)).amax(-1, keepdim=True)
    size = (box.clamp(min=4.0) / long_side).log() * _SIZE_UNIT
    return torch.cat([position, size], dim=-1)
