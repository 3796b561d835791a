"""The compact scene heads: depth with confidence and focal length, and the person mask.

A small DPT-style pyramid fuses the decoder's levels with the backbone's strides 8 and 4; the last factor of four is a
learned convex combination of neighboring cells, which keeps depth edges sharp. Sources: DPT (arXiv 2103.13413);
convex upsampling: RAFT (arXiv 2003.12039), sec. 3.3; canonical depth: Metric3D (arXiv 2307.10984), sec. 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.geometry.camera import intrinsics, unproject
from human3r.models.compact.convnets.convolution import SameConv2d
from human3r.models.compact.convnets.efficientnet import TAP_CHANNELS
from human3r.models.compact.convnets.movenet import FEATURE_CHANNELS, NUM_KEYPOINTS
from human3r.models.compact.people.detection.human_prior import MoveNetFeatures
from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.prompter import KeypointDetections, prior_focal_px
from human3r.models.compact.people.skeleton_map import NUM_MAPS, draw_skeletons
from human3r.models.config import CompactConfig, TrunkConfig
from human3r.models.layers.blocks import Mlp
from human3r.models.parts import DecodedFrame, ImageFeatures, ScenePoints

STRIDE_PX = 4
"""Of the finest feature level."""
_MEAN_DEPTH_M = 4.0
"""Prediction of an untrained head."""
_LOG_DEPTH_RANGE = (math.log(0.1), math.log(250.0))
MAX_LOG_FOCAL = 0.9
"""Bound on the log ratio of the focal length to the prior's: fields of view of 27 to 110 degrees."""
_FOCAL_POOL, _FOCAL_HIDDEN = 2, 256
"""Cells of the pooling per image side, and hidden channels."""
_FOCAL_SPREAD = 0.17
"""Standard deviation of the log focal length. Measured on held-out renders."""
_FOCAL_GAIN = 0.05
"""Weight of a new frame in the running mean of the log focal length."""
_USUAL_SHARPNESS, _MAX_SOFTNESS = 0.0, 0.15
"""Logarithm of ``contrast_ratio`` of real clips, and the largest difference that counts."""
_SOFTNESS_SLOPE = 0.25
"""Soft pictures look like those of longer lenses: log focal length per sharpness. Source: scaled and compressed copies
of eleven real clips."""


@dataclass(frozen=True)
class SceneMaps:
    """Batched outputs of the point head before unprojection."""

    log_depth: Tensor
    """``B H W`` log depth under the prior focal length (canonical depth), meters."""
    confidence: Tensor
    """``B H W``, >= 1."""
    log_focal: Tensor
    """``B`` log ratio of the focal length to the prior's."""


class RefineBlock(nn.Module):
    """A depthwise 5x5 and two 1x1 convolutions with a residual connection."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = SameConv2d(dim, dim, 5, groups=dim)
        self.expand = SameConv2d(dim, 2 * dim, activation="relu")
        self.contract = SameConv2d(2 * dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``B C h w`` to itself."""
        return self.contract(self.expand(self.mix(features)), features)


