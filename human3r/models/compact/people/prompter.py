"""From people in the head maps to prompts: the compact counterpart of the head detector.

A prompt is an MLP of [human-prior features at the person, keypoint cues, image token at the person's head].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.config import CompactConfig
from human3r.models.compact.convnets.efficientnet import TAP_CHANNELS
from human3r.models.compact.convnets.movenet import FEATURE_CHANNELS
from human3r.models.compact.people.human_prior import MoveNetFeatures, find_people
from human3r.models.compact.people.keypoint_encoder import NUM_CUES, keypoint_cues, normalised_keypoints
from human3r.models.compact.people.keypoints import DecodeOptions, ImageKeypoints
from human3r.models.config import TrunkConfig
from human3r.models.layers.blocks import Mlp
from human3r.models.parts import Detections, ImageFeatures, PromptContext

PRIOR_FIELD_OF_VIEW = math.radians(60.0)
"""Of the long side, where nothing is known of the camera. Source: measured on clips with known cameras."""
_FACE, _TORSO = slice(0, 5), (5, 6, 11, 12)
_POSITION_UNIT = 60.0
"""A tenth of the long side counts 6: the tracker's dustbin sits at 10."""
_SIZE_UNIT = 3.0
_APPEARANCE_UNIT = 6.0


@dataclass(frozen=True)
class KeypointDetections(Detections):
    """Detections that also carry the keypoints they were made from."""

    keypoints: ImageKeypoints | None = None
    """Keypoints in network pixels; the same people, same order. Never None where the compact prompter made it."""


def prior_focal_px(image_size: tuple[int, int]) -> float:
    """Return the focal length that is assumed before anything is known, network pixels."""
    return 0.5 * max(image_size) / math.tan(0.5 * PRIOR_FIELD_OF_VIEW)


def principal_point(image_size: tuple[int, int]) -> tuple[float, float]:
    """Return the (x, y) of the network's principal point, as ``ScenePoints.focal_px`` defines it."""
    height, width = image_size
    return float(width // 2), float(height // 2)


class KeypointPrompter(nn.Module):
    """Detect people and make a prompt for each.

    Args:
        trunk: Sizes of tokens.
        parts: Hidden width.
    """

    def __init__(self, trunk: TrunkConfig, parts: CompactConfig) -> None:
        super().__init__()
        self.options = DecodeOptions()
        self.patch_size = trunk.patch_size
        inputs = FEATURE_CHANNELS + NUM_CUES + trunk.token_dim
        self.fuse = Mlp(inputs, parts.prompt_hidden, trunk.decoder_dim)

    def forward(self, human: MoveNetFeatures, image: ImageFeatures, context: PromptContext) -> KeypointDetections:
        """Detect in one frame (batch 1)."""
        people = find_people(human, context.image_size, self.options) if human.people is None else human.people
        focal = prior_focal_px(context.image_size) if context.focal_px is None else context.focal_px
        center = people.score.new_tensor(principal_point(context.image_size))
        cues = keypoint_cues(
            normalised_keypoints(people.keypoints_px, people.keypoint_score, focal, center, context.image_size)
        )
        head = head_position_px(people)
        rows, columns = image.grid
        limit = head.new_tensor([columns - 1, rows - 1])
        cell = torch.minimum((head / self.patch_size).floor().clamp(min=0), limit).long()
        tokens = image.tokens[0, cell[:, 1] * columns + cell[:, 0]]
        features = _sample(human.maps.features, people.center_px, context.image_size)
        fused = torch.cat([features, cues.values, tokens.float()], dim=-1)
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
    """Return ``P 2`` the head: mean of the face keypoints, weighted by score."""
    weight = people.keypoint_score[:, _FACE, None] + 1e-3
    return (people.keypoints_px[:, _FACE] * weight).sum(1) / weight.sum(1)


def identity_features(people: ImageKeypoints, image: ImageFeatures, image_size: tuple[int, int]) -> Tensor:
    """Return ``P F`` features whose Euclidean distance tells people apart: place, size, and looks of the torso.

    Place keeps people apart who look alike; looks keep newcomers apart from those who left at the same place.
    """
    long_side = max(image_size)
    torso = people.keypoints_px[:, _TORSO]
    weight = people.keypoint_score[:, _TORSO, None] + 1e-3
    place = (torso * weight).sum(1) / weight.sum(1) / long_side * _POSITION_UNIT
    box = (people.keypoints_px.amax(1) - people.keypoints_px.amin(1)).amax(-1, keepdim=True)
    size = (box.clamp(min=4.0) / long_side).log() * _SIZE_UNIT
    middle = image.pyramid[2].float()
    centred = middle - middle.mean(dim=(2, 3), keepdim=True)
    corners = [_sample(centred, torso[:, index], image_size) for index in range(len(_TORSO))]
    looks = (torch.stack(corners, dim=1) * weight).sum(1) / weight.sum(1)
    return torch.cat([place, size, functional.normalize(looks, dim=-1) * _APPEARANCE_UNIT], dim=-1)


IDENTITY_DIM = 3 + TAP_CHANNELS[1]
"""Length of an identity feature."""


def _sample(maps: Tensor, points_px: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Sample ``1 C h w`` bilinearly at ``P 2`` network pixels; returns ``P C``, fp32."""
    height, width = image_size
    scale = points_px.new_tensor([2.0 / width, 2.0 / height])
    grid = ((points_px + 0.5) * scale - 1.0)[None, :, None]
    return functional.grid_sample(maps.float(), grid, align_corners=False, padding_mode="border")[0, :, :, 0].T