class Fusion(nn.Module):
    """Upsample coarse features by two and add a lateral level."""

    def __init__(self, coarse_dim: int, lateral_dim: int, dim: int) -> None:
        super().__init__()
        self.coarse = SameConv2d(coarse_dim, dim)
        self.lateral = SameConv2d(lateral_dim, dim)
        self.refine = nn.Sequential(RefineBlock(dim), RefineBlock(dim))

    def forward(self, coarse: Tensor, lateral: Tensor) -> Tensor:
        """Map ``B C h w`` and ``B L 2h 2w`` to ``B D 2h 2w``."""
        raised = functional.interpolate(self.coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        return self.refine(self.lateral(lateral, raised))


class ConvexUpsampling(nn.Module):
    """Upsample maps by four: every fine pixel is a learned convex combination of the nine coarse cells around it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = SameConv2d(dim + STRIDE_PX**2, 48, 3, activation="relu")
        self.weights = SameConv2d(48, 9 * STRIDE_PX**2)

    def forward(self, maps: Tensor, features: Tensor, gray: Tensor) -> Tensor:
        """Map ``B M h w`` to ``B M 4h 4w``, guided by ``B C h w`` features and the ``B 1 4h 4w`` gray image."""
        batch, channels, rows, columns = maps.shape
        detail = functional.pixel_unshuffle(gray.to(features.dtype), STRIDE_PX)
        weights = self.weights(self.hidden(torch.cat([features, detail], dim=1)))
        # Cells first: the weights of a cell are then contiguous, as in the output of the convolution.
        weights = weights.permute(0, 2, 3, 1).float().unflatten(-1, (9, STRIDE_PX**2)).softmax(dim=-2)
        padded = functional.pad(maps.float(), (1, 1, 1, 1), mode="replicate")
        neighbors = functional.unfold(padded, 3).view(batch, channels, 9, rows, columns).permute(0, 3, 4, 1, 2)
        fine = (neighbors.flatten(0, 2) @ weights.flatten(0, 2)).view(
            batch, rows, columns, channels, STRIDE_PX, STRIDE_PX
        )
        return fine.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, STRIDE_PX * rows, STRIDE_PX * columns)


class CompactPointHead(nn.Module):
    """Depth, confidence and focal length."""

    def __init__(self, trunk: TrunkConfig, parts: CompactConfig) -> None:
        super().__init__()
        dim = parts.point_dim
        self.join = nn.Linear(trunk.token_dim + 3 * trunk.decoder_dim, 2 * dim)
        self.coarse = SameConv2d(TAP_CHANNELS[2], 2 * dim)
        self.refine = nn.Sequential(RefineBlock(2 * dim), RefineBlock(2 * dim))
        self.middle = Fusion(2 * dim, TAP_CHANNELS[1], dim)
        self.fine = Fusion(dim, TAP_CHANNELS[0] + FEATURE_CHANNELS, dim // 2)
        self.output = SameConv2d(dim // 2, 2, 3)
        self.upsample = ConvexUpsampling(dim // 2)
        self.focal = Mlp(_FOCAL_POOL**2 * trunk.token_dim, _FOCAL_HIDDEN, 1)
        # An untrained head predicts 4 m with low confidence, and the prior focal length.
        for values in (*self.focal.contract.parameters(), *self.output.parameters()):
            nn.init.zeros_(values)

    def predict(self, levels: tuple[Tensor, ...], image: ImageFeatures, human: MoveNetFeatures) -> SceneMaps:
        """Predict the maps of B frames; the levels are ``B N D`` each."""
        gray, fine, middle, coarse = image.pyramid
        dtype = self.join.weight.dtype
        tokens = self.join(torch.cat([level.to(dtype) for level in levels], dim=-1))
        features = tokens.transpose(1, 2).unflatten(2, image.grid)
        features = self.refine(self.coarse(coarse.to(dtype), features))
        features = self.middle(features, middle.to(dtype))
        people = human.maps.features.to(dtype)
        features = self.fine(features, torch.cat([fine.to(dtype), people], dim=1))
        # The last layer is fp32: 8 bits of mantissa would quantize the depth visibly.
        maps = self.upsample(self.output(features.float()), features, gray)
        log_depth = (maps[:, 0] + math.log(_MEAN_DEPTH_M)).clamp(*_LOG_DEPTH_RANGE)
        focal = self.focal(pooled_tokens(levels[0], image.grid))[:, 0].float()
        log_focal = MAX_LOG_FOCAL * torch.tanh(focal) + softness_correction(gray)
        return SceneMaps(log_depth, 1 + maps[:, 1].clamp(max=6.0).exp(), log_focal)

    def forward(self, frame: DecodedFrame) -> ScenePoints:
        """Predict one frame; its focal length is a running mean over the segment."""
        assert isinstance(frame.human, MoveNetFeatures)
        maps = self.predict(frame.levels, frame.image, frame.human)
        prior = prior_focal_px(frame.image_size)
        log_focal = maps.log_focal[0]
        if frame.previous_focal_px is not None:
            previous = (frame.previous_focal_px / prior).log()
            log_focal = previous + _FOCAL_GAIN * (log_focal - previous)
        focal_px = prior * log_focal.exp()
        # Canonical depth: under a longer focal length the same image shows a farther scene.
        depth = (maps.log_depth[0] + log_focal).exp()
        information = torch.full_like(focal_px, 1 / _FOCAL_SPREAD**2)
        pointmap = unproject(depth, intrinsics(focal_px, (depth.shape[0], depth.shape[1])))
        return ScenePoints(pointmap, maps.confidence[0], focal_px, information)


class KeypointMaskHead(nn.Module):
    """Person mask from rendered keypoints and the features of the human prior, which were trained on real images."""

    def __init__(self, parts: CompactConfig) -> None:
        super().__init__()
        dim = parts.point_dim // 2
        inputs = NUM_MAPS + FEATURE_CHANNELS + NUM_KEYPOINTS + 1 + TAP_CHANNELS[0] + STRIDE_PX**2
        self.embed = SameConv2d(inputs, dim)
        self.refine = nn.Sequential(RefineBlock(dim), RefineBlock(dim), RefineBlock(dim))
        self.output = SameConv2d(dim, STRIDE_PX**2)
        # An untrained head predicts no people.
        assert self.output.bias is not None
        nn.init.zeros_(self.output.weight)
        nn.init.constant_(self.output.bias, -3.0)

    def predict(self, image: ImageFeatures, human: MoveNetFeatures, skeletons: Tensor) -> Tensor:
        """Return ``B H W`` logits; ``skeletons`` is ``B 2 h w`` from ``draw_skeletons``."""
        dtype = self.embed.weight.dtype
        detail = functional.pixel_unshuffle(image.pyramid[0], STRIDE_PX)
        seen = human.maps
        maps = (skeletons, seen.features, seen.keypoint_heatmap, seen.center, image.pyramid[1], detail)
        features = self.refine(self.embed(torch.cat([level.to(dtype) for level in maps], dim=1)))
        return functional.pixel_shuffle(self.output(features), STRIDE_PX)[:, 0].float()

    def forward(self, frame: DecodedFrame) -> Tensor:
        """Return ``H W`` in [0, 1]."""
        assert isinstance(frame.human, MoveNetFeatures)
        assert isinstance(frame.detections, KeypointDetections)
        assert frame.detections.keypoints is not None
        return self.mask_of(frame.image, frame.human, frame.detections.keypoints, frame.image_size)

    def mask_of(
        self, image: ImageFeatures, human: MoveNetFeatures, people: ImageKeypoints, image_size: tuple[int, int]
    ) -> Tensor:
        """Return ``H W`` in [0, 1] of one frame from the people detected in it."""
        skeletons = draw_skeletons(people, image_size, STRIDE_PX)
        return torch.sigmoid(self.predict(image, human, skeletons[None])[0])


def softness_correction(gray: Tensor) -> Tensor:
    """Return ``B``: what to add to the log focal lengths of ``B 1 H W`` gray images, negative for soft ones."""
    sharpness = contrast_ratio(gray.float()).log() - _USUAL_SHARPNESS
    return _SOFTNESS_SLOPE * sharpness.clamp(-_MAX_SOFTNESS, _MAX_SOFTNESS)


def contrast_ratio(gray: Tensor) -> Tensor:
    """Return ``B``: the contrast of details of one pixel over that of twice the size, of ``B 1 H W`` gray images."""
    levels = [gray]
    # A mean of 2 x 2 twice is a binomial filter, of a standard deviation of .7 pixels; eight of them of 1.4.
    for num_means in (2, 6):
        level = levels[-1]
        for _ in range(num_means):
            # Sums of views take a fifteenth of the time of pooling, which is slow where windows overlap.
            pairs = level[..., 1:, :] + level[..., :-1, :]
            level = (pairs[..., 1:] + pairs[..., :-1]) / 4
        levels.append(level)
    sharp, middle, soft = levels
    fine = (sharp[..., 1:-1, 1:-1] - middle).square().mean(dim=(1, 2, 3))
    coarse = (middle[..., 3:-3, 3:-3] - soft).square().mean(dim=(1, 2, 3))
    # Of a picture without detail it is one.
    return ((fine + 1e-7) / (coarse + 1e-7)).sqrt()


def pooled_tokens(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return ``B 4D``: the mean of ``B N D`` tokens per image quarter, the input of the focal head.

    Four means instead of one keep where in the image lines converge.
    """
    maps = tokens.float().transpose(1, 2).unflatten(2, grid)
    return functional.adaptive_avg_pool2d(maps, _FOCAL_POOL).flatten(1)
